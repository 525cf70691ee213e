from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

import onespace
from onespace.encoder import Encoder
from onespace.errors import InputError, KindError
from onespace.evaluate import Classification, Report, Result, Retrieval, Sts, evaluate
from onespace.evaluate.encoded import Encoded
from onespace.evaluate.scores import class_values
from onespace.families import chinese_clip
from onespace.spec import Spec
from onespace.types import Pair

WORDS = ["a whale", "the dragon", "red", "green lake", "snow on a house", "one two", "seven", "xyz", "ba", "q"]


def only(report: Report, way: str, **about: str) -> Result:
    (result,) = [
        r
        for r in report.results
        if r.way == way and all(getattr(r, k) == v for k, v in ({"language": ""} | about).items())
    ]
    return result


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(6):
        PILImage.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return [folder / f"{i}.png" for i in range(6)]


def test_what_is_asked_for_itself_is_found_by_every_way(tiny_encoder: Encoder) -> None:
    task = Retrieval("self", WORDS, WORDS, [{i: 1.0} for i in range(len(WORDS))])
    report = evaluate(tiny_encoder, task, k=(1,))
    assert [r.way for r in report.results] == ["dense", "sparse", "multi", "blend"]
    assert only(report, "dense").measures["recall@1"].mean == 1
    assert only(report, "dense").main == ("ndcg@1", only(report, "dense").measures["ndcg@1"])
    assert only(report, "dense").direction == "text to text"
    assert only(report, "dense").measures["map"].low == pytest.approx(0.7)  # the rule of three


def test_the_numbers_are_those_of_similarity(tiny_encoder: Encoder, pictures: list[Path]) -> None:
    """Recall by hand, from `onespace.similarity` of what the model gives."""
    queries, answers = WORDS[:6], [3, 1, 4, 0, 5, 2]
    report = evaluate(tiny_encoder, Retrieval("t", pictures, queries, [{a: 1.0} for a in answers]), k=(2,))
    q, d = tiny_encoder.encode(queries, role="query"), tiny_encoder.encode(pictures)
    for way, metric in (("dense", "cosine"), ("multi", "maxsim"), ("blend", "blend")):
        scores = onespace.similarity(q, d, metric=metric)  # type: ignore[arg-type]
        first = np.argsort(-scores, axis=1)[:, :2]
        by_hand = np.mean([answer in row for answer, row in zip(answers, first.tolist(), strict=True)])
        assert only(report, way).measures["recall@2"].mean == pytest.approx(by_hand)


def test_by_direction_and_by_language(tiny_encoder: Encoder, pictures: list[Path]) -> None:
    documents = [*WORDS[:3], *pictures[:3]]
    queries = [*WORDS[:3], *pictures[:3], Pair("a whale", pictures[0])]
    answers: list[dict[int, float]] = [{i: 1.0} for i in range(6)] + [{0: 1.0, 3: 1.0}]
    task = Retrieval("mix", documents, queries, answers, languages=["en", "zh", "en", "", "", "", "zh"])
    report = evaluate(tiny_encoder, task, heads=["dense"], k=(1,))
    assert only(report, "dense", direction="").count == 7
    assert only(report, "dense", direction="text to text").count == 3
    assert only(report, "dense", direction="image to image").measures["recall@1"].mean == 1
    assert only(report, "dense", direction="pair to any").measures["recall@1"].mean <= 0.5
    assert only(report, "dense", language="en").count == 2
    assert only(report, "dense", language="zh").count == 2
    assert {r.language for r in report.results} == {"", "en", "zh"}


def test_tasks_of_one_name_are_one_result(tiny_encoder: Encoder) -> None:
    first = Retrieval("t", WORDS[:5], WORDS[:3], [{0: 1.0}, {1: 1.0}, {2: 1.0}], languages=["en"] * 3)
    second = Retrieval("t", WORDS[5:], WORDS[:2], [{0: 1.0}, {1: 1.0}], languages=["zh"] * 2)
    report = evaluate(tiny_encoder, [first, second], heads="dense", k=(1,))  # type: ignore[arg-type]
    whole, english, chinese = (only(report, "dense", language=x).measures["recall@1"].mean for x in ("", "en", "zh"))
    assert english == 1
    assert whole == pytest.approx((3 * english + 2 * chinese) / 5)


def test_a_document_that_is_left_out_makes_room(tiny_encoder: Encoder) -> None:
    task = Retrieval("t", ["a whale", "x"], ["a whale"], [{1: 1.0}])
    assert only(evaluate(tiny_encoder, task, k=(1,)), "dense").measures["recall@1"].mean == 0
    assert only(evaluate(tiny_encoder, replace(task, left_out=[0]), k=(1,)), "dense").measures["recall@1"].mean == 1


def test_broken_items_are_left_out_and_named(tiny_encoder: Encoder, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    documents = [tmp_path / "broken.png", *pictures]
    names = ([path.name for path in documents], ["the broken one", "itself"])
    task = Retrieval("t", documents, ["whale", pictures[1]], [{0: 1.0}, {2: 1.0}], names=names)
    report = evaluate(tiny_encoder, task, k=(1,))
    assert only(report, "dense").count == 1
    assert only(report, "dense").measures["recall@1"].mean == 1
    assert [name for name, _ in report.broken] == ["broken.png"]
    with pytest.raises(InputError, match=r"no query is left\. document 0: isn't a picture"):
        evaluate(tiny_encoder, replace(task, queries=["whale"], answers=[{0: 1.0}], names=((), ())))


def test_documents_in_parts_count_with_their_best(tiny_encoder: Encoder) -> None:
    limit = tiny_encoder.spec.max_tokens
    documents = [f"{'abcdefgh'[i]} " * limit + word for i, word in enumerate(WORDS[:8])]
    for head in ("dense", "multi"):
        parts = tiny_encoder.encode(documents, on_loss="chunk")
        asked = tiny_encoder.encode(WORDS, role="query")
        hits = onespace.rank(asked, parts, k=3, metric="cosine" if head == "dense" else "maxsim")
        best = [row[2].item for row in hits]  # the third is the answer, so that a change of order is seen
        task = Retrieval("t", documents, WORDS, [{i: 1.0} for i in best])
        whole = only(evaluate(tiny_encoder, task, k=(2, 3), on_loss="chunk"), head)
        cut = only(evaluate(tiny_encoder, task, k=(2, 3), on_loss="ignore"), head)
        assert (whole.measures["recall@2"].mean, whole.measures["recall@3"].mean) == (0, 1)
        assert cut.measures["recall@3"].mean < 1
    tiled = tiny_encoder.with_fit("tile")  # queries that are always in parts count with their overview
    picture = PILImage.fromarray(np.random.default_rng(0).integers(0, 256, (90, 40, 3), dtype=np.uint8))
    found = evaluate(tiled, Retrieval("t", [picture, "x"], [picture], [{0: 1.0}]), k=(1,))
    assert only(found, "dense").measures["recall@1"].mean == 1


def test_textual_similarity(tiny_encoder: Encoder) -> None:
    second = [*WORDS[:5], *WORDS[6:], WORDS[5]]
    gold = [5.0] * 5 + [0.0] * 5
    report = evaluate(tiny_encoder, Sts("sts", WORDS, second, gold, languages=["en"] * 6 + ["zh"] * 4))
    assert only(report, "dense").measures["spearman"].mean == pytest.approx(0.93, abs=0.02)  # ties of gold
    assert only(report, "dense").main[0] == "spearman"
    assert only(report, "dense", language="en").count == 6
    a, b = tiny_encoder.encode(WORDS), tiny_encoder.encode(second)
    cosines = (np.asarray(a.dense) * np.asarray(b.dense)).sum(1)
    assert only(report, "dense").measures["pearson"].mean == pytest.approx(np.corrcoef(cosines, gold)[0, 1], abs=1e-5)


def test_classification(tiny_encoder: Encoder) -> None:
    classes = {"en": WORDS[:6], "zh": [*WORDS[1:6], WORDS[0]]}
    items, labels = [WORDS[0], WORDS[0], WORDS[1], WORDS[2]], [0, 0, 1, 3]  # the last label is wrong
    report = evaluate(tiny_encoder, Classification("c", items, labels, classes, {"en": ["{}"], "zh": ["{}"]}))
    english = only(report, "dense", language="en")
    assert english.measures["accuracy"].mean == pytest.approx(3 / 4)
    assert english.measures["accuracy by class"].mean == pytest.approx(2 / 3)
    assert english.direction == "text to class"
    assert "accuracy@5" in english.measures
    assert only(report, "dense", language="zh").measures["accuracy"].mean <= 1 / 4
    assert only(report, "dense").count == 8


def test_templates_speak_together(tiny_encoder: Encoder) -> None:
    """Dense: the cosine to the mean of the templates' unit rows, as CLIP's zero-shot classifier takes it."""
    prompts = [tiny_encoder.encode([f"{t} {c}" for c in WORDS[:4]]) for t in ("a", "the", "12")]
    items = tiny_encoder.encode(WORDS)
    mean = np.mean([np.asarray(p.dense) for p in prompts], axis=0)
    best = (np.asarray(items.dense) @ (mean / np.linalg.norm(mean, axis=1, keepdims=True)).T).argmax(1)
    found = class_values(items, prompts, best.tolist(), way="dense", k=(1,))
    assert found[1].tolist() == [1.0] * len(WORDS)


def test_a_list_that_tasks_share_is_encoded_once(tiny_encoder: Encoder) -> None:
    encoded = Encoded(tiny_encoder)
    assert encoded.of(WORDS, "query") is encoded.of(WORDS, "document")  # no prefix sets them apart
    marked = Encoder(replace(tiny_encoder.spec, query_prefix="query: "), tiny_encoder.tokenizer, tiny_encoder.engine)
    encoded = Encoded(marked)
    query, document = (np.asarray(encoded.of(WORDS, role).embeddings.dense) for role in ("query", "document"))  # type: ignore[arg-type]
    assert np.abs(query - document).max() > 0.01


def test_a_dual_encoder_has_one_way_and_no_pairs(pictures: list[Path]) -> None:
    model = chinese_clip.tiny()
    report = evaluate(model, Retrieval("t", pictures, pictures, [{i: 1.0} for i in range(6)]), k=(1,))
    assert [r.way for r in report.results] == ["dense"]
    pair = Retrieval("t", pictures, [Pair("x", pictures[0])], [{0: 1.0}])
    with pytest.raises(KindError, match="takes text and image with dense; here are items of kind image, pair"):
        evaluate(model, pair)


def test_arguments_are_checked(tiny_encoder: Encoder) -> None:
    task = Retrieval("t", ["a"], ["a"], [{0: 1.0}])
    for wrong in ({"k": (0,)}, {"k": ()}):
        with pytest.raises(InputError, match="numbers from 1"):
            evaluate(tiny_encoder, task, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="0 tasks"):
        evaluate(tiny_encoder, [])
    with pytest.raises(InputError, match="heads="):
        evaluate(tiny_encoder, task, heads=("x",))  # type: ignore[arg-type]


def test_the_report_is_plain(tiny_encoder: Encoder) -> None:
    report = evaluate(tiny_encoder, Retrieval("t", ["a", "b"], ["a"], [{0: 1.0}], notes=("a note",)), k=(1, 10))
    plain = report.to_dict()
    assert plain["model"] == "tiny"
    assert plain["notes"] == ["a note"]
    assert plain["results"][0] | {"measures": None} == {
        "task": "t", "direction": "text to text", "language": "", "by": "dense", "count": 1, "measures": None
    }  # fmt: skip
    assert plain["results"][0]["measures"]["ndcg@10"] == {"mean": 1.0, "low": 0.0, "high": 1.0}


def test_a_spec_without_sparse_has_no_blend(tiny_encoder: Encoder) -> None:
    from onespace.evaluate.scores import ways

    spec: Spec = tiny_encoder.spec
    assert ways(spec, {"text"}) == ("dense", "sparse", "multi", "blend")
    assert ways(spec, {"text"}, heads=("dense", "multi")) == ("dense", "multi")
    assert ways(replace(spec, trained=("text/dense", "image/dense")), {"text", "image"}) == ("dense",)
