from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import tiny_spec

import onespace
from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.errors import InputError
from onespace.families import load
from onespace.forms.compact import ALONE, CODES, WEIGHT_CODES, DenseForm, Form, MultiForm, SparseForm, apply
from onespace.forms.quantise import unit
from onespace.parts import Part, Parts
from onespace.score import similarity
from onespace.search import rank

DRAWINGS = Path(__file__).parents[1] / "data" / "drawings"
SHIPPED = Path(onespace.__file__).parent / "assets" / "mini"
SPEC = tiny_spec(name="m", truncatable=(8, 16))
NUMBERS = st.none() | st.integers(1, 999)
FORMS = st.builds(
    Form,
    st.builds(DenseForm, NUMBERS, st.sampled_from(CODES)),
    st.none() | st.builds(SparseForm, NUMBERS, st.sampled_from(WEIGHT_CODES)),
    st.none() | st.builds(MultiForm, st.integers(1, 99), NUMBERS, st.sampled_from(CODES), st.booleans()),
)


def clustered(n: int, seed: int = 0, *, width: int = 64, noise: float = 0.15) -> Embeddings:
    """Items around 40 centres, in all three heads; every seventh has no term and no vector, as some kinds have not."""
    random, centres = np.random.default_rng(seed), np.random.default_rng(99)
    topic = random.integers(0, 40, n)
    dense = unit(centres.standard_normal((40, width)))[topic] + noise * random.standard_normal((n, width))
    words = [centres.choice(500, 12, replace=False) for _ in range(40)]
    letters = unit(centres.standard_normal((240, 16))).reshape(40, 6, 16)
    terms = [
        {int(w): float(random.uniform(0.2, 2)) for w in random.choice(words[t], 8, replace=False)} if i % 7 else {}
        for i, t in enumerate(topic)
    ]
    vectors = [unit(letters[t][random.integers(0, 6, 20)] + 0.1 * random.standard_normal((20, 16))) for t in topic]
    multi = Ragged.from_rows([v[: 20 if i % 7 else 0] for i, v in enumerate(vectors)])
    places = np.full((len(multi.values), 4), np.nan, np.float32)
    places[::2] = random.integers(0, 300, (len(places[::2]), 4))
    sparse = Sparse.from_rows(terms, vocab=500)
    return Embeddings(("text",) * n, unit(dense), sparse, replace(multi, places=places), model="m")


def nearest(scores: np.ndarray, k: int = 10) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(found: list[list[int]], exact: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, exact.tolist(), strict=True)]))


@given(FORMS)
def test_a_form_is_read_back_from_its_words(form: Form) -> None:
    assert Form.parse(str(form)) == form


@pytest.mark.parametrize(
    "text", ["", "dense", "dense int4", "dense 0 int8", "dense pool 4 int8", "dense int8 + dense int8", "multi 3 int8"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        Form.parse(text)


def test_a_form_must_keep_something_in_numbers_that_make_sense() -> None:
    with pytest.raises(InputError, match="keeps nothing"):
        Form()
    for form in (DenseForm(width=0), SparseForm(keep=-1), MultiForm(pool=0), MultiForm(most=0)):
        with pytest.raises(InputError, match="must be at least 1"):
            Form(**{type(form).__name__[:-4].lower(): form})
    with pytest.raises(InputError, match="code 'binary' of sparse isn't known"):
        Form(sparse=SparseForm(code="binary"))  # type: ignore[arg-type]


def test_the_bytes_are_exact() -> None:
    e = clustered(70)
    assert e.sparse is not None
    terms = 60 * 8
    assert len(e.sparse.values) == terms
    whole = apply(e, Form.whole(e)).bytes_by_head
    assert whole == {"dense": 70 * 256, "sparse": 70 + terms * (2 + 4), "multi": 70 + 60 * 20 * (64 + 8)}
    form = Form(DenseForm(16, "binary"), SparseForm(3, "uint8"), MultiForm(4, code="int8", boxes=False))
    small = apply(e, form, spec=SPEC)
    assert small.bytes_by_head == {
        "dense": 70 * 2,
        "sparse": 70 * (1 + 4) + 60 * 3 * (2 + 1),
        "multi": 70 + 60 * 5 * 16,
    }
    assert small.nbytes == sum(small.bytes_by_head.values())
    assert small.bytes_per_item == small.nbytes / 70


def test_the_whole_form_changes_nothing_but_the_boxes_edges() -> None:
    e = clustered(30)
    back = apply(e, Form.whole(e)).decode()
    assert (back.modalities, back.model, back.heads) == (e.modalities, e.model, e.heads)
    np.testing.assert_allclose(back.dense, e.dense, atol=1e-6)
    assert back.sparse is not None
    assert e.sparse is not None
    assert back.sparse.to_dicts() == e.sparse.to_dicts()
    for i in range(30):
        np.testing.assert_allclose(back.multi[i], e.multi[i], atol=1e-6)  # type: ignore[index]
        np.testing.assert_array_equal(back.multi.boxes(i), e.multi.boxes(i))  # type: ignore[union-attr]


def test_notes_say_what_was_done_to_every_head() -> None:
    e = clustered(70)
    notes = apply(e, Form(DenseForm(16, "int8"), SparseForm(4, "uint8")), spec=SPEC).notes
    assert re.fullmatch(r"dense: 16 of 64 numbers as int8, mean cosine to the float row (0\.99|1\.00)\d\d", notes[0])
    assert notes[1].startswith("sparse: 240 of 480 terms with ")
    assert notes[2:] == ("multi: dropped",)
    (pooled, places, *_) = apply(e, Form(multi=MultiForm(most=5, code="binary", boxes=False))).notes
    words = (
        r"multi: 300 of 1200 vectors, mean cosine of a vector to the nearest that is left 0\.9\d+, as binary, mean .*"
    )
    assert re.fullmatch(words, pooled)
    assert places == "multi: boxes dropped"


def test_the_dense_vector_is_cut_only_where_the_model_was_trained_for_it() -> None:
    e = clustered(9)
    for width, spec, words in ((12, SPEC, "8, 16"), (8, None, "spec=model.spec"), (8, tiny_spec(), "spec=model.spec")):
        with pytest.raises(InputError, match=words):
            apply(e, Form(dense=DenseForm(width)), spec=spec)
    back = apply(e, Form(dense=DenseForm(8)), spec=SPEC).decode()
    assert e.dense is not None
    np.testing.assert_allclose(back.dense, unit(e.dense[:, :8]), atol=1e-6)
    assert apply(e, Form(dense=DenseForm(64))).nbytes == 9 * 256


def test_a_head_that_is_not_there_is_named() -> None:
    e = replace(clustered(5), sparse=None)
    with pytest.raises(InputError, match="the form keeps sparse; these embeddings have dense, multi"):
        apply(e, Form(sparse=SparseForm()))


@pytest.mark.parametrize(
    ("form", "least"),
    [
        ("dense float16", 0.99),
        ("dense int8", 0.97),
        ("dense binary", 0.6),
        ("sparse float16", 0.99),
        ("sparse uint8", 0.9),
        ("multi int8", 0.95),
        ("multi binary", 0.6),
        ("multi pool 2 int8", 0.6),
        ("dense int8 + sparse uint8 + multi int8", 0.95),
    ],
)
def test_what_a_form_finds_of_what_the_floats_find(form: str, least: float) -> None:
    documents, queries = clustered(600), clustered(33, seed=5)[1:7]
    compact = apply(documents, Form.parse(form))
    kept = compact.form.heads
    exact = similarity(queries, documents, metric=ALONE[kept[0]] if len(kept) == 1 else "blend")
    hits = compact.search(queries, k=10)
    assert recall([[h.item for h in row] for row in hits], nearest(exact)) >= least
    np.testing.assert_allclose([hits[0][0].score], compact.similarity(queries)[0].max(), atol=1e-6)


def test_chance_would_find_next_to_nothing() -> None:
    documents, queries = clustered(600), clustered(33, seed=5)[1:7]
    exact = nearest(similarity(queries, documents))
    random = np.random.default_rng(0).permuted(np.tile(np.arange(600), (6, 1)), axis=1)[:, :10]
    assert recall(random.tolist(), exact) < 0.2


def test_scoring_the_best_again_finds_what_the_floats_find() -> None:
    documents, queries = clustered(600), clustered(33, seed=5)[1:7]
    exact = nearest(similarity(queries, documents))
    bits = apply(documents, Form(dense=DenseForm(code="binary")))
    finer = apply(documents, Form(dense=DenseForm(code="int8")))
    dense = replace(documents, sparse=None, multi=None)

    def found(**how: object) -> float:
        return recall([[h.item for h in row] for row in bits.search(queries, **how)], exact)  # type: ignore[arg-type]

    assert found(rescore=finer) >= 0.97
    assert found(rescore=dense) >= 0.97
    assert found(hamming=True, rescore=dense) > found(hamming=True)
    assert found(hamming=True, rescore=bits) >= found(hamming=True)
    assert found(rescore=dense, candidates=600) == 1
    hit = bits.search(queries, rescore=dense)[0][0]
    assert hit.score == pytest.approx(float(similarity(queries[0], dense[hit.row])[0, 0]), abs=1e-5)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    documents, queries = clustered(50), clustered(5, seed=5)
    compact = apply(documents, Form.parse("dense int8 + sparse 4 uint8 + multi pool 2 binary"))
    expected = compact.similarity(queries)
    monkeypatch.setattr("onespace.forms.compact.NUMBERS_AT_ONCE", 700)
    assert len(list(compact._blocks())) > 10
    np.testing.assert_allclose(compact.similarity(queries), expected, atol=1e-6)


def test_an_item_in_parts_is_found_once_by_its_best_part() -> None:
    e = clustered(6)
    parts = Parts.of([0, 0, 1, 2, 2, 2], [Part("cell", (i, 0, i + 1, 1), (i, i + 2)) for i in range(6)])
    compact = apply(replace(e, parts=parts), Form(dense=DenseForm(code="int8")))
    assert compact.bytes_per_item == 6 * 64 / 3
    (hits,) = compact.search(e[4], k=5)
    assert sorted(h.item for h in hits) == [0, 1, 2]
    assert (hits[0].item, hits[0].row, hits[0].box, hits[0].span) == (2, 4, (4, 0, 5, 1), (4, 6))
    assert compact.decode().parts is parts


def test_a_query_in_parts_counts_with_its_best_part() -> None:
    e = clustered(60, noise=0.4)
    asked = replace(e[[3, 8]], parts=Parts.of([0, 0], [Part(), Part()]))
    compact = apply(e, "dense int8")
    (hits,) = compact.search(asked, k=2)
    assert {h.item for h in hits} == {3, 8}
    one, other = compact.search(e[[3, 8]], k=60)
    best = {h.item: h.score for h in other}
    assert hits[0].score == pytest.approx(max(max(h.score, best[h.item]) for h in one))


def test_a_hit_is_that_of_an_exact_search() -> None:
    e, queries = clustered(60), clustered(9, seed=4)
    whole = apply(e, Form.whole(e)).search(queries, k=7)
    for hits, exact in zip(whole, rank(queries, e, k=7, metric="blend"), strict=True):
        assert [(h.item, h.row, h.box, h.span) for h in hits] == [(h.item, h.row, h.box, h.span) for h in exact]
        np.testing.assert_allclose([h.score for h in hits], [h.score for h in exact], atol=1e-5)


def test_nothing_to_search_and_wrong_questions() -> None:
    e = clustered(20)
    compact = apply(e, Form(dense=DenseForm(code="int8")))
    empty = apply(e[:0], Form.whole(e))
    assert (empty.search(e), empty.nbytes, empty.bytes_per_item) == ([[]] * 20, 0, 0)
    assert compact.search(e[:0]) == []
    assert [len(row) for row in compact.search(e[:1], k=99)] == [20]
    with pytest.raises(InputError, match="must be at least 1"):
        compact.search(e, k=0)
    with pytest.raises(InputError, match="this form is dense int8"):
        compact.search(e, hamming=True)
    with pytest.raises(InputError, match="rescore holds 3 rows, and 20"):
        compact.search(e, rescore=e[:3])
    with pytest.raises(InputError, match="no dense head"):
        apply(e, Form(dense=DenseForm(code="binary"))).search(replace(e, dense=None), hamming=True)


def test_the_shipped_model_loses_little_in_a_tenth_of_the_room() -> None:
    names = json.loads((DRAWINGS / "names.json").read_text("utf-8"))
    model = load()
    documents = model.encode([DRAWINGS / f"{name}.png" for name in names])
    queries = model.encode([name["en"] for name in names.values()], role="query")

    def found(form: str) -> float:
        hits = apply(documents, form, spec=model.spec).search(queries, k=10)
        return float(np.mean([i in {h.item for h in row} for i, row in enumerate(hits)]))

    whole = found("dense float32")
    assert found("dense int8") >= whole - 0.01
    assert found("dense 128 int8") >= whole - 0.07
    assert found("dense 64 int8") >= whole - 0.15
    assert found("dense binary") >= whole - 0.20
    assert found("multi pool 4 int8") >= found("multi float32") - 0.12
