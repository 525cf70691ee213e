"""Fewer vectors an item: tokens that say nearly the same are replaced by their mean (Clavié et al. 2024).

The tokens of an item are grouped by Ward's rule, always joining the two groups whose joining moves the vectors least
(Ward 1963), in the order that a nearest-neighbour chain finds (Murtagh 1983): T * T steps, exact.
"""

from __future__ import annotations

import numpy as np

from onespace.embeddings import Ragged
from onespace.errors import InputError

RUN = 512
"""An item with more vectors than this is first thinned in runs of so many neighbours, to keep the work bounded."""


def pool(multi: Ragged, *, factor: int = 1, most: int | None = None) -> Ragged:
    """One vector for about every ``factor`` of an item, and at most ``most`` an item: unit means, in reading order.

    A mean of tokens with boxes gets the smallest box that holds theirs.

    Raises:
        InputError: ``factor`` or ``most`` below 1.

    >>> two = Ragged.from_rows([np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.zeros((0, 2))])
    >>> pool(two, most=2)[0].tolist(), len(pool(two, most=2)[1])
    ([[1.0, 0.0], [0.0, 1.0]], 0)
    """
    if factor < 1 or (most is not None and most < 1):
        raise InputError(f"factor={factor!r} and most={most!r} of token pooling must be at least 1.")
    if factor == 1 and (most is None or not len(multi.counts) or multi.counts.max() <= most):
        return multi
    rows, boxes = [], []
    for i in range(len(multi)):
        vectors = multi[i]
        wanted = min(-(-len(vectors) // factor), most or len(vectors))
        labels = group(vectors, wanted)
        rows.append(means(vectors, labels))
        if multi.places is not None:
            boxes.append(unions(multi.boxes(i), labels))
    pooled = Ragged.from_rows(rows)
    return Ragged(pooled.values, pooled.offsets, np.concatenate(boxes) if boxes else None)


def means(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean of each group, scaled to length 1 (a mean of zero stays zero)."""
    sums = np.zeros((_groups(labels), vectors.shape[1]), np.float32)
    np.add.at(sums, labels, vectors)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.where(norms > 0, norms, 1), np.float32)


def unions(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The smallest box around the boxes of each group; NaN where none of them has one."""
    joined = np.full((_groups(labels), 4), np.nan, np.float32)
    np.fmin.at(joined[:, :2], labels, boxes[:, :2])  # fmin and fmax pass over NaN
    np.fmax.at(joined[:, 2:], labels, boxes[:, 2:])
    return joined


def group(vectors: np.ndarray, wanted: int) -> np.ndarray:
    """Sorts (T, d) vectors into ``wanted`` groups: (T,) labels, numbered by the first member of each group."""
    labels = np.arange(len(vectors))
    if wanted >= len(vectors):
        return labels
    centres, sizes = vectors.astype(np.float64), np.ones(len(vectors))
    while len(centres) > RUN:
        left = [max(1, stop * wanted // len(centres) - start * wanted // len(centres)) for start, stop in _runs(centres)]
        inner, base = np.empty(len(centres), np.int64), 0
        for (start, stop), share in zip(_runs(centres), left, strict=True):
            inner[start:stop] = base + _ward(centres[start:stop], sizes[start:stop], share)
            base += share
        labels, centres, sizes = inner[labels], *_merged(centres, sizes, inner)
        if base <= wanted:
            return labels
    return np.asarray(_ward(centres, sizes, wanted)[labels])


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    return [(start, min(start + RUN, len(rows))) for start in range(0, len(rows), RUN)]


def _groups(labels: np.ndarray) -> int:
    return int(labels.max(initial=-1)) + 1


def _merged(centres: np.ndarray, sizes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = np.bincount(labels, weights=sizes)
    sums = np.zeros((len(total), centres.shape[1]))
    np.add.at(sums, labels, centres * sizes[:, None])
    return sums / total[:, None], total


def _ward(centres: np.ndarray, sizes: np.ndarray, wanted: int) -> np.ndarray:
    """Labels (T,) of ``wanted`` groups of weighted points."""
    n = len(centres)
    if wanted >= n:
        return np.arange(n)
    joins = sorted(_chain(centres.copy(), sizes.copy()), key=lambda join: join[0])
    parent = np.arange(n)
    for _, a, b in joins[: n - wanted]:
        old, new = max(parent[a], parent[b]), min(parent[a], parent[b])
        parent[parent == old] = new
    return np.asarray(np.unique(parent, return_inverse=True)[1])


def _chain(centres: np.ndarray, sizes: np.ndarray) -> list[tuple[float, int, int]]:
    """All T - 1 joins as (cost, a member of one group, a member of the other); changes its arguments."""
    alive, chain = np.ones(len(centres), bool), list[int]()
    squares = (centres**2).sum(1)
    joins: list[tuple[float, int, int]] = []
    while len(joins) < len(centres) - 1:
        if not chain:
            chain.append(int(alive.argmax()))
        tip = chain[-1]
        gaps = np.maximum(squares + squares[tip] - 2 * (centres @ centres[tip]), 0)
        costs = np.where(alive, gaps * sizes * sizes[tip] / (sizes + sizes[tip]), np.inf)
        costs[tip] = np.inf
        nearest = int(costs.argmin())
        if len(chain) > 1 and costs[chain[-2]] <= costs[nearest]:  # the two are each other's nearest
            a, b = chain.pop(), chain.pop()
            joins.append((float(costs[b]), a, b))
            centres[a] = (centres[a] * sizes[a] + centres[b] * sizes[b]) / (sizes[a] + sizes[b])
            sizes[a] += sizes[b]
            squares[a] = centres[a] @ centres[a]
            alive[b] = False
        else:
            chain.append(nearest)
    return joins
