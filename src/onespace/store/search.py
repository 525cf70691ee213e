"""Candidates from the engine, scores from the log: what is proposed may be approximate, what is scored is exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from onespace.embeddings import Embeddings
from onespace.errors import InputError
from onespace.explain import explain
from onespace.explain.explanation import Explanation
from onespace.fairness import Calibration
from onespace.parts import PartKind, Parts
from onespace.score import NO_ROWS, Weights, blend_weights, similarity
from onespace.search import Hit
from onespace.store.blobs import Shape
from onespace.store.engine import Metadata
from onespace.store.filters import Filter
from onespace.store.keeper import Keeper
from onespace.store.log import Id, Log
from onespace.store.references import Reference
from onespace.types import Box, Head, Metric

Fusion: TypeAlias = Literal["score", "rrf"]
METRICS: dict[Metric, tuple[Head, ...]] = {
    "cosine": ("dense",),
    "lexical": ("sparse",),
    "maxsim": ("multi",),
    "blend": ("dense", "sparse", "multi"),
}
"""The heads that each metric reads."""
BLOCK = 2048
"""Rows that are read and scored at once."""
MOST = 10_000
"""Candidates beyond which everything is looked at instead."""
SILENT: dict[Metric, float] = {"cosine": -np.inf, "lexical": 0.0, "maxsim": NO_ROWS}
"""Scores that say nothing: their ranks don't count."""
RRF = 60
"""Smooths ranks: 1 / (60 + rank) (Cormack, Clarke and Büttcher 2009)."""


@dataclass(frozen=True)
class SearchOptions:
    """How to search; the defaults are for everyday use."""

    metric: Metric | None = None
    """``cosine``, ``lexical``, ``maxsim`` or ``blend``; by default a blend of all the heads that are kept."""
    weights: Weights | None = None
    """Of dense, sparse and multi in a blend; by default the model's own."""
    fusion: Fusion = "score"
    """``"rrf"`` adds up reciprocal ranks under each head instead of scores."""
    fair: bool | Calibration = False
    """Makes scores of texts, pictures and pairs comparable (see `onespace.similarity`)."""
    exact: bool = False
    """Looks at every row that fits the filter, without the engine."""
    exact_below: int = 1000
    """So many items that fit the filter, or fewer, are all looked at: there an engine's graph would miss some."""
    fetch: int = 100
    """Candidates asked of the engine for each head, at least; four times what is wanted if that is more."""


@dataclass(frozen=True, slots=True)
class Found:
    """One found item and its best part."""

    id: Id
    score: float
    metadata: Metadata
    reference: Reference
    kind: PartKind = "whole"
    box: Box | None = None
    """The part of the picture, in original pixels; None for texts, and where nothing was split."""
    span: tuple[int, int] | None = None
    """The part of the text, in characters; None for pictures, and where nothing was split."""
    why: Explanation | None = None
    """What the score is the sum of, when ``explain=True`` was asked for."""

    @property
    def text(self) -> str:
        """What of the item's text was found: the part, or the whole."""
        return self.reference.text if self.span is None else self.reference.text[slice(*self.span)]

    @property
    def path(self) -> str | None:
        """Where the first picture lies; None for texts, and for pictures that weren't files."""
        return self.reference.pictures[0].path if self.reference.pictures else None

    @property
    def parts(self) -> dict[str, float]:
        """What each head adds to the score; empty without ``explain=True``."""
        return {str(head): share for head, share in self.why.shares.items()} if self.why else {}

    @property
    def where(self) -> str:
        """Box and span in words; empty when there is neither."""
        return Hit(0, 0, self.score, self.box, self.span).where


@dataclass(frozen=True)
class Wanted:
    """One call: what to return, and how to score it."""

    k: int
    offset: int
    filter: Filter | None
    explain: bool
    metric: Metric
    weights: Weights
    options: SearchOptions

    @classmethod
    def of(
        cls, k: int, offset: int, filter: Filter | None, explain: bool, options: SearchOptions, shape: Shape
    ) -> Wanted:
        """Checks the arguments against what the store keeps. Raises `InputError`."""
        for name, value, least in (("k", k, 1), ("offset", offset, 0), ("fetch", options.fetch, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name}={value!r} must be a whole number, at least {least}.")
        metric = options.metric or ("blend" if len(shape.heads) > 1 else "cosine")
        if metric not in METRICS:
            raise InputError(f"metric={metric!r}: a store is searched by {', '.join(METRICS)}.")
        if options.fusion not in get_args(Fusion):
            raise InputError(f"fusion={options.fusion!r} isn't known. Choose one of {', '.join(get_args(Fusion))}.")
        if options.fusion == "rrf" and (explain or options.fair):
            raise InputError("fusion='rrf' makes ranks of scores: it goes with neither explain nor fair.")
        missing = [head for head in METRICS[metric] if head not in shape.heads]
        if missing and metric != "blend":
            raise InputError(f"metric={metric!r} needs {missing[0]}; this store keeps {', '.join(shape.heads)}.")
        weights = options.weights or blend_weights(shape.model)
        kept = [w if head in shape.heads else 0.0 for head, w in zip(METRICS["blend"], weights, strict=False)]
        if len(weights) != 3 or min(kept) < 0 or (metric == "blend" and not sum(kept)):
            raise InputError(f"weights={weights!r} must be three numbers, none below 0 and not all 0.")
        return cls(k, offset, filter, explain, metric, (kept[0], kept[1], kept[2]), options)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads that the score reads."""
        if self.metric != "blend":
            return METRICS[self.metric]
        return tuple(head for head, w in zip(METRICS["blend"], self.weights, strict=True) if w)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics to be computed: the one, or one a head for their ranks."""
        if self.options.fusion == "score":
            return (self.metric,)
        return tuple(m for m, heads in METRICS.items() if m != "blend" and heads[0] in self.heads)


class Searcher:
    """Searches one log, with an engine to propose candidates or without."""

    def __init__(self, log: Log, keeper: Keeper | None, shape: Shape) -> None:
        self.log = log
        self.keeper = keeper
        self.shape = shape

    def search(self, asked: Embeddings, wanted: Wanted) -> list[list[Found]]:
        """The hits of each query, a row of ``asked`` each, as of one moment."""
        with self.log.snapshot():
            return self._search(asked, wanted)

    def _search(self, asked: Embeddings, wanted: Wanted) -> list[list[Found]]:
        total = self.log.count(wanted.filter)
        if not total:
            return [[] for _ in range(len(asked))]
        options = wanted.options
        if self.keeper is None or options.exact or total <= options.exact_below:
            pairs = self.log.keys(wanted.filter)
            scores = self._scores(asked, pairs[:, 0], wanted)
            return [self._found(asked[i], pairs, scores[i], wanted) for i in range(len(asked))]
        found = []
        for i in range(len(asked)):
            pairs = self._candidates(asked[i], wanted, total)
            found.append(self._found(asked[i], pairs, self._scores(asked[i], pairs[:, 0], wanted)[0], wanted))
        return found

    def _candidates(self, query: Embeddings, wanted: Wanted, total: int) -> np.ndarray:
        """(m, 2) keys and items: as many items as are wanted, from the engine while that gives enough."""
        need = min(wanted.k + wanted.offset, total)
        fetch = max(wanted.options.fetch, 4 * need)
        while fetch <= MOST:
            proposed = [propose(fetch) for propose in self._proposers(query, wanted)]
            keys = sorted({key for some in proposed for key in some})
            pairs = self.log.keys(wanted.filter, among=keys)
            if len(np.unique(pairs[:, 1])) >= need or wanted.heads == ("sparse",):
                return pairs
            if max(map(len, proposed)) < fetch:
                break  # the engine has no more to propose
            fetch *= 4
        return self.log.keys(wanted.filter)

    def _proposers(self, query: Embeddings, wanted: Wanted) -> list[Callable[[int], Sequence[int]]]:
        keeper, filter = self.keeper, wanted.filter
        several: list[Callable[[int], Sequence[int]]] = []
        if keeper is not None and query.dense is not None and wanted.heads != ("sparse",):
            dense = query.dense[0]
            several.append(lambda k: keeper.dense(dense, k=k, filter=filter))
        if keeper is not None and query.sparse is not None and wanted.heads != ("dense",):
            terms, weights = query.sparse.row(0)
            several.append(lambda k: keeper.sparse(terms, weights, k=k, filter=filter))
        return several

    def _scores(self, asked: Embeddings, keys: np.ndarray, wanted: Wanted) -> np.ndarray:
        """(Q, m): every query against the rows of these keys."""
        shape = replace(self.shape, heads=wanted.heads)
        blocks = []
        for start in range(0, len(keys), BLOCK):
            rows = self.log.embeddings(keys[start : start + BLOCK].tolist(), shape)
            blocks.append(
                np.stack(
                    [
                        similarity(asked, rows, metric=m, weights=wanted.weights, fair=wanted.options.fair)
                        for m in wanted.metrics
                    ]
                )
            )
        scores = np.concatenate(blocks, axis=2) if blocks else np.zeros((1, len(asked), 0), np.float32)
        if wanted.options.fusion == "score":
            return np.asarray(scores[0])
        told = zip(scores, wanted.metrics, strict=True)
        return sum((reciprocal_ranks(s) * (s > SILENT[m]) for s, m in told), np.zeros(scores.shape[1:]))

    def _found(self, query: Embeddings, pairs: np.ndarray, scores: np.ndarray, wanted: Wanted) -> list[Found]:
        best = best_rows(scores, pairs[:, 1])[wanted.offset :][: wanted.k]
        if not len(best):
            return []
        keys, numbers = pairs[best].T
        items = self.log.items(numbers.tolist())
        shape = self.shape if wanted.explain else replace(self.shape, heads=())
        rows = self.log.embeddings(keys.tolist(), shape)  # in the order of the keys
        parts = rows.parts or Parts.whole(len(rows))
        found = []
        for row, number, place in zip(best.tolist(), numbers.tolist(), np.argsort(np.argsort(keys)), strict=True):
            item = items[number]
            found.append(
                Found(
                    item.id,
                    float(scores[row]),
                    item.metadata,
                    item.reference,
                    parts.kind[place],
                    parts.box(place),
                    parts.span(place),
                    self._why(query, rows[place], wanted) if wanted.explain else None,
                )
            )
        return found

    def _why(self, query: Embeddings, document: Embeddings, wanted: Wanted) -> Explanation:
        why = explain(query, 0, document, 0, metric=wanted.metric, weights=wanted.weights)
        if not (fair := wanted.options.fair):
            return why
        calibration = fair if isinstance(fair, Calibration) else Calibration.shipped(self.shape.model)
        return why.calibrated(calibration, query=query.modalities[0], document=document.modalities[0])


def best_rows(scores: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The best row of each item, the best item first; of equal scores the earlier row.

    >>> best_rows(np.array([0.5, 0.9, 0.7, 0.8]), np.array([1, 2, 2, 3])).tolist()
    [1, 3, 0]
    """
    order = np.argsort(-scores, kind="stable")
    _, first = np.unique(items[order], return_index=True)
    return np.asarray(order[np.sort(first)])


def reciprocal_ranks(scores: np.ndarray) -> np.ndarray:
    """1 / (60 + rank) along each row of scores (Q, m), the best rank being 1.

    >>> np.round(1 / reciprocal_ranks(np.array([[0.5, 0.9, 0.1]]))).tolist()
    [[62.0, 61.0, 63.0]]
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, scores.shape[1] + 1)[None, :], axis=1)
    return np.asarray(1.0 / (RRF + ranks))
