from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from math import fsum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

import onespace
from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.explain.explanation import SHARES, Explanation, Field, explain, leave_one_out, name_tokens
from onespace.fairness import Calibration
from onespace.families import FAMILIES, SHIPPED
from onespace.score import NO_ROWS, similarity
from onespace.search import rank
from onespace.types import HEADS, MODALITIES, Item, Metric, Modality, Pair

METRICS: tuple[Metric, ...] = tuple(SHARES)
VOCAB, WIDTH = 12, 4


@st.composite
def rows(draw: st.DrawFn) -> Embeddings:
    """One item of any kind: any terms, any number of vectors, boxes for some of them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    modality: Modality = draw(st.sampled_from(MODALITIES))
    terms = draw(st.dictionaries(st.integers(0, VOCAB - 1), st.floats(0.125, 6, width=32), max_size=8))
    count = draw(st.integers(0, 7))
    placed = 0 if modality == "text" else draw(st.integers(0, count))
    places = np.full((count, 4), np.nan, np.float32)
    corner = random.uniform(0, 50, (placed, 2))
    places[:placed] = np.concatenate([corner, corner + random.uniform(1, 50, (placed, 2))], axis=1)
    values = _unit(random.standard_normal((count, WIDTH)))
    return Embeddings(
        (modality,),
        _unit(random.standard_normal((1, WIDTH))),
        Sparse.from_rows([terms], vocab=VOCAB),
        Ragged(values, np.array([0, count]), places if placed else None),
        model="m",
    )


def _unit(x: np.ndarray) -> np.ndarray:
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def adds_up(why: Explanation, score: float) -> None:
    assert why.score == pytest.approx(score, abs=1e-5, rel=1e-5)
    assert fsum(part.score for part in why.parts) == pytest.approx(why.score, abs=1e-5, rel=1e-5)
    assert fsum(why.shares.values()) == pytest.approx(why.score, abs=1e-5, rel=1e-5)


@given(rows(), rows(), st.sampled_from(METRICS), st.tuples(*[st.floats(0, 3)] * 3))
def test_parts_add_up_to_the_score(q: Embeddings, d: Embeddings, metric: Metric, weights: tuple[float, ...]) -> None:
    chosen = (weights[0] + 0.125, weights[1], weights[2])
    why = explain(q, 0, d, 0, metric=metric, weights=chosen)
    adds_up(why, similarity(q, d, metric=metric, weights=chosen).item())


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_add_up_for_every_family(family: str, pictures: list[PILImage.Image]) -> None:
    encoder: Encoder = import_module(f"onespace.families.{family}").tiny()
    mixture: dict[Modality, list[Item]] = {
        "text": ["a red house", "", "two whales by a boat"],
        "image": list(pictures[:2]),
        "pair": [Pair("a red house", pictures[2]), Pair("", pictures[3]), Pair("boat", pictures[:2])],
    }
    items = [item for kind in encoder.spec.modalities for item in mixture[kind]]
    e = encoder.encode(items, on_loss="ignore")
    for metric in METRICS:
        if not set(SHARES[metric]) <= set(e.heads):
            continue
        scores = similarity(e, e, metric=metric)
        for q in range(len(e)):
            for d in range(len(e)):
                adds_up(explain(e, q, e, d, metric=metric), scores[q, d])


@pytest.mark.parametrize("family", FAMILIES)
def test_leaving_out_adds_up_for_every_family(family: str, pictures: list[PILImage.Image]) -> None:
    encoder: Encoder = import_module(f"onespace.families.{family}").tiny()
    items: list[Item] = ["a red house"]
    items += [pictures[0]] if "image" in encoder.spec.modalities else []
    items += [Pair("red", pictures[:2])] if "pair" in encoder.spec.modalities else []
    e = encoder.encode(items, on_loss="ignore")
    for metric in METRICS:
        if set(SHARES[metric]) <= set(e.heads):
            for d, item in enumerate(items):
                why = leave_one_out(encoder, e, 0, item, metric=metric, cells=4)
                adds_up(why, similarity(e[0], e[d], metric=metric).item())


def test_terms_are_products_and_spelt() -> None:
    def spell(term: int) -> str:
        return {1: "▁whale", 2: "##s"}[term]

    one = replace(Sparse.from_rows([{1: 2.0, 2: 1.0, 3: 9.0}], vocab=5), piece=spell)
    two = Sparse.from_rows([{4: 1.0, 1: 0.5, 2: 4.0}], vocab=5)
    why = explain(Embeddings(("text",), sparse=one), 0, Embeddings(("text",), sparse=two), 0, metric="lexical")
    assert [(p.text, p.term, p.score) for p in why.parts] == [("s", 2, 4.0), ("whale", 1, 1.0)]


def test_each_query_token_names_its_best_match_and_its_box() -> None:
    query = Embeddings(("text",), multi=Ragged.from_rows([np.eye(2)]))
    multi = Ragged(
        np.array([[0.6, 0.8], [1.0, 0.0], [-1.0, 0.0]], np.float32),
        np.array([0, 3]),
        np.array([[0, 0, 10, 20], [10, 0, 20, 20], [np.nan] * 4], np.float32),
    )
    why = explain(query, 0, Embeddings(("image",), multi=multi), 0, metric="maxsim")
    first, second = why.parts
    assert (first.query_token, first.token, first.box, first.score) == (0, 1, (10, 0, 20, 20), 0.5)
    assert (second.query_token, second.token, second.box) == (1, 0, (0, 0, 10, 20))
    assert second.score == pytest.approx(0.4)


def test_where_there_are_no_vectors_the_score_is_one_part() -> None:
    e = Embeddings(("text",), multi=Ragged.empty(1, 3))
    (part,) = explain(e, 0, e, 0, metric="maxsim").parts
    assert (part.score, part.query_token, part.token) == (NO_ROWS, -1, -1)


def test_shares_are_those_of_the_weights() -> None:
    e = Embeddings(
        ("text",), np.eye(1, 3, dtype=np.float32), Sparse.from_rows([{1: 2.0}], 5), Ragged.from_rows([np.eye(3)])
    )
    assert explain(e, 0, e, 0, weights=(2, 1, 1)).shares == {"dense": 0.5, "sparse": 1.0, "multi": 0.25}
    assert set(explain(e, 0, e, 0, weights=(0, 1, 0)).shares) == {"sparse"}


def test_the_brightest_place_of_the_picture_is_found() -> None:
    edges = np.arange(0, 60, 10)
    boxes = np.array([(x, y, x + 10, y + 10) for y in edges for x in edges], np.float32)
    values = np.zeros(len(boxes))
    inside = (boxes[:, 0] >= 20) & (boxes[:, 0] < 40) & (boxes[:, 1] == 30)
    values[inside] = 1.0
    values[0] = 0.9  # as bright, but elsewhere
    assert Field(boxes, values).best == (20, 30, 40, 40)


def test_of_several_pictures_the_right_one_is_named(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    alone = tiny_encoder.encode([pictures[0]])
    pair = tiny_encoder.encode([Pair("sea", [pictures[1], pictures[0]])])
    each = tiny_encoder.spec.image.tokens  # type: ignore[union-attr]
    why = explain(alone, 0, pair, 0, metric="maxsim")
    for part in why.parts:
        assert part.picture == (0 if part.token >= 2 * each else part.token // each)
    assert {part.picture for part in explain(pair, 0, pair, 0, metric="maxsim").parts} == {0, 1}
    assert why.field is not None
    assert why.field.boxes[:, 2].max() == pytest.approx([32, 40][why.field.picture])


def test_leaving_out_finds_the_place_that_matters(tiny_encoder: Encoder) -> None:
    picture = PILImage.new("RGB", (64, 32), "white")
    picture.paste((200, 20, 20), (36, 4, 60, 28))
    query = tiny_encoder.encode([picture])
    why = leave_one_out(tiny_encoder, query, 0, picture, cells=2)
    losses = {part.box: part.score for part in why.parts if part.kind == "cell"}
    assert abs(losses[0, 0, 32, 32]) < 1e-6 < abs(losses[32, 0, 64, 32])


@pytest.mark.parametrize("metric", METRICS)
def test_leaving_out_of_an_item_in_parts_explains_its_best(tiny_encoder: Encoder, metric: Metric) -> None:
    tiled = tiny_encoder.with_fit("tile")
    noise = np.random.default_rng(0).integers(0, 256, (96, 320, 3), dtype=np.uint8)
    picture = PILImage.fromarray(noise)
    query, found = tiled.encode("whale"), tiled.encode(picture)
    assert len(found) > 1
    why = leave_one_out(tiled, query, 0, picture, metric=metric, cells=3)
    adds_up(why, rank(query, found, metric=metric)[0][0].score)


def test_leaving_out_a_word_gives_its_span(tiny_encoder: Encoder) -> None:
    query = tiny_encoder.encode("whale")
    why = leave_one_out(tiny_encoder, query, 0, "the whale", metric="maxsim")
    words = {part.text: part for part in why.parts if part.kind == "word"}
    assert words["whale"].span == (4, 9)
    assert words["whale"].score != 0
    assert why.field is None


def test_tokens_get_their_text_and_their_place(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    text, pair = "a whale", Pair("red whale", pictures[0])
    e, d = tiny_encoder.encode([text]), tiny_encoder.encode([pair])
    why = name_tokens(explain(e, 0, d, 0), tiny_encoder, query=text, document=pair)
    matches = {part.query_token: part for part in why.parts if part.kind == "match"}
    assert [(matches[i].text, matches[i].query_span) for i in (0, 1)] == [("a", (0, 1)), ("whale", (2, 7))]
    each = tiny_encoder.spec.image.tokens  # type: ignore[union-attr]
    found = {part.token - each: part for part in matches.values() if part.box is None}
    names = {0: "red", 1: "whale"}
    assert all(part.found == names.get(token, "[end]") for token, part in found.items())
    terms = {part.text: part for part in why.parts if part.kind == "term"}
    assert terms["whale"].span == (4, 9)
    adds_up(why, similarity(e, d, metric="blend").item())


def test_a_calibrated_score_adds_up_too() -> None:
    random = np.random.default_rng(0)
    n = 8
    e = Embeddings(
        ("text", "image") * (n // 2),
        _unit(random.standard_normal((n, WIDTH))),
        Sparse.from_rows([{int(t): 1.0 for t in random.integers(0, VOCAB, 4)} for _ in range(n)], VOCAB),
        Ragged.from_rows([_unit(random.standard_normal((3, WIDTH))) for _ in range(n)]),
        model="m",
    )
    fair = Calibration.of(e, e, groups=range(n))
    weights = (1.0, 0.5, 2.0)
    for metric in METRICS:
        why = explain(e, 0, e, 3, metric=metric, weights=weights).calibrated(fair, query="text", document="image")
        adds_up(why, similarity(e, e, metric=metric, weights=weights, fair=fair)[0, 3])


def test_plain_values_for_json(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    e = tiny_encoder.encode(["whale", pictures[0]])
    values = explain(e, 0, e, 1).to_dict()
    assert set(values["shares"]) <= set(HEADS)
    assert {part["kind"] for part in values["parts"]} >= {"vector", "match"}
    assert len(values["best_box"]) == 4
    assert "term" not in values["parts"][0]


def test_what_cannot_be_explained_is_refused(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    e = tiny_encoder.encode(["whale"], heads="dense")
    with pytest.raises(InputError, match="row 1 is outside the 1 rows"):
        explain(e, 1, e, 0, metric="cosine")
    with pytest.raises(InputError, match="has no sparse head"):
        explain(e, 0, e, 0, metric="lexical")
    with pytest.raises(InputError, match="cells=0 must be at least 1"):
        leave_one_out(tiny_encoder, e, 0, pictures[0], cells=0)


def test_the_shipped_model_finds_the_thing_beside_another() -> None:
    """A whale beside a bicycle, 512 pixels each: the nearest place lies on the side of the thing asked for."""
    folder = SHIPPED.parent / "demo"
    board = PILImage.new("RGB", (1024, 512), "white")
    for name, left in (("whale", 0), ("bicycle", 512)):
        with PILImage.open(folder / f"{name}.png") as picture:
            board.paste(picture.convert("RGB").resize((512, 512)), (left, 0))
    model = onespace.load().with_fit("tile")
    asked, found = model.encode(["a whale", "a bicycle"], role="query"), model.encode(board)
    middles = []
    for q, hits in enumerate(rank(asked, found, k=1, metric="blend")):
        why = explain(asked, q, found, hits[0].row, metric="blend")
        adds_up(why, similarity(asked, found, metric="blend")[q, hits[0].row])
        assert hits[0].box is not None
        assert why.field is not None
        assert why.field.best[0] >= hits[0].box[0]
        middles.append((hits[0].box[0] + hits[0].box[2]) / 2)
    assert middles[0] < 512 < middles[1]
