"""The nearest documents of each query: exact, in blocks, by any metric; each hit says where in its item it lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onespace.embeddings import Embeddings
from onespace.errors import InputError
from onespace.fairness import Calibration
from onespace.parts import Parts
from onespace.score import Weights, similarity
from onespace.types import Box, Metric

SCORES = 16_000_000
"""Most scores that are held at once."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One found item, with its best part.

    >>> Hit(item=4, row=9, score=0.5, box=(200.0, 0.0, 800.0, 600.0)).where
    'left 200, top 0, right 800, bottom 600'
    >>> Hit(item=4, row=9, score=0.5, span=(120, 480)).where
    'characters 120 to 480'
    """

    item: int
    row: int
    score: float
    box: Box | None = None
    """The part of the picture, in original pixels; None for texts, and where nothing was split."""
    span: tuple[int, int] | None = None
    """The part of the text, in characters; None for pictures, and where nothing was split."""

    @property
    def where(self) -> str:
        """Box and span in words; empty when there is neither."""
        said = []
        if self.box is not None:
            sides = zip(("left", "top", "right", "bottom"), self.box, strict=True)
            said.append(", ".join(f"{side} {value:.0f}" for side, value in sides))
        if self.span is not None:
            said.append(f"characters {self.span[0]} to {self.span[1]}")
        return "; ".join(said)


def rank(
    queries: Embeddings,
    documents: Embeddings,
    *,
    k: int = 10,
    metric: Metric = "cosine",
    weights: Weights | None = None,
    fair: bool | Calibration = False,
) -> list[list[Hit]]:
    """The k best documents of each query, best first: a list for each item of ``queries``.

    An item in parts counts with its best part, in the queries as in the documents. Of equal scores the earlier item,
    and the earlier part, stands first. ``euclidean`` is a distance, so its best is the smallest (unless ``fair``);
    ``weights`` and ``fair`` are those of `similarity`.

    Raises:
        InputError: ``k`` below 1, or what `similarity` refuses.
    """
    if k < 1:
        raise InputError(f"k={k!r} must be at least 1.")
    asked = queries.parts or Parts.whole(len(queries))
    held = documents.parts or Parts.whole(len(documents))
    sign = -1 if metric == "euclidean" and not fair else 1
    order = np.argsort(held.owner, kind="stable")  # rows of one item side by side
    starts = np.searchsorted(held.owner[order], np.arange(held.items))
    hits: list[list[Hit]] = []
    by_query = np.argsort(asked.owner, kind="stable")
    edges = np.searchsorted(asked.owner[by_query], np.arange(asked.items + 1))
    for first, last in _runs(edges, max(1, SCORES // max(1, len(documents)))):
        rows = by_query[edges[first] : edges[last]]
        scores = sign * similarity(queries[rows], documents, metric=metric, weights=weights, fair=fair)
        for query in range(first, last):
            own = scores[edges[query] - edges[first] : edges[query + 1] - edges[first]]  # (its parts, M)
            best = own.max(0)
            hits.append(_best(best, order, starts, held, k, sign))
    return hits


def _best(scores: np.ndarray, order: np.ndarray, starts: np.ndarray, held: Parts, k: int, sign: int) -> list[Hit]:
    """The k best items by the scores (M,) of their rows."""
    if not len(starts):
        return []
    items = np.maximum.reduceat(scores[order], starts)  # (N,)
    k = min(k, len(items))
    least = np.partition(items, len(items) - k)[len(items) - k]
    candidates = np.flatnonzero(items >= least)
    picked = candidates[np.argsort(-items[candidates], kind="stable")][:k]
    ends = np.append(starts[1:], len(order))
    hits = []
    for item in map(int, picked):
        rows = order[starts[item] : ends[item]]
        row = int(rows[np.argmax(scores[rows])])
        score = sign * float(items[item])
        hits.append(Hit(item, row, score, box=held.box(row), span=held.span(row)))
    return hits


def _runs(edges: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Runs of items with at most ``most`` rows together, or one item alone.

    >>> _runs(np.array([0, 2, 3, 9, 10]), 3)
    [(0, 2), (2, 3), (3, 4)]
    """
    runs, first = [], 0
    while first < len(edges) - 1:
        last = max(first + 1, int(np.searchsorted(edges, edges[first] + most, "right")) - 1)
        runs.append((first, last))
        first = last
    return runs
