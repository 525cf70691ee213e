"""Fewer vectors an item: tokens that say nearly the same are replaced by their mean (Clavié et al. 2024).

The tokens of an item are grouped by Ward's rule: the two groups whose joining moves the vectors least are joined, until
few enough are left (Ward 1963). After each join the costs of the new group follow from those of the two old ones (Lance
and Williams 1967); items of one size are worked on side by side.
"""

from __future__ import annotations

import numpy as np

from onespace.embeddings import Ragged
from onespace.errors import InputError
from onespace.forms.quantise import offsets, unit

RUN = 256
"""An item with more vectors than this is first thinned in runs of so many neighbours, to keep the work bounded."""
AT_ONCE = 2_000_000
"""Costs of joining that are held at a time."""


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
    counts = multi.counts
    wanted = np.minimum(-(-counts // factor), counts if most is None else most)
    if (wanted == counts).all():
        return multi
    starts = offsets(wanted)
    labels = group(multi, wanted) + np.repeat(starts[:-1], counts)
    return Ragged(
        means(multi.values, labels, starts[-1]),
        starts,
        None if multi.places is None else unions(multi.places, labels, starts[-1]),
    )


def means(vectors: np.ndarray, labels: np.ndarray, groups: int) -> np.ndarray:
    """The mean of each group, scaled to length 1 (a mean of zero stays zero)."""
    sums = np.zeros((groups, vectors.shape[1]), np.float32)
    np.add.at(sums, labels, vectors)
    return unit(sums)


def unions(boxes: np.ndarray, labels: np.ndarray, groups: int) -> np.ndarray:
    """The smallest box around the boxes of each group; NaN where none of them has one."""
    joined = np.full((groups, 4), np.nan, np.float32)
    np.fmin.at(joined[:, :2], labels, boxes[:, :2])  # fmin and fmax pass over NaN
    np.fmax.at(joined[:, 2:], labels, boxes[:, 2:])
    return joined


def group(multi: Ragged, wanted: np.ndarray) -> np.ndarray:
    """Sorts the vectors of each item into ``wanted`` (N,) groups: (T,) labels, numbered by their first members."""
    counts, labels = multi.counts, np.zeros(len(multi.values), np.int64)
    shapes, shape = np.unique(np.stack([counts, wanted], axis=1), axis=0, return_inverse=True)
    for number, (count, left) in enumerate(shapes.tolist()):
        items = np.flatnonzero(shape.reshape(-1) == number)
        together = max(1, AT_ONCE // max(1, min(count, RUN) ** 2))
        for some in np.split(items, range(together, len(items), together)):
            take = multi.offsets[some][:, None] + np.arange(count)  # (items, count)
            labels[take] = _thinned(multi.values[take].astype(np.float64), np.ones(take.shape), left)
    return labels


def _thinned(centres: np.ndarray, sizes: np.ndarray, wanted: int) -> np.ndarray:
    """Labels (B, T) of weighted points (B, T, d): run by run while there are many, then all together."""
    count = centres.shape[1]
    if count <= RUN:
        return _ward(centres, sizes, wanted)
    labels, groups = np.empty(sizes.shape, np.int64), 0
    for start in range(0, count, RUN):
        stop = min(start + RUN, count)
        share = max(1, stop * wanted // count - start * wanted // count)
        labels[:, start:stop] = groups + _ward(centres[:, start:stop], sizes[:, start:stop], share)
        groups += share
    if groups <= wanted:
        return labels
    totals, sums = np.zeros((len(sizes), groups)), np.zeros((len(sizes), groups, centres.shape[2]))
    every = np.arange(len(sizes))[:, None]
    np.add.at(totals, (every, labels), sizes)
    np.add.at(sums, (every, labels), centres * sizes[:, :, None])
    return np.take_along_axis(_thinned(sums / totals[:, :, None], totals, wanted), labels, axis=1)


def _ward(centres: np.ndarray, sizes: np.ndarray, wanted: int) -> np.ndarray:
    """Labels (B, T) of ``wanted`` groups of weighted points (B, T, d), for each of B items."""
    items, count, _ = centres.shape
    every, sizes = np.arange(items), sizes.copy()
    labels = np.tile(np.arange(count), (items, 1))
    if wanted >= count:
        return labels
    squares = (centres**2).sum(2)
    costs = squares[:, :, None] + squares[:, None, :] - 2 * centres @ centres.swapaxes(1, 2)
    costs = np.maximum(costs, 0) * (sizes[:, :, None] * sizes[:, None, :] / (sizes[:, :, None] + sizes[:, None, :]))
    costs[:, np.arange(count), np.arange(count)] = np.inf
    for _ in range(count - wanted):
        one, other = np.divmod(costs.reshape(items, -1).argmin(1), count)
        a, b = np.minimum(one, other), np.maximum(one, other)
        of_a, of_b = sizes[every, a][:, None], sizes[every, b][:, None]
        joined = (of_a + sizes) * costs[every, a] + (of_b + sizes) * costs[every, b]
        joined = (joined - sizes * costs[every, a, b][:, None]) / (of_a + of_b + sizes)  # inf at a, b and the joined
        costs[every, a], costs[every, :, a] = joined, joined
        costs[every, b], costs[every, :, b] = np.inf, np.inf
        sizes[every, a], sizes[every, b] = (of_a + of_b)[:, 0], 0
        labels = np.where(labels == b[:, None], a[:, None], labels)
    there = np.zeros((items, count), bool)
    there[every[:, None], labels] = True
    return np.take_along_axis(there.cumsum(1) - 1, labels, axis=1)
