from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image as PILImage

from onespace import fairness
from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.explain import SHARES
from onespace.fairness import Calibration
from onespace.score import similarity
from onespace.types import Metric, Modality, Pair

METRICS: tuple[Metric, ...] = tuple(SHARES)
KINDS: tuple[Modality, ...] = ("text", "image", "pair")


def world(concepts: int, *, gap: float = 1.5, noise: float = 0.9, seed: int = 0) -> Embeddings:
    """Every concept as text, picture and pair; items of one kind share a direction, as they do in real models."""
    random = np.random.default_rng(seed)
    meaning = np.random.default_rng(99).standard_normal((concepts, 24))
    kinds = np.random.default_rng(98).standard_normal((3, 24))
    dense, multi, sparse = [], [], []
    for concept in range(concepts):
        for kind in kinds:
            rows = meaning[concept] + gap * kind + noise * random.standard_normal((4, 24))
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            dense.append(rows[0])
            multi.append(rows[1:])
            sparse.append({int(t): 1.0 + t / 9 for t in random.integers(0, 30, 5)})
    return Embeddings(
        KINDS * concepts,
        np.array(dense, np.float32),
        Sparse.from_rows(sparse, 30),
        Ragged.from_rows(multi),
        model="m",
    )


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_chance_become_standard_for_any_weights(metric: Metric) -> None:
    e = world(30)
    about = np.repeat(np.arange(30), 3)
    weights = (0.7, 0.1, 2.0)
    fair = similarity(e, e, metric=metric, weights=weights, fair=Calibration.of(e, e, groups=about.tolist()))
    kinds = np.array(e.modalities)
    for a in KINDS:
        for b in KINDS:
            chance = fair[(kinds == a)[:, None] & (kinds == b) & (about[:, None] != about)]
            assert chance.mean() == pytest.approx(0, abs=1e-3)
            assert chance.std(ddof=1) == pytest.approx(1, abs=1e-3)


def test_no_kind_always_wins() -> None:
    sample, e = world(60, seed=1), world(60, seed=2)
    fair = Calibration.of(sample, sample, groups=np.repeat(np.arange(60), 3).tolist())
    texts, kinds = np.arange(0, 180, 3), np.array(e.modalities)

    def shares(scores: np.ndarray) -> np.ndarray:
        scores[np.arange(60), texts] = -np.inf  # a query isn't its own answer
        top = kinds[np.argsort(-scores, axis=1)[:, :10]]
        return np.array([(top == kind).mean() for kind in KINDS])

    before, after = shares(similarity(e[texts], e)), shares(similarity(e[texts], e, fair=fair))
    assert before.max() > 0.8
    assert after.min() > 0.25
    assert after.max() < 0.45


def test_the_order_within_one_kind_stays() -> None:
    e = world(20)
    fair = Calibration.of(e, e, groups=range(60))
    pictures = e[1::3]
    before, after = similarity(e[:1], pictures), similarity(e[:1], pictures, fair=fair)
    assert (np.argsort(before) == np.argsort(after)).all()


def test_measured_on_an_encoder(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    items = ["a whale", "a house", *pictures[:2], Pair("sea", pictures[2]), Pair("lake", pictures[3])]
    fair = Calibration.measure(tiny_encoder, items)
    assert set(fair.chances) == {(a, b) for a in KINDS for b in KINDS}
    assert fair.metrics == ("cosine", "dot", "euclidean", "lexical", "maxsim")
    e = tiny_encoder.encode(items)
    chance = fair.chances["text", "image"]
    assert chance.count == 4
    assert chance.mean[0] == pytest.approx(similarity(e[:2], e[2:4]).mean(), abs=1e-5)
    grouped = Calibration.measure(tiny_encoder, items, groups=["x", "y", "x", "y", "x", "y"])
    assert grouped.chances["text", "image"].count == 2


def test_queries_are_measured_with_their_prefix(tiny_encoder: Encoder) -> None:
    prefixed = Encoder(
        replace(tiny_encoder.spec, query_prefix="the red house by the lake "),
        tiny_encoder.tokenizer,
        tiny_encoder.engine,
    )
    items = ["a whale", "a dragon", "snow"]
    means = [Calibration.measure(e, items).chances["text", "text"].mean for e in (tiny_encoder, prefixed)]
    assert abs(means[0] - means[1])[0] > 1e-4


def test_written_and_read_it_is_the_same(tmp_path: Path) -> None:
    e = world(9)
    fair = Calibration.of(e, e, groups=range(27))
    fair.save(tmp_path / "c.json")
    again = Calibration.open(tmp_path / "c.json")
    assert (again.model, again.metrics) == ("m", fair.metrics)
    for metric in METRICS:
        assert_allclose(
            similarity(e, e, metric=metric, fair=again), similarity(e, e, metric=metric, fair=fair), atol=1e-4
        )


def test_the_shipped_one_is_found_by_the_models_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    e = world(9)
    Calibration.of(e, e, groups=range(27)).save(tmp_path / "c.json")
    monkeypatch.setitem(fairness.SHIPPED, "m", tmp_path / "c.json")
    assert similarity(e, e, fair=True).mean() == pytest.approx(0, abs=0.2)


def test_terms_that_never_meet_by_chance_keep_their_scores_finite() -> None:
    sparse = Sparse.from_rows([{i: 1.0} for i in range(4)], 5)
    e = Embeddings(("text",) * 4, sparse=sparse, model="m")
    fair = Calibration.of(e, e, groups=range(4))
    assert similarity(e, e, metric="lexical", fair=fair)[0, 0] == pytest.approx(1 / fairness.LEAST_SPREAD)


def test_what_cannot_be_fair_is_refused(tmp_path: Path) -> None:
    e = world(4)
    fair = Calibration.of(e, e, groups=range(12))
    with pytest.raises(InputError, match=r"no calibration comes with 'm'.*Calibration\.measure"):
        similarity(e, e, fair=True)
    with pytest.raises(InputError, match="bare vectors"):
        similarity([[1.0]], [[1.0]], fair=fair)
    with pytest.raises(InputError, match="calibration is of 'other', the embeddings are from 'm'"):
        similarity(e, e, fair=replace(fair, model="other"))
    texts = Calibration.of(e[::3], e[::3], groups=range(4))
    with pytest.raises(InputError, match="measured without text against image"):
        similarity(e[:1], e[1:2], fair=texts)
    dense = Embeddings(e.modalities, e.dense, model="m")
    with pytest.raises(InputError, match="measured without the metric maxsim"):
        similarity(e, e, metric="maxsim", fair=Calibration.of(dense, dense, groups=range(12)))
    with pytest.raises(InputError, match="no two unrelated items to compare text with text"):
        Calibration.of(e[:3], e[:3], groups=range(3))


def test_as_many_groups_as_items(tiny_encoder: Encoder) -> None:
    with pytest.raises(InputError, match="2 items and 1 groups"):
        Calibration.measure(tiny_encoder, ["a", "b"], groups=["x"])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', '{"format":1,"model":"m","metrics":["cosine"],"chance":[{"query":"text"}]}'],
)
def test_files_that_are_not_calibrations_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match=r"c\.json (isn't a calibration|has layout)"):
        Calibration.open(tmp_path / "c.json")


def test_a_calibration_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    e = world(4)
    Calibration.of(e, e, groups=range(12)).save(tmp_path / "c.json")
    values = json.loads((tmp_path / "c.json").read_text())
    values["chance"][0]["mean"].pop()
    (tmp_path / "c.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="isn't a calibration"):
        Calibration.open(tmp_path / "c.json")
    with pytest.raises(InputError, match="isn't there"):
        Calibration.open(tmp_path / "none.json")
