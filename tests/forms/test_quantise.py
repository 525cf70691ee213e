from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onespace.embeddings import Ragged, Sparse
from onespace.errors import InputError
from onespace.forms.quantise import CODES, Code, Codes, Terms, Vectors, WeightCode, _count, hamming, heaviest, unit

ROWS = st.lists(st.dictionaries(st.integers(0, 30), st.floats(2**-20, 9, width=32), max_size=6), max_size=5)


def some(n: int, width: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((n, width)))


@pytest.mark.parametrize(
    ("code", "size", "near"), [("float32", 400, 1), ("float16", 200, 1), ("int8", 100, 0.9999), ("binary", 13, 0.7)]
)
def test_a_unit_row_takes_its_codes_and_nothing_else(code: Code, size: int, near: float) -> None:
    rows = some(50, 100)
    codes = Codes.of(rows, code)
    assert codes.nbytes == 50 * size
    back = codes.decode()
    assert back.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1, atol=1e-5)
    assert (rows * back).sum(1).min() > near - 1e-6
    np.testing.assert_array_equal(codes.decode(np.array([7, 3])), back[[7, 3]])


@pytest.mark.parametrize("code", CODES)
def test_lengths_other_than_one_are_kept_and_zero_stays_zero(code: Code) -> None:
    rows = some(4, 9) * np.array([[1.0], [0.0], [2.5], [40.0]], np.float32)
    codes = Codes.of(rows, code)
    assert codes.nbytes == Codes.of(some(4, 9), code).nbytes + 4 * 4
    np.testing.assert_allclose(np.linalg.norm(codes.decode(), axis=1), [1, 0, 2.5, 40], rtol=1e-5)


@pytest.mark.parametrize("code", CODES)
def test_no_row_at_all(code: Code) -> None:
    codes = Codes.of(np.zeros((0, 8), np.float32), code)
    assert (codes.decode().shape, codes.nbytes) == ((0, 8), 0)


@given(st.integers(1, 70), st.integers(0, 5))
def test_hamming_is_the_cosine_of_the_signs(width: int, seed: int) -> None:
    a, b = some(3, width, seed), some(4, width, seed + 9)
    expected = np.where(a < 0, -1, 1) @ np.where(b < 0, -1, 1).T / width
    np.testing.assert_allclose(hamming(Codes.of(a, "binary"), Codes.of(b, "binary")), expected, atol=1e-6)


@pytest.mark.parametrize("size", [3, 8, 32])
def test_bits_are_counted_alike_with_and_without_numpy_2(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bits = np.random.default_rng(0).integers(0, 256, (20, size), np.uint8)
    expected = np.unpackbits(bits, axis=1).sum(1)
    np.testing.assert_array_equal(_count(bits), expected)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(_count(bits), expected)


def test_numbers_that_are_not_finite_and_unknown_codes_are_refused() -> None:
    with pytest.raises(InputError, match="row 1 holds numbers that aren't finite"):
        Codes.of(np.array([[1.0], [np.nan]], np.float32), "int8")
    with pytest.raises(InputError, match="code 'int4' isn't known"):
        Codes.of(some(1, 2), "int4")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="code 'int8' of sparse weights"):
        Terms.of(Sparse.empty(1, 9), "int8")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a weight of 70000 is too large for float16"):
        Terms.of(Sparse.from_rows([{1: 70000.0}], vocab=9), "float16")


@given(ROWS, st.sampled_from(["float32", "float16", "uint8"]))
def test_terms_come_back_all_of_them_and_near(rows: list[dict[int, float]], code: WeightCode) -> None:
    sparse = Sparse.from_rows(rows, vocab=31)
    terms = Terms.of(sparse, code)
    each = {"float32": 4, "float16": 2, "uint8": 1}[code]
    assert terms.nbytes == len(rows) * (5 if code == "uint8" else 1) + len(sparse.values) * (1 + each)
    back = terms.decode(np.arange(len(rows)))
    np.testing.assert_array_equal(back.indptr, sparse.indptr)
    np.testing.assert_array_equal(back.indices, sparse.indices)
    assert (back.values > 0).all()
    for got, row in zip(back.to_dicts(), sparse.to_dicts(), strict=True):
        step = max(row.values(), default=0) / 255 if code == "uint8" else 0.005
        assert all(abs(got[term] - value) <= step for term, value in row.items())


def test_some_term_rows_and_how_they_are_spelled() -> None:
    sparse = Sparse(
        np.array([0, 2, 2, 3]), np.array([1, 300, 4]), np.array([1.0, 0.5, 2.0], np.float32), (3, 400), "#{}".format
    )
    terms = Terms.of(sparse, "uint8")
    assert terms.ids.dtype == np.uint16
    picked = terms.decode(np.array([2, 0]))
    assert (picked.tokens(0), len(picked.tokens(1)), picked.shape) == ({"#4": 2.0}, 2, (2, 400))


@given(ROWS, st.integers(1, 6))
def test_the_heaviest_terms_stay(rows: list[dict[int, float]], keep: int) -> None:
    sparse = Sparse.from_rows(rows, vocab=31)
    for got, row in zip(heaviest(sparse, keep).to_dicts(), sparse.to_dicts(), strict=True):
        assert got == dict(sorted(sorted(row.items(), key=lambda entry: (-entry[1], entry[0]))[:keep]))


def test_boxes_are_rounded_outward_and_text_has_none() -> None:
    multi = Ragged.from_rows([some(2, 8), np.zeros((0, 8)), some(1, 8)])
    places = np.array([[1.6, 2.2, 9.1, 300.0], [np.nan] * 4, [0, 0, 5, 5]], np.float32)
    vectors = Vectors.of(Ragged(multi.values, multi.offsets, places), "int8", boxes=True)
    assert vectors.nbytes == 3 + 3 * 8 + 3 * 4 * 2  # counts, codes, boxes as uint16
    back = vectors.decode(np.array([0, 1, 2]))
    np.testing.assert_array_equal(back.boxes(0), [[1, 2, 10, 300], [np.nan] * 4])
    assert (len(back[1]), back.boxes(2).tolist()) == (0, [[0, 0, 5, 5]])
    assert Vectors.of(multi, "binary", boxes=True).nbytes == 3 + 3
