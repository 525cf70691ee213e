"""What comes out: dense rows, sparse rows and ragged rows of one batch of items, kept together.

All three are held as flat arrays with views on demand: nothing is padded, and nothing is a Python list of dicts until
it is asked for.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from onespace.errors import InputError
from onespace.parts import Parts
from onespace.types import HEADS, Head, Modality, PictureReceipt, Receipt

Rows: TypeAlias = "slice | Sequence[int] | np.ndarray"
FORMAT = 1
"""Version of the ``.npz`` layout that `Embeddings.save` writes."""


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenates ``arange(start, start + count)`` over all the pairs, without a loop.

    >>> ranges(np.array([10, 0]), np.array([2, 3])).tolist()
    [10, 11, 0, 1, 2]
    """
    before = np.cumsum(counts) - counts
    return np.asarray(np.arange(int(counts.sum())) + np.repeat(starts - before, counts))


def _gather(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Picks rows of a ragged layout: the new offsets, and the flat positions to take."""
    counts = offsets[rows + 1] - offsets[rows]
    return _offsets(counts), ranges(offsets[rows], counts)


def _offsets(counts: np.ndarray | Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))]).astype(np.int64)


def _rows(index: Rows, n: int) -> np.ndarray:
    """Any index of n rows as non-negative row numbers. Raises `InputError` for one out of range."""
    picked = np.asarray(index) if not isinstance(index, slice) else np.arange(n)[index]
    if picked.size == 0:
        return np.zeros(0, np.int64)
    if picked.dtype == bool:
        if picked.shape != (n,):
            raise InputError(f"a boolean index needs {n} entries, one a row; this one has shape {picked.shape}.")
        return np.flatnonzero(picked)
    if picked.ndim != 1 or picked.dtype.kind not in "iu":
        raise InputError(f"rows are picked by a slice, integers or booleans, not by {picked.dtype} of {picked.shape}.")
    if picked.min() < -n or picked.max() >= n:
        raise InputError(f"row {picked.min() if picked.min() < -n else picked.max()} is outside the {n} rows.")
    return np.where(picked < 0, picked + n, picked).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Sparse:
    """Term weights of N items in compressed rows (CSR): ids ascend within a row, and every value is above 0.

    Shapes:
        indptr (N + 1,) int64, indices (nnz,) int32, values (nnz,) float32, shape (N, V).

    >>> s = Sparse.from_token_weights(np.array([[5, 2, 5]]), np.array([[0.5, 0.0, 0.75]]), vocab=8)
    >>> s.to_dicts()
    [{5: 0.75}]
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]
    piece: Callable[[int], str] | None = None
    """Spells a term id as text; used by `tokens`."""

    @classmethod
    def empty(cls, n: int, vocab: int) -> Sparse:
        """N rows without a term."""
        return cls(np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), (n, vocab))

    @classmethod
    def from_rows(cls, rows: Sequence[dict[int, float]], vocab: int) -> Sparse:
        """From one ``{id: weight}`` a row; weights that aren't above 0 are left out."""
        counts = np.array([len(row) for row in rows], np.int64)
        terms = np.array([term for row in rows for term in row], np.int64)
        values = np.array([value for row in rows for value in row.values()], np.float32)
        return cls._from_triplets(np.repeat(np.arange(len(rows)), counts), terms, values, (len(rows), vocab))

    @classmethod
    def from_token_weights(
        cls, ids: np.ndarray, weights: np.ndarray, vocab: int, *, terms: np.ndarray | None = None
    ) -> Sparse:
        """The largest weight of each id in a row; ``terms`` (from pictures) join in the same way.

        Shapes:
            ids (N, L) int, weights (N, L) float, terms (N, V) float or None.
        """
        row, column = np.nonzero(weights > 0)
        picked, values = ids[row, column], weights[row, column]
        if terms is not None:
            more, named = np.nonzero(terms > 0)
            row, picked = np.concatenate([row, more]), np.concatenate([picked, named])
            values = np.concatenate([values, terms[more, named]])
        return cls._from_triplets(row, picked, values, (len(ids), vocab))

    @classmethod
    def _from_triplets(cls, row: np.ndarray, term: np.ndarray, value: np.ndarray, shape: tuple[int, int]) -> Sparse:
        if term.size and (term.min() < 0 or term.max() >= shape[1]):
            raise InputError(
                f"term id {term.min() if term.min() < 0 else term.max()} isn't in a vocabulary of {shape[1]}."
            )
        kept = value > 0
        keys, value = row[kept].astype(np.int64) * shape[1] + term[kept], value[kept]
        order = np.argsort(keys, kind="stable")
        keys, first = np.unique(keys[order], return_index=True)
        best = np.maximum.reduceat(value[order], first) if keys.size else value
        counts = np.bincount(keys // shape[1], minlength=shape[0])
        return cls(_offsets(counts), (keys % shape[1]).astype(np.int32), best.astype(np.float32), shape)

    @classmethod
    def concatenate(cls, parts: Sequence[Sparse]) -> Sparse:
        """Stacks rows."""
        counts = np.concatenate([np.diff(p.indptr) for p in parts])
        indices, values = np.concatenate([p.indices for p in parts]), np.concatenate([p.values for p in parts])
        return cls(_offsets(counts), indices, values, (len(counts), parts[0].shape[1]), parts[0].piece)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Rows) -> Sparse:
        """Several rows, as a matrix of their own."""
        picked = _rows(rows, len(self))
        indptr, take = _gather(self.indptr, picked)
        return Sparse(indptr, self.indices[take], self.values[take], (len(picked), self.shape[1]), self.piece)

    def row(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Term ids and weights of one row, as views."""
        (i,) = _rows([i], len(self))
        span = slice(self.indptr[i], self.indptr[i + 1])
        return self.indices[span], self.values[span]

    def to_dicts(self) -> list[dict[int, float]]:
        """One ``{id: weight}`` a row."""
        return [
            dict(zip(ids.tolist(), values.tolist(), strict=True)) for ids, values in map(self.row, range(len(self)))
        ]

    def tokens(self, i: int) -> dict[str, float]:
        """The terms of one row as text, heaviest first (as ids in text where no tokenizer is attached)."""
        ids, values = self.row(i)
        order = np.argsort(-values, kind="stable")
        return {(self.piece or str)(int(ids[j])): float(values[j]) for j in order}


@dataclass(frozen=True, eq=False)
class Ragged:
    """Several vectors an item. ``ragged[i]`` is a view of item i: (T_i, d).

    Shapes:
        values (T, d) float32, offsets (N + 1,) int64, places (T, 4) float32 or None: the box of the original picture
        that each image token looks at, NaN for text tokens and for tokens on an added border.

    >>> r = Ragged.from_rows([np.ones((2, 4)), np.zeros((1, 4))])
    >>> len(r), r[0].shape, r[1].shape
    (2, (2, 4), (1, 4))
    """

    values: np.ndarray
    offsets: np.ndarray
    places: np.ndarray | None = None

    @classmethod
    def empty(cls, n: int, width: int) -> Ragged:
        """N items without a vector."""
        return cls(np.zeros((0, width), np.float32), np.zeros(n + 1, np.int64))

    @classmethod
    def from_rows(cls, rows: Sequence[np.ndarray]) -> Ragged:
        """From one (T_i, d) array an item; there must be at least one."""
        values = np.concatenate([np.asarray(row, np.float32) for row in rows])
        return cls(values, _offsets([len(row) for row in rows]))

    @classmethod
    def from_padded(cls, values: np.ndarray, mask: np.ndarray, *, boxes: np.ndarray | None = None) -> Ragged:
        """Drops what ``mask`` hides: values (N, T, d), mask (N, T) bool, boxes (N, T, 4) or None."""
        return cls(values[mask].astype(np.float32), _offsets(mask.sum(1)), None if boxes is None else boxes[mask])

    @classmethod
    def concatenate(cls, parts: Sequence[Ragged]) -> Ragged:
        """Stacks items."""
        counts = np.concatenate([p.counts for p in parts])
        placed = any(p.places is not None for p in parts)
        places = np.concatenate([p._places() for p in parts]) if placed else None
        return cls(np.concatenate([p.values for p in parts]), _offsets(counts), places)

    @property
    def counts(self) -> np.ndarray:
        """Number of vectors of each item, (N,)."""
        return np.diff(self.offsets)

    @property
    def width(self) -> int:
        """d, the width of every vector."""
        return int(self.values.shape[1])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int | Rows) -> Any:
        """An integer gives (T_i, d); a slice, a list or an array gives a `Ragged`."""
        if isinstance(index, (int, np.integer)):
            return self.values[self._span(int(index))]
        offsets, take = _gather(self.offsets, _rows(index, len(self)))
        return Ragged(self.values[take], offsets, None if self.places is None else self.places[take])

    def boxes(self, i: int) -> np.ndarray:
        """(T_i, 4): left, top, right, bottom in pixels of the original picture; NaN where there is no such place."""
        return self._places()[self._span(i)]

    def _span(self, i: int) -> slice:
        (i,) = _rows([i], len(self))
        return slice(self.offsets[i], self.offsets[i + 1])

    def _places(self) -> np.ndarray:
        return np.full((len(self.values), 4), np.nan, np.float32) if self.places is None else self.places


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The representations of N items by one model; a head that wasn't asked for is None.

    Where items were encoded in parts (cells, windows, passages), each part is a row, and ``parts`` says which item a
    row belongs to: M rows for N items. Without parts M is N.

    Shapes:
        dense (M, D) float32, unit rows; sparse (M, V); multi M rows of (T_i, d), unit vectors.
    """

    modalities: tuple[Modality, ...]
    dense: np.ndarray | None = None
    sparse: Sparse | None = None
    multi: Ragged | None = None
    receipts: list[Receipt] = field(default_factory=list)
    model: str = ""
    parts: Parts | None = None

    def __len__(self) -> int:
        """M, the number of rows."""
        return len(self.modalities)

    @property
    def items(self) -> int:
        """N, the number of items."""
        return len(self) if self.parts is None else self.parts.items

    def rows(self, item: int) -> np.ndarray:
        """The rows of one item. Raises `InputError` when there is no such item."""
        (item,) = _rows([item], self.items)
        return np.array([item]) if self.parts is None else self.parts.rows(item)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads that are there."""
        return tuple(h for h in HEADS if getattr(self, h) is not None)

    def __getitem__(self, index: int | Rows) -> Embeddings:
        """Some of the rows, as `Embeddings` (of length 1 for an integer)."""
        rows = _rows([int(index)] if isinstance(index, (int, np.integer)) else index, len(self))
        return Embeddings(
            modalities=tuple(self.modalities[i] for i in rows),
            dense=None if self.dense is None else self.dense[rows],
            sparse=None if self.sparse is None else self.sparse[rows],
            multi=None if self.multi is None else self.multi[rows],
            receipts=[self.receipts[i] for i in rows] if self.receipts else [],
            model=self.model,
            parts=None if self.parts is None else self.parts[rows],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Embeddings]) -> Embeddings:
        """Stacks items of one model. Raises `InputError` when the models or the heads differ, or there is no part."""
        if not parts:
            raise InputError("there is nothing to concatenate. Pass at least one Embeddings.")
        first = parts[0]
        for i, part in enumerate(parts):
            if (part.model, part.heads) != (first.model, first.heads):
                raise InputError(
                    f"part {i} is from {part.model!r} with heads {part.heads}, part 0 from {first.model!r} with "
                    f"{first.heads}. Only embeddings of one model and the same heads can stand together."
                )
        if len(parts) == 1:
            return first
        split = any(part.parts is not None for part in parts)
        return cls(
            modalities=tuple(m for part in parts for m in part.modalities),
            dense=None if first.dense is None else np.concatenate([p.dense for p in parts if p.dense is not None]),
            sparse=None if first.sparse is None else Sparse.concatenate([p.sparse for p in parts if p.sparse]),
            multi=None if first.multi is None else Ragged.concatenate([p.multi for p in parts if p.multi]),
            receipts=[r for part in parts for r in part.receipts],
            model=first.model,
            parts=Parts.concatenate([p.parts or Parts.whole(len(p)) for p in parts]) if split else None,
        )

    def save(self, path: str | Path) -> None:
        """Writes one ``.npz`` file of plain arrays and JSON, replacing it whole or not at all."""
        meta = {
            "format": FORMAT,
            "model": self.model,
            "modalities": self.modalities,
            "receipts": [asdict(r) for r in self.receipts],
        }
        arrays: dict[str, np.ndarray] = {"meta": np.array(json.dumps(meta, ensure_ascii=False))}
        if self.dense is not None:
            arrays["dense"] = self.dense
        if (s := self.sparse) is not None:
            arrays |= {"sparse_indptr": s.indptr, "sparse_indices": s.indices, "sparse_values": s.values}
            arrays["sparse_shape"] = np.array(s.shape)
            if s.piece is not None:
                arrays["terms"] = np.unique(s.indices)
                arrays["pieces"] = np.array(json.dumps([s.piece(int(t)) for t in arrays["terms"]], ensure_ascii=False))
        if self.multi is not None:
            arrays |= {"multi_values": self.multi.values, "multi_offsets": self.multi.offsets}
            if self.multi.places is not None:
                arrays["multi_places"] = self.multi.places
        if (p := self.parts) is not None:
            arrays |= {"parts_owner": p.owner, "parts_boxes": p.boxes, "parts_spans": p.spans}
            arrays["parts_kind"] = np.array(p.kind, np.str_)
            if p.pictures is not None:
                arrays["parts_pictures"] = p.pictures
        target = Path(path)
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with partial.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def open(cls, path: str | Path) -> Embeddings:
        """Reads what `save` wrote. Raises `InputError` for any other file; never runs code from it."""
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = dict(archive)
            meta = json.loads(str(arrays["meta"]))
            if meta["format"] != FORMAT:
                raise InputError(f"{path} has layout {meta['format']}; this onespace reads {FORMAT}. Encode again.")
            return cls(
                modalities=tuple(meta["modalities"]),
                dense=arrays.get("dense"),
                sparse=_read_sparse(arrays),
                multi=_read_multi(arrays),
                receipts=[_read_receipt(r) for r in meta["receipts"]],
                model=meta["model"],
                parts=_read_parts(arrays),
            )
        except FileNotFoundError as error:
            raise InputError(f"{path} isn't there. Pass the file that Embeddings.save wrote.") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} isn't a file of embeddings ({error}). Write one with Embeddings.save.") from error


def _read_sparse(arrays: dict[str, np.ndarray]) -> Sparse | None:
    if "sparse_shape" not in arrays:
        return None
    n, vocab = arrays["sparse_shape"].tolist()
    sparse = Sparse(arrays["sparse_indptr"], arrays["sparse_indices"], arrays["sparse_values"], (n, vocab))
    if "pieces" not in arrays:
        return sparse
    pieces = dict(zip(arrays["terms"].tolist(), json.loads(str(arrays["pieces"])), strict=True))
    return replace(sparse, piece=pieces.__getitem__)


def _read_multi(arrays: dict[str, np.ndarray]) -> Ragged | None:
    if "multi_values" not in arrays:
        return None
    return Ragged(arrays["multi_values"], arrays["multi_offsets"], arrays.get("multi_places"))


def _read_parts(arrays: dict[str, np.ndarray]) -> Parts | None:
    if "parts_owner" not in arrays:
        return None
    kind = tuple(arrays["parts_kind"].tolist())
    return Parts(
        arrays["parts_owner"], arrays["parts_boxes"], arrays["parts_spans"], kind, arrays.get("parts_pictures")
    )


def _read_receipt(values: dict[str, Any]) -> Receipt:
    pictures = tuple(
        PictureReceipt(**{**p, "used": tuple(p["used"]), "notes": tuple(p["notes"])}) for p in values["pictures"]
    )
    return Receipt(**{**values, "pictures": pictures})
