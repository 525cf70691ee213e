"""From embeddings to a value for each query: the step between encoding and statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np

from onespace.embeddings import Embeddings
from onespace.evaluate.metrics import hit, judge, ranks
from onespace.evaluate.tasks import Retrieval
from onespace.score import similarity
from onespace.search import SCORES
from onespace.spec import Spec
from onespace.types import HEADS, Head, Metric, Modality

Way: TypeAlias = Literal["dense", "sparse", "multi", "blend"]
"""What a ranking is made by: one of the heads, or all three blended."""

METRIC: dict[Way, Metric] = {"dense": "cosine", "sparse": "lexical", "multi": "maxsim", "blend": "blend"}
PAIRS = 64
"""Pairs whose similarities are taken from one square."""


def ways(spec: Spec, kinds: set[Modality], *, heads: Sequence[Head] | None = None) -> tuple[Way, ...]:
    """The ways in which a model can compare items of all these kinds, with these heads (default: all that it has)."""
    asked = spec.head_names if heads is None else heads
    there = tuple(h for h in HEADS if h in asked and all(spec.level(kind, h) != "unsupported" for kind in kinds))
    return (*there, "blend") if len(there) == len(HEADS) else there


def retrieval_values(
    queries: Embeddings, documents: Embeddings, task: Retrieval, *, way: Way, k: Sequence[int]
) -> dict[str, np.ndarray]:
    """Every measure of a search, (Q,) each. A document in parts counts with its best part."""
    found = []
    for rows in _blocks(len(queries), len(documents)):
        scores = similarity(queries[rows], documents, metric=METRIC[way])
        if documents.parts is not None:
            scores = documents.parts.best(scores)
        for row, query in enumerate(rows if len(task.left_out) else ()):
            if task.left_out[query] >= 0:
                scores[row, task.left_out[query]] = -np.inf
        found.append(judge(scores, [task.answers[i] for i in rows], k=k))
    return {name: np.concatenate([some[name] for some in found]) for name in found[0]}


def pair_scores(first: Embeddings, second: Embeddings, *, way: Way) -> np.ndarray:
    """The similarity of each item with the item at the same place of the other side: (N,)."""
    spans = [slice(i, i + PAIRS) for i in range(0, len(first), PAIRS)]
    return np.concatenate([similarity(first[s], second[s], metric=METRIC[way]).diagonal() for s in spans])


def class_values(
    items: Embeddings, prompts: Sequence[Embeddings], labels: Sequence[int], *, way: Way, k: Sequence[int]
) -> dict[int, np.ndarray]:
    """Whether the label of an item is among the first k classes, {k: (N,)}.

    ``prompts`` holds the names of all the classes, once for each template. Of dense rows their mean is compared
    (Radford et al. 2021, section 3.1.4), otherwise the mean of their scores counts.
    """
    found: dict[int, list[np.ndarray]] = {n: [] for n in k}
    for rows in _blocks(len(items), len(prompts[0])):
        if way == "dense":
            scores = similarity(_dense(items[rows]), np.mean([_dense(some) for some in prompts], axis=0))
        else:
            scores = np.mean([similarity(items[rows], some, metric=METRIC[way]) for some in prompts], axis=0)
        places = [ranks(row, {labels[i]: 1.0})[0] for row, i in zip(scores, rows, strict=True)]
        for n in k:
            found[n].append(np.array([hit(place, n) for place in places]))
    return {n: np.concatenate(some) for n, some in found.items()}


def _dense(e: Embeddings) -> np.ndarray:
    return np.asarray(e.dense)


def _blocks(n: int, width: int) -> Iterator[range]:
    """Runs of rows whose scores fit.

    >>> [len(rows) for rows in _blocks(5, SCORES // 2)]
    [2, 2, 1]
    """
    step = max(1, SCORES // max(1, width))
    return (range(i, min(n, i + step)) for i in range(0, n, step))
