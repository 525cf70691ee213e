from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from onespace import score
from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.errors import InputError
from onespace.score import lexical, maxsim, similarity

GOLDEN = Path(__file__).parent / "golden" / "bge-m3-tiny"


def ragged(counts: list[int], *, width: int = 3, seed: int = 0) -> Ragged:
    random = np.random.default_rng(seed)
    return Ragged.from_rows([np.zeros((0, width)), *(random.standard_normal((n, width)) for n in counts)])[1:]


def embeddings(n: int = 2, *, model: str = "m") -> Embeddings:
    random = np.random.default_rng(n)
    dense = random.standard_normal((n, 4)).astype(np.float32)
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    sparse = Sparse.from_rows([{1: 1.0, i: 2.0} for i in range(n)], vocab=9)
    return Embeddings(("text",) * n, dense, sparse, ragged([2] * n, seed=n), model=model)


@given(
    st.lists(st.integers(0, 5), max_size=6), st.lists(st.integers(0, 5), max_size=6), st.sampled_from([1, 7, 10_000])
)
def test_maxsim_is_the_mean_of_the_best(queries: list[int], documents: list[int], room: int) -> None:
    a, b = ragged(queries), ragged(documents, seed=1)
    wanted = [
        [
            float((q @ d.T).max(1).mean()) if len(q) and len(d) else score.NO_ROWS
            for d in map(b.__getitem__, range(len(b)))
        ]
        for q in map(a.__getitem__, range(len(a)))
    ]
    with pytest.MonkeyPatch.context() as patch:  # small blocks, so that their seams are met
        patch.setattr(score, "PRODUCTS", room)
        patch.setattr(score, "QUERY_ROWS", min(room, 3))
        got = maxsim(a, b)
    assert got.dtype == np.float32
    assert_allclose(got, np.reshape(wanted, (len(a), len(b))), atol=1e-6)


def test_real_negative_similarities_are_not_beaten_by_padding() -> None:
    query, document = Ragged.from_rows([np.array([[1.0, 0.0]])]), Ragged.from_rows([np.array([[-0.5, 0.0]])])
    assert maxsim(query, document).item() == -0.5


@given(
    *(st.lists(st.dictionaries(st.integers(0, 12), st.floats(0.125, 4, width=16)), max_size=6) for _ in range(2)),
    st.sampled_from([1, 10_000]),
)
def test_lexical_is_the_product_of_the_matrices(
    a: list[dict[int, float]], b: list[dict[int, float]], room: int
) -> None:
    def full(rows: list[dict[int, float]]) -> np.ndarray:
        return np.array([[row.get(i, 0.0) for i in range(13)] for row in rows]).reshape(len(rows), 13)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "PRODUCTS", room)
        got = lexical(Sparse.from_rows(a, vocab=13), Sparse.from_rows(b, vocab=13))
    assert_allclose(got, full(a) @ full(b).T, rtol=1e-6)


def test_dense_metrics_against_their_definitions() -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((3, 5)), random.standard_normal((4, 5))
    assert_allclose(similarity(a, b, metric="dot"), a @ b.T, rtol=1e-5)
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    assert_allclose(similarity(a, b), a @ b.T / norms, rtol=1e-5)
    assert_allclose(similarity(a, b, metric="euclidean"), np.linalg.norm(a[:, None] - b, axis=2), rtol=1e-5)


def test_near_vectors_keep_their_distance() -> None:
    a = np.full((1, 512), 10.0)
    assert similarity(a, a + 1e-3, metric="euclidean").item() == pytest.approx(1e-3 * 512**0.5, rel=1e-2)


def test_a_row_of_zeros_is_like_nothing() -> None:
    assert similarity([[0.0, 0.0]], [[1.0, 0.0]]).tolist() == [[0.0]]


def test_no_items_give_an_empty_matrix() -> None:
    e = embeddings()
    for metric in ("cosine", "dot", "euclidean", "lexical", "maxsim", "blend"):
        assert similarity(e[[]], e, metric=metric).shape == (0, 2)
        assert similarity(e, e[[]], metric=metric).shape == (2, 0)


def test_blend_is_the_weighted_mean_of_three_scores() -> None:
    a, b = embeddings(2), embeddings(3)
    dense, sparse, multi = (similarity(a, b, metric=m) for m in ("cosine", "lexical", "maxsim"))
    assert_allclose(similarity(a, b, metric="blend"), (dense + 0.3 * sparse + multi) / 2.3, rtol=1e-6)
    only = Embeddings(a.modalities, a.dense, model="m")
    assert_allclose(similarity(only, b, metric="blend", weights=(2, 0, 0)), dense, rtol=1e-6)


@pytest.mark.parametrize("weights", [(0, 0, 0), (1, -1, 1), (1, 1)])
def test_weights_that_mean_nothing_are_refused(weights: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="three numbers"):
        similarity(embeddings(), embeddings(), metric="blend", weights=weights)


def test_what_cannot_be_compared_is_refused_with_a_remedy() -> None:
    e = embeddings()
    dense_only = Embeddings(e.modalities, e.dense, model="m")
    with pytest.raises(InputError, match=r"b has no multi head \(it has: dense\). Encode with heads=\('multi',\)"):
        similarity(e, dense_only, metric="maxsim")
    with pytest.raises(InputError, match="a is list; this metric needs the Embeddings"):
        similarity([[1.0]], e, metric="lexical")
    with pytest.raises(InputError, match="from the model 'm' and b from 'n'"):
        similarity(e, embeddings(model="n"))
    with pytest.raises(InputError, match="a has width 2 and b has width 4"):
        similarity([[1.0, 2.0]], e)
    with pytest.raises(InputError, match=r"a has shape \(2,\).*pass \[vector\]"):
        similarity([1.0, 2.0], e)
    with pytest.raises(InputError, match="metric 'manhattan' isn't known"):
        similarity(e, e, metric="manhattan")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="vocabulary 9 and b has vocabulary 8"):
        lexical(Sparse.empty(1, 9), Sparse.empty(1, 8))


def test_scores_equal_those_of_bge_m3() -> None:
    golden = np.load(GOLDEN / "expected.npz")
    meta = json.loads((GOLDEN / "meta.json").read_text(encoding="utf-8"))
    n = len(meta["texts"])
    words = [{int(k): v for k, v in row.items()} for row in meta["lexical_weights"]]
    e = Embeddings(
        ("text",) * n,
        golden["dense"],
        Sparse.from_rows(words, vocab=max(k for row in words for k in row) + 1),
        Ragged.from_rows([golden[f"colbert/{i}"] for i in range(n)]),
        model="bge-m3",
    )
    assert_allclose(similarity(e[:6], e[:6], metric="lexical"), golden["lexical_matrix"], atol=1e-5)
    assert_allclose(similarity(e[0], e[2], metric="maxsim").item(), golden["colbert_pair_0_2"], atol=1e-5)
    pairs = [[meta["texts"].index(text) for text in pair] for pair in meta["pairs"]][:4]  # the fifth was cut at 512
    left, right = np.array(pairs).T
    for name, weights in (("default", (1.0, 1.0, 1.0)), ("w_0.4_0.2_0.4", (0.4, 0.2, 0.4))):
        for part, metric in (("dense", "cosine"), ("sparse", "lexical"), ("colbert", "maxsim")):
            got = similarity(e[left], e[right], metric=metric).diagonal()
            assert_allclose(got, golden[f"score/{name}/{part}"][:4], atol=1e-5)
        blend = similarity(e[left], e[right], metric="blend", weights=weights).diagonal()
        assert_allclose(blend, golden[f"score/{name}/colbert+sparse+dense"][:4], atol=1e-5)


def test_maxsim_over_10_000_documents_is_5_times_faster_than_a_padded_einsum() -> None:
    from benchmarks.maxsim import measure

    result = measure(10_000, longest=256, times=2)
    assert result.difference <= 1e-5
    assert result.ratio >= 5


def test_a_model_blends_by_its_own_weights_for_each_kind_of_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(score.BLENDS, "m", ((1.0, 0.5, 0.0), (1.0, 0.0, 0.0)))
    dense = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    sparse = Sparse.from_rows([{1: 2.0}, {1: 4.0}], vocab=3)
    e = Embeddings(("text", "image"), dense=dense, sparse=sparse, model="m")
    blended = similarity(e, e, metric="blend")
    assert blended[0].tolist() == pytest.approx([(1 + 0.5 * 4) / 1.5, 0.5 * 8 / 1.5])
    assert blended[1].tolist() == [0.0, 1.0]
