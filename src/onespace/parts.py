"""Which row belongs to which item, and where in the item it looks: for items that were encoded in several parts.

An item is then a run of rows: its whole or its first window, then the passages of its text, then the cells of its
pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from onespace.types import Box

PartKind: TypeAlias = Literal["whole", "cell", "window", "passage"]
Span: TypeAlias = tuple[int, int]
"""(start, end) in characters of the item's text."""

NOWHERE: Box = (float("nan"),) * 4
NO_SPAN: Span = (-1, -1)


@dataclass(frozen=True, slots=True)
class Part:
    """Where one row looks."""

    kind: PartKind = "whole"
    box: Box = NOWHERE
    span: Span = NO_SPAN
    picture: int = 0


WHOLE = Part()


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of N items in M rows.

    Shapes:
        owner (M,) int64: the item of each row; boxes (M, 4) float32 in pixels of the original picture, NaN for texts;
        spans (M, 2) int64 in characters of the text, -1 for pictures; kind: M names; pictures (M,) int64: which of an
        item's pictures the box lies in, or None when it is always the first.

    >>> parts = Parts.of([0, 0, 1], [Part(), Part("cell", (0, 0, 5, 5)), Part(span=(0, 7))])
    >>> parts.items, parts.rows(0).tolist(), parts.box(1), parts.span(2), parts.box(2)
    (2, [0, 1], (0.0, 0.0, 5.0, 5.0), (0, 7), None)
    """

    owner: np.ndarray
    boxes: np.ndarray
    spans: np.ndarray
    kind: tuple[PartKind, ...]
    pictures: np.ndarray | None = None

    @classmethod
    def of(cls, owner: Sequence[int] | np.ndarray, parts: Sequence[Part]) -> Parts:
        """From one `Part` a row."""
        return cls(
            np.asarray(owner, np.int64).reshape(-1),
            np.array([p.box for p in parts], np.float32).reshape(-1, 4),
            np.array([p.span for p in parts], np.int64).reshape(-1, 2),
            tuple(p.kind for p in parts),
            np.array([p.picture for p in parts], np.int64) if any(p.picture for p in parts) else None,
        )

    @classmethod
    def whole(cls, n: int) -> Parts:
        """Of n items that are a row each."""
        return cls.of(range(n), [Part()] * n)

    @classmethod
    def concatenate(cls, several: Sequence[Parts]) -> Parts:
        """Stacks items, which are numbered on."""
        before = np.cumsum([0, *(p.items for p in several)])
        placed = any(p.pictures is not None for p in several)
        return cls(
            np.concatenate([p.owner + n for p, n in zip(several, before, strict=False)]),
            np.concatenate([p.boxes for p in several]),
            np.concatenate([p.spans for p in several]),
            tuple(k for p in several for k in p.kind),
            np.concatenate([p._pictures() for p in several]) if placed else None,
        )

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, rows: np.ndarray) -> Parts:
        """Some of the rows; their items are numbered anew, in the order of their first rows."""
        _, first, owner = np.unique(self.owner[rows], return_index=True, return_inverse=True)
        number = np.argsort(np.argsort(first))
        return Parts(
            number[owner].astype(np.int64) if len(first) else np.zeros(0, np.int64),
            self.boxes[rows],
            self.spans[rows],
            tuple(self.kind[int(i)] for i in rows),
            None if self.pictures is None else self.pictures[rows],
        )

    @property
    def items(self) -> int:
        """N, the number of items."""
        return int(self.owner.max()) + 1 if len(self.owner) else 0

    def rows(self, item: int) -> np.ndarray:
        """The rows of one item."""
        return np.flatnonzero(self.owner == item)

    def best(self, scores: np.ndarray) -> np.ndarray:
        """The score of each item's best row: (Q, M) -> (Q, N)."""
        order = np.argsort(self.owner, kind="stable")
        starts = np.flatnonzero(np.diff(self.owner[order], prepend=-1))
        return np.asarray(np.maximum.reduceat(scores[:, order], starts, axis=1))

    def box(self, row: int) -> Box | None:
        """The part of the picture that a row shows; None for texts."""
        left, top, right, bottom = (float(x) for x in self.boxes[row])
        return None if np.isnan(left) else (left, top, right, bottom)

    def span(self, row: int) -> Span | None:
        """The characters of the text that a row holds; None for pictures."""
        start, end = (int(x) for x in self.spans[row])
        return None if start < 0 else (start, end)

    def _pictures(self) -> np.ndarray:
        return np.zeros(len(self), np.int64) if self.pictures is None else self.pictures
