"""Fewer bits a number: rows of vectors as float16, int8 or sign bits, and term weights as float16 or uint8.

A unit row keeps its direction only: the codes alone say it, and no scale is stored. Where some rows of an array aren't
of length 1, the lengths of all its rows are kept beside the codes (4 bytes a row), so that nothing is lost unsaid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from onespace.embeddings import Ragged, Sparse, ranges
from onespace.errors import InputError

Code: TypeAlias = Literal["float32", "float16", "int8", "binary"]
WeightCode: TypeAlias = Literal["float32", "float16", "uint8"]
CODES: tuple[Code, ...] = get_args(Code)
WEIGHT_CODES: tuple[WeightCode, ...] = get_args(WeightCode)

UNIT = 1e-3
"""How far from 1 the length of a row may be while it still counts as a unit row."""
LEAST = {"float32": 0.0, "float16": 2.0**-24}
"""The least weight that doesn't become 0."""
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


@dataclass(frozen=True, eq=False)
class Codes:
    """Rows of vectors in one code.

    ``int8`` scales each row by its own largest number; ``binary`` keeps the sign of each number (0 counts as positive)
    and is read back as plus or minus one step.

    Shapes:
        data (N, D) of the code's type, or (N, ceil(D / 8)) uint8 for ``binary``; lengths (N,) float32, or None when
        every row is a unit row.

    >>> codes = Codes.of(np.array([[0.1, -0.7, 0.5, -0.5]], np.float32), "binary")
    >>> codes.decode().tolist(), codes.nbytes
    ([[0.5, -0.5, 0.5, -0.5]], 1)
    """

    data: np.ndarray
    code: Code
    width: int
    lengths: np.ndarray | None = None

    @classmethod
    def of(cls, rows: np.ndarray, code: Code) -> Codes:
        """Encodes (N, D) float32. Raises `InputError` for an unknown code or for numbers that aren't finite."""
        if code not in CODES:
            raise InputError(f"code {code!r} isn't known. Choose one of {', '.join(CODES)}.")
        lengths = np.linalg.norm(rows, axis=1).astype(np.float32)
        if not np.isfinite(lengths).all():
            raise InputError(f"row {np.flatnonzero(~np.isfinite(lengths))[0]} holds numbers that aren't finite.")
        units = rows / np.where(lengths > 0, lengths, 1)[:, None]
        if code == "binary":
            data = np.packbits(units >= 0, axis=1)
        elif code == "int8":
            largest = np.abs(units).max(1, initial=0)
            data = np.rint(units * (127 / np.where(largest > 0, largest, 1))[:, None]).astype(np.int8)
        else:
            data = units.astype(code)
        kept = None if (np.abs(lengths - 1) <= UNIT).all() else lengths
        return cls(data, code, rows.shape[1], kept)

    def decode(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The rows, or some of them, as (N, D) float32: unit rows, or rows of the lengths that were kept."""
        data = self.data[rows]
        if self.code == "binary":
            values = np.unpackbits(data, axis=1, count=self.width).astype(np.float32) * 2 - 1
        else:
            values = data.astype(np.float32)
        norms = np.linalg.norm(values, axis=1)
        scale = (1 if self.lengths is None else self.lengths[rows]) / np.where(norms > 0, norms, 1)
        return np.asarray(values * scale[:, None], np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.data.nbytes + (0 if self.lengths is None else self.lengths.nbytes)

    def __len__(self) -> int:
        return len(self.data)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a row of zeros stays as it is."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), np.float32)


def hamming(a: Codes, b: Codes) -> np.ndarray:
    """Cosine of the sign vectors of two sets of ``binary`` rows, by counting the bits that differ: (N, M) float32.

    >>> a = Codes.of(np.array([[1.0, 1, -1, 1]]), "binary")
    >>> hamming(a, Codes.of(np.array([[1.0, 1, 1, 1], [-1, -1, 1, -1]]), "binary")).tolist()
    [[0.5, -1.0]]
    """
    differ = np.empty((len(a), len(b)), np.int32)
    for row, bits in zip(differ, a.data, strict=True):
        row[:] = _count(bits ^ b.data)
    return (1 - 2 * differ / a.width).astype(np.float32)


def _count(bits: np.ndarray) -> np.ndarray:
    """Ones in each row of (N, bytes) uint8."""
    counter = getattr(np, "bitwise_count", None)  # from numpy 2
    if counter is None:
        return np.asarray(_ONES[bits].sum(1, dtype=np.int32))
    words = bits.view(np.uint64) if bits.shape[1] % 8 == 0 and bits.size else bits
    return np.asarray(counter(words).sum(1, dtype=np.int32))


@dataclass(frozen=True, eq=False)
class Terms:
    """Sparse rows in fewer bytes: ids as narrow as the vocabulary allows, weights in one code.

    ``uint8`` cuts the weights of a row into 255 steps of its heaviest one; a weight that would round to 0 keeps one
    step, so no term is lost.

    Shapes:
        counts (N,) and ids (nnz,) of the narrowest unsigned types; weights (nnz,); heaviest (N,) float32 or None.
    """

    counts: np.ndarray
    ids: np.ndarray
    weights: np.ndarray
    heaviest: np.ndarray | None
    like: Sparse
    """An empty matrix of the same vocabulary, which also spells the terms."""

    @classmethod
    def of(cls, sparse: Sparse, code: WeightCode) -> Terms:
        """Encodes sparse rows. Raises `InputError` for an unknown code or for weights that float16 can't hold."""
        if code not in WEIGHT_CODES:
            raise InputError(f"code {code!r} of sparse weights isn't known. Choose one of {', '.join(WEIGHT_CODES)}.")
        counts, heaviest = np.diff(sparse.indptr), None
        if code == "uint8":
            heaviest = np.zeros(len(sparse), np.float32)
            there = np.flatnonzero(counts)
            if len(there):
                heaviest[there] = np.maximum.reduceat(sparse.values, sparse.indptr[there])
            steps = sparse.values / np.repeat(heaviest, counts) * 255
            weights = np.clip(np.rint(steps), 1, 255).astype(np.uint8)
        else:
            largest = sparse.values.max(initial=0)
            if largest > np.finfo(code).max:
                raise InputError(f"a weight of {largest:g} is too large for {code}. Use float32.")
            weights = np.maximum(sparse.values, LEAST[code]).astype(code)
        return cls(narrow(counts), narrow(sparse.indices, sparse.shape[1] - 1), weights, heaviest, sparse[:0])

    def decode(self, rows: np.ndarray) -> Sparse:
        """Some of the rows, as a float32 `Sparse`."""
        counts = self.counts[rows].astype(np.int64)
        take = ranges(offsets(self.counts)[rows], counts)
        values = self.weights[take].astype(np.float32)
        if self.heaviest is not None:
            values *= np.repeat(self.heaviest[rows] / 255, counts)
        shape = (len(counts), self.like.shape[1])
        return Sparse(offsets(counts), self.ids[take].astype(np.int32), values, shape, self.like.piece)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        scale = 0 if self.heaviest is None else self.heaviest.nbytes
        return self.counts.nbytes + self.ids.nbytes + self.weights.nbytes + scale


@dataclass(frozen=True, eq=False)
class Vectors:
    """Several rows an item in one code, with their boxes in whole pixels (all 0 where a row has no box).

    Shapes:
        counts (N,) of the narrowest unsigned type; codes of T rows; boxes (T, 4) of the narrowest unsigned type, or
        None.
    """

    counts: np.ndarray
    codes: Codes
    boxes: np.ndarray | None

    @classmethod
    def of(cls, multi: Ragged, code: Code, *, boxes: bool) -> Vectors:
        """Encodes multi-vectors; boxes are rounded outward to whole pixels."""
        places = multi.places if boxes else None
        return cls(narrow(multi.counts), Codes.of(multi.values, code), None if places is None else _whole(places))

    def decode(self, rows: np.ndarray) -> Ragged:
        """Some of the items, as a float32 `Ragged`."""
        counts = self.counts[rows].astype(np.int64)
        take = ranges(offsets(self.counts)[rows], counts)
        places = None
        if self.boxes is not None:
            places = self.boxes[take].astype(np.float32)
            places[~places.any(1)] = np.nan
        return Ragged(self.codes.decode(take), offsets(counts), places)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.counts.nbytes + self.codes.nbytes + (0 if self.boxes is None else self.boxes.nbytes)


def _whole(places: np.ndarray) -> np.ndarray:
    outward = np.concatenate([np.floor(places[:, :2]), np.ceil(places[:, 2:])], axis=1)
    return narrow(np.maximum(np.nan_to_num(outward), 0))


def heaviest(sparse: Sparse, keep: int) -> Sparse:
    """Only the ``keep`` heaviest terms of each row; of equal weights the lower id stays.

    >>> heaviest(Sparse.from_rows([{1: 0.5, 4: 2.0, 6: 1.0}, {}], vocab=9), 2).to_dicts()
    [{4: 2.0, 6: 1.0}, {}]
    """
    row = np.repeat(np.arange(len(sparse)), np.diff(sparse.indptr))
    order = np.lexsort((sparse.indices, -sparse.values, row))
    place = np.arange(len(order)) - sparse.indptr[row]  # of each entry of `order` within its row
    kept = np.sort(order[place < keep])
    indptr = offsets(np.bincount(row[kept], minlength=len(sparse)))
    return Sparse(indptr, sparse.indices[kept], sparse.values[kept], sparse.shape, sparse.piece)


def offsets(counts: np.ndarray) -> np.ndarray:
    """Where each row starts, and the end: (N + 1,) int64."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def narrow(values: np.ndarray, largest: int | None = None) -> np.ndarray:
    """Whole numbers from 0 up in the narrowest unsigned type that holds the largest.

    >>> narrow(np.array([3, 255])).dtype, narrow(np.array([3]), 31_999).dtype
    (dtype('uint8'), dtype('uint16'))
    """
    top = largest if largest is not None else int(values.max(initial=0))
    return np.asarray(values.astype(np.min_scalar_type(max(top, 0))))
