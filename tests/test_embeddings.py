from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.errors import InputError
from onespace.types import PictureReceipt, Receipt

ROWS = st.lists(st.dictionaries(st.integers(0, 30), st.floats(0, 9, width=32), max_size=6), max_size=5)


def some(n: int = 4, *, model: str = "m") -> Embeddings:
    random = np.random.default_rng(n)
    sparse = Sparse.from_rows([{i: 1.0 + i, 20: 0.5} for i in range(n)], vocab=30)
    multi = Ragged.from_rows([random.standard_normal((i + 1, 3)) for i in range(n)])
    places = random.random((len(multi.values), 4)).astype(np.float32)
    picture = PictureReceipt(9, 8, used=(0.0, 0.0, 9.0, 8.0), scale=0.5, notes=("rotated by EXIF",))
    return Embeddings(
        modalities=tuple(("text", "pair")[i % 2] for i in range(n)),  # type: ignore[misc]
        dense=random.standard_normal((n, 5)).astype(np.float32),
        sparse=replace(sparse, piece="abcdefghijklmnopqrstuvwxyz".__getitem__),
        multi=replace(multi, places=places),
        receipts=[Receipt("pair", 3, i, (picture,)) for i in range(n)],
        model=model,
    )


def same(a: Embeddings, b: Embeddings) -> None:
    assert (a.modalities, a.receipts, a.model, a.heads) == (b.modalities, b.receipts, b.model, b.heads)
    assert a.sparse is not None
    assert b.sparse is not None
    assert a.multi is not None
    assert b.multi is not None
    np.testing.assert_array_equal(a.dense, b.dense)
    assert a.sparse.to_dicts() == b.sparse.to_dicts()
    assert [a.sparse.tokens(i) for i in range(len(a))] == [b.sparse.tokens(i) for i in range(len(b))]
    for i in range(len(a)):
        np.testing.assert_array_equal(a.multi[i], b.multi[i])
        np.testing.assert_array_equal(a.multi.boxes(i), b.multi.boxes(i))


@given(ROWS)
def test_sparse_rows_come_back_without_what_is_not_above_zero(rows: list[dict[int, float]]) -> None:
    sparse = Sparse.from_rows(rows, vocab=31)
    assert sparse.to_dicts() == [dict(sorted((k, v) for k, v in row.items() if v > 0)) for row in rows]
    assert sparse.indptr.dtype == np.int64
    assert sparse.values.dtype == np.float32


def test_token_weights_take_the_largest_of_each_id_and_of_the_terms() -> None:
    ids = np.array([[5, 5, 2], [1, 0, 0]])
    weights = np.array([[0.5, 0.75, 0.25], [0.5, 0.0, 0.0]], np.float32)
    terms = np.zeros((2, 8), np.float32)
    terms[0, 2], terms[0, 7], terms[1, 1] = 1.0, 0.125, 0.25
    assert Sparse.from_token_weights(ids, weights, 8).to_dicts() == [{2: 0.25, 5: 0.75}, {1: 0.5}]
    joined = Sparse.from_token_weights(ids, weights, 8, terms=terms)
    assert joined.to_dicts() == [{2: 1.0, 5: 0.75, 7: 0.125}, {1: 0.5}]


def test_ids_outside_the_vocabulary_are_refused() -> None:
    with pytest.raises(InputError, match="term id 8 isn't in a vocabulary of 8"):
        Sparse.from_rows([{8: 1.0}], vocab=8)


def test_tokens_are_heaviest_first_and_ids_without_a_tokenizer() -> None:
    sparse = Sparse.from_rows([{3: 0.5, 1: 2.0}], vocab=8)
    assert list(sparse.tokens(0).items()) == [("1", 2.0), ("3", 0.5)]
    assert list(replace(sparse, piece="abcd".__getitem__).tokens(0)) == ["b", "d"]


def test_padding_is_dropped_from_ragged_rows() -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    mask = np.array([[True, False, True], [False, False, False]])
    ragged = Ragged.from_padded(values, mask)
    assert ragged[0].tolist() == [[0, 1], [4, 5]]
    assert ragged[1].shape == (0, 2)
    assert np.isnan(ragged.boxes(0)).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_picked_rows_are_the_rows(counts: list[int], data: st.DataObject) -> None:
    ragged = Ragged.from_rows([np.full((n, 2), i) for i, n in enumerate(counts)])
    picked = data.draw(st.lists(st.integers(-len(counts), len(counts) - 1), max_size=8))
    taken = ragged[picked]
    assert [row.tolist() for row in (taken[i] for i in range(len(taken)))] == [ragged[i].tolist() for i in picked]


def test_every_kind_of_index_gives_embeddings() -> None:
    e = some()
    for index in (slice(1, 3), [1, 2], np.array([1, 2]), np.array([False, True, True, False]), [-3, -2]):
        same(e[index], Embeddings.concatenate([e[1], e[2]]))
    assert len(e[0]) == 1
    assert len(e[[]]) == 0
    assert e[[]].dense.shape == (0, 5)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (4, "row 4 is outside the 4 rows"),
        ([-5], "row -5 is outside"),
        ([0.5], "not by float64"),
        (np.array([True]), "needs 4 entries"),
    ],
)
def test_a_wrong_index_is_named(index: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        some()[index]  # type: ignore[index]


def test_concatenating_refuses_other_models_other_heads_and_nothing() -> None:
    with pytest.raises(InputError, match="part 1 is from 'other'"):
        Embeddings.concatenate([some(), some(model="other")])
    with pytest.raises(InputError, match="the same heads"):
        Embeddings.concatenate([some(), replace(some(), sparse=None)])
    with pytest.raises(InputError, match="nothing to concatenate"):
        Embeddings.concatenate([])


def test_rows_without_an_item_survive_concatenation() -> None:
    e = some()
    same(Embeddings.concatenate([e[[]], e[:1], e[[]], e[1:]]), e)


@pytest.mark.parametrize("n", [4, 0])
def test_saved_embeddings_open_identical(tmp_path: Path, n: int) -> None:
    e = some()[:n]
    e.save(tmp_path / "vectors.npz")
    same(Embeddings.open(tmp_path / "vectors.npz"), e)
    assert [p.name for p in tmp_path.iterdir()] == ["vectors.npz"]


def test_only_the_heads_that_were_there_come_back(tmp_path: Path) -> None:
    e = Embeddings(("image",), dense=np.ones((1, 2), np.float32), model="m")
    e.save(str(tmp_path / "no-suffix"))
    opened = Embeddings.open(tmp_path / "no-suffix")
    assert opened.heads == ("dense",)
    assert opened.modalities == ("image",)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="isn't there"):
        Embeddings.open(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    np.savez(tmp_path / "old.npz", meta=np.array(json.dumps({"format": 0})))
    np.savez(tmp_path / "pickled.npz", meta=np.array([object()], dtype=object))
    whole = tmp_path / "whole.npz"
    some().save(whole)
    (tmp_path / "short.npz").write_bytes(whole.read_bytes()[:-200])
    for name in ("text", "other", "pickled", "short"):
        with pytest.raises(InputError, match=r"isn't a file of embeddings"):
            Embeddings.open(tmp_path / f"{name}.npz")
    with pytest.raises(InputError, match="has layout 0; this onespace reads 1"):
        Embeddings.open(tmp_path / "old.npz")


@settings(max_examples=20)
@given(ROWS)
def test_stacking_sparse_rows_is_stacking_their_dicts(rows: list[dict[int, float]]) -> None:
    one = Sparse.from_rows(rows, vocab=31)
    assert Sparse.concatenate([one, one]).to_dicts() == one.to_dicts() * 2
