from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image as PILImage

import onespace
from onespace import fairness
from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.explain.explanation import SHARES
from onespace.fairness import Calibration
from onespace.families import SHIPPED
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
def test_without_related_items_chance_is_standard_for_any_weights(metric: Metric) -> None:
    e = world(30)
    weights = (0.7, 0.1, 2.0)
    fair = similarity(e, e, metric=metric, weights=weights, fair=Calibration.of(e, e, groups=range(90), same=True))
    kinds = np.array(e.modalities)
    for a in KINDS:
        for b in KINDS:
            chance = fair[(kinds == a)[:, None] & (kinds == b) & ~np.eye(90, dtype=bool)]
            assert chance.mean() == pytest.approx(0, abs=1e-3)
            assert chance.std(ddof=1) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("metric", METRICS)
def test_with_related_items_zero_lies_midway(metric: Metric) -> None:
    e, other = world(30, seed=1), world(30, seed=2)
    about = np.repeat(np.arange(30), 3)
    weights = (0.7, 0.1, 2.0)
    calibration = Calibration.of(e, other, groups=about.tolist())
    fair = similarity(e, other, metric=metric, weights=weights, fair=calibration)
    kinds = np.array(e.modalities)
    for a in KINDS:
        for b in KINDS:
            block = (kinds == a)[:, None] & (kinds == b)
            related, chance = (fair[block & same] for same in (about[:, None] == about, about[:, None] != about))
            assert related.mean() == pytest.approx(-chance.mean(), abs=1e-3)
            assert related.mean() >= 0
            variance = (related.var(ddof=1) + chance.var(ddof=1)) / 2  # of the log of odds: twice its mean
            assert variance == pytest.approx(2 * related.mean(), abs=2e-2)


@pytest.mark.parametrize("paired", [True, False])
def test_no_kind_always_wins_and_more_is_found(paired: bool) -> None:
    sample, again = world(60, seed=1), world(60, seed=2)
    asked, e = world(60, seed=3)[::3], world(60, seed=4)
    about = np.repeat(np.arange(60), 3).tolist() if paired else range(180)
    fair, kinds = Calibration.of(sample, again, groups=about), np.array(e.modalities)

    def told(scores: np.ndarray) -> tuple[np.ndarray, float]:
        top = np.argsort(-scores, axis=1)[:, :10]
        shares = np.array([(kinds[top] == kind).mean() for kind in KINDS])
        return shares, float((top // 3 == np.arange(60)[:, None]).sum(1).mean() / 3)

    (before, found), (after, more) = told(similarity(asked, e)), told(similarity(asked, e, fair=fair))
    assert before.max() > 0.8
    assert after.min() > 0.2
    assert after.max() < 0.45
    assert more > found + 0.2


def test_the_order_within_one_kind_stays() -> None:
    e = world(20)
    fair = Calibration.of(e, e, groups=range(60))
    pictures = e[1::3]
    cases: tuple[tuple[Metric, int], ...] = (("cosine", 1), ("euclidean", -1))
    for metric, sign in cases:
        before, after = (similarity(e[:1], pictures, metric=metric, fair=x) for x in (False, fair))
        assert (np.argsort(sign * before) == np.argsort(after)).all()  # fair distances too: larger is nearer


def test_measured_on_an_encoder(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    items = ["a whale", "a house", *pictures[:2], Pair("sea", pictures[2]), Pair("lake", pictures[3])]
    fair = Calibration.measure(tiny_encoder, items)
    assert set(fair.kinds) == {(a, b) for a in KINDS for b in KINDS}
    assert fair.metrics == ("cosine", "dot", "euclidean", "lexical", "maxsim")
    e = tiny_encoder.encode(items)
    chance = fair.kinds["text", "image"]
    assert (chance.count, chance.related) == (4, None)
    assert chance.unrelated[0] == pytest.approx(similarity(e[:2], e[2:4]).mean(), abs=1e-5)
    grouped = Calibration.measure(tiny_encoder, items * 2, groups=["x", "y", "x", "y", "x", "y"] * 2)
    seen = grouped.kinds["text", "text"]
    assert seen.count == 8
    assert seen.related is not None
    assert seen.related[0] == pytest.approx(1, abs=1e-5)  # "a whale" and "a whale", and not with itself


def test_queries_are_measured_with_their_prefix(tiny_encoder: Encoder) -> None:
    prefixed = Encoder(
        replace(tiny_encoder.spec, query_prefix="the red house by the lake "),
        tiny_encoder.tokenizer,
        tiny_encoder.engine,
    )
    items = ["a whale", "a dragon", "snow"]
    means = [Calibration.measure(e, items).kinds["text", "text"].unrelated for e in (tiny_encoder, prefixed)]
    assert abs(means[0] - means[1])[0] > 1e-4


def test_written_and_read_it_is_the_same(tmp_path: Path) -> None:
    e = world(9)
    fair = Calibration.of(e, world(9, seed=1), groups=range(27))
    fair.save(tmp_path / "c.json")
    again = Calibration.open(tmp_path / "c.json")
    assert (again.model, again.metrics) == ("m", fair.metrics)
    for metric in METRICS:
        assert_allclose(
            similarity(e, e, metric=metric, fair=again), similarity(e, e, metric=metric, fair=fair), atol=1e-4
        )


def test_the_shipped_one_is_found_by_the_models_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    e = world(9)
    Calibration.of(e, e, groups=range(27), same=True).save(tmp_path / "c.json")
    monkeypatch.setitem(fairness.SHIPPED, "m", tmp_path / "c.json")
    assert similarity(e, e, fair=True).mean() == pytest.approx(0, abs=0.2)


def test_terms_that_never_meet_by_chance_keep_their_scores_finite() -> None:
    sparse = Sparse.from_rows([{i: 1.0} for i in range(4)], 5)
    e = Embeddings(("text",) * 4, sparse=sparse, model="m")
    fair = Calibration.of(e, e, groups=range(4), same=True)
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
    with pytest.raises(InputError, match="no two unrelated items, text and text"):
        Calibration.of(e[:3], e[:3], groups=range(3))
    with pytest.raises(InputError, match="3 queries, 2 documents and 3 groups"):
        Calibration.of(e[:3], e[:2], groups=range(3))


def test_as_many_groups_as_items(tiny_encoder: Encoder) -> None:
    with pytest.raises(InputError, match="2 items and 1 groups"):
        Calibration.measure(tiny_encoder, ["a", "b"], groups=["x"])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', '{"format":1,"model":"m","metrics":["cosine"],"kinds":[{"query":"text"}]}'],
)
def test_files_that_are_not_calibrations_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match=r"c\.json (isn't a calibration|has layout)"):
        Calibration.open(tmp_path / "c.json")


def test_a_calibration_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    e = world(4)
    Calibration.of(e, e, groups=range(12)).save(tmp_path / "c.json")
    values = json.loads((tmp_path / "c.json").read_text())
    values["kinds"][0]["unrelated"].pop()
    (tmp_path / "c.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="isn't a calibration"):
        Calibration.open(tmp_path / "c.json")
    with pytest.raises(InputError, match="isn't there"):
        Calibration.open(tmp_path / "none.json")


def test_pictures_are_found_among_texts_by_the_shipped_model() -> None:
    """Of 3 pictures and 12 texts, those of the thing asked for in another language come first, picture and text."""
    model = onespace.load()
    things = ("whale", "dragon", "bicycle")
    others = ["apple", "clock", "house", "rocket", "tree", "flag", "guitar", "umbrella", "key"]
    pictures = [SHIPPED.parent / "demo" / f"{name}.png" for name in things]
    found = model.encode([*things, *others, *pictures])
    asked = model.encode(["鲸鱼", "龙", "自行车"], role="query")
    plain, fair = (onespace.rank(asked, found, k=4, fair=x) for x in (False, True))

    def seen(ranked: list[list[onespace.Hit]]) -> int:
        return sum(hit.item == 12 + i for i, hits in enumerate(ranked) for hit in hits)

    assert seen(fair) >= max(2, seen(plain))
