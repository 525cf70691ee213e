"""Vectors of one row as bytes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.parts import Parts
from onespace.types import Head, Modality

Precision: TypeAlias = Literal["float16", "float32"]


@dataclass(frozen=True, slots=True)
class Blobs:
    """The vectors of one row: little-endian numbers, and None for a head that isn't kept.

    ``sparse`` is the term ids (int32), then their weights (float32); ``boxes`` are those of the multi-vectors, empty
    for texts.
    """

    dense: bytes | None
    sparse: bytes | None
    multi: bytes | None
    boxes: bytes


@dataclass(frozen=True)
class Shape:
    """What is needed to read blobs again."""

    model: str
    heads: tuple[Head, ...]
    dense: int
    vocab: int
    multi: int
    precision: Precision = "float16"


def pack(e: Embeddings, row: int, shape: Shape) -> Blobs:
    """The blobs of one row: of the heads that ``shape`` keeps."""
    dense = sparse = multi = None
    boxes = b""
    if "dense" in shape.heads and e.dense is not None:
        dense = e.dense[row].astype("<f4").tobytes()
    if "sparse" in shape.heads and e.sparse is not None:
        ids, weights = e.sparse.row(row)
        sparse = ids.astype("<i4").tobytes() + weights.astype("<f4").tobytes()
    if "multi" in shape.heads and e.multi is not None:
        multi = np.asarray(e.multi[row]).astype(np.dtype(shape.precision).newbyteorder("<")).tobytes()
        places = e.multi.boxes(row)
        boxes = b"" if np.isnan(places).all() else places.astype("<f4").tobytes()
    return Blobs(dense, sparse, multi, boxes)


def terms(blob: bytes | None) -> tuple[np.ndarray, np.ndarray]:
    """Ids and weights of one row."""
    half = len(blob or b"") // 2
    return np.frombuffer(blob or b"", "<i4", half // 4), np.frombuffer(blob or b"", "<f4", half // 4, half)


def unpack(rows: Sequence[Blobs], shape: Shape, modalities: Sequence[Modality], parts: Parts | None) -> Embeddings:
    """The rows as `Embeddings`; multi-vectors in float32, whatever they are kept in."""
    dense = sparse = multi = None
    if "dense" in shape.heads:
        dense = np.frombuffer(b"".join(b.dense or b"" for b in rows), "<f4").reshape(-1, shape.dense)
    if "sparse" in shape.heads:
        pairs = [terms(b.sparse) for b in rows]
        sparse = Sparse(
            _offsets([len(ids) for ids, _ in pairs]),
            np.concatenate([np.zeros(0, np.int32), *(ids for ids, _ in pairs)]),
            np.concatenate([np.zeros(0, np.float32), *(weights for _, weights in pairs)]),
            (len(rows), shape.vocab),
        )
    if "multi" in shape.heads:
        kind = np.dtype(shape.precision).newbyteorder("<")
        values = np.frombuffer(b"".join(b.multi or b"" for b in rows), kind).astype(np.float32)
        counts = [len(b.multi or b"") // kind.itemsize // shape.multi for b in rows]
        multi = Ragged(values.reshape(-1, shape.multi), _offsets(counts), _places(rows, counts))
    return Embeddings(tuple(modalities), dense, sparse, multi, model=shape.model, parts=parts)


def _places(rows: Sequence[Blobs], counts: list[int]) -> np.ndarray | None:
    if not any(b.boxes for b in rows):
        return None
    nowhere = np.full((max(counts), 4), np.nan, np.float32)
    read = [
        np.frombuffer(b.boxes, "<f4").reshape(-1, 4) if b.boxes else nowhere[:n]
        for b, n in zip(rows, counts, strict=True)
    ]
    return np.concatenate(read)


def _offsets(counts: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
