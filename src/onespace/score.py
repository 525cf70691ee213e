"""How near two sets of items are: one function, six metrics.

``cosine``, ``dot`` and ``euclidean`` compare dense rows; ``lexical`` compares sparse rows; ``maxsim`` compares
multi-vectors; ``blend`` is the weighted mean of cosine, lexical and maxsim (BGE-M3, Chen et al. 2024, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import numpy as np

from onespace.embeddings import Embeddings, Ragged, Sparse, ranges
from onespace.errors import InputError
from onespace.fairness import Calibration
from onespace.types import Head, Metric, Modality

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Vectors: TypeAlias = "Embeddings | ArrayLike"
Weights: TypeAlias = tuple[float, float, float]
"""Of dense, sparse and multi in a blend."""

BLEND: Weights = (1.0, 0.3, 1.0)
"""The weights of ``blend`` that BGE-M3 was trained with."""
BLENDS: dict[str, tuple[Weights, Weights]] = {"onespace-mini": ((1.0, 0.0015, 0.0125), (1.0, 0.0, 0.025))}
"""Those of other models, by name: for texts that ask, and for pictures and pairs that do.

Those of onespace-mini were chosen on drawings that nothing else is measured on (`recipes/mini/blend.py`): its terms
weigh 3 on average, and its dense vector is the best head by far. Two pictures share hundreds of terms, whose sum would
drown the rest, so a picture doesn't ask by its terms.
"""
NO_ROWS = -1.0
"""The maxsim of an item without a vector: the least that unit rows can score, so it never beats a real match."""
PRODUCTS = 4_000_000
"""Most products that ``lexical`` and ``maxsim`` hold at once."""
QUERY_ROWS = 256


def similarity(
    a: Vectors,
    b: Vectors,
    *,
    metric: Metric = "cosine",
    weights: Weights | None = None,
    fair: bool | Calibration = False,
) -> np.ndarray:
    """Compares every item of ``a`` with every item of ``b``: (N, M) float32.

    Larger is nearer, except for ``euclidean``, which is a distance. The dense metrics also take plain arrays (N, D).
    ``maxsim`` and ``blend`` are not symmetric: ``a`` holds the queries. ``weights`` are those of dense, sparse and
    multi in ``blend``, by default the model's own (`blend_weights`); it divides by their sum, and a head of weight 0
    isn't needed.

    ``fair=True`` makes the scores of texts, pictures and pairs comparable, so that they can be ranked in one list: the
    result is how sure it is that two items belong together, 0 being as likely as not, and larger is nearer under every
    metric (see `onespace.fairness`). It takes the calibration that comes with the model;
    ``fair=Calibration.measure(...)`` takes one of your own.

    Raises:
        InputError: an unknown metric, a head that wasn't encoded, different models, widths that differ, or no
            calibration for ``fair``.

    >>> similarity([[3.0, 4.0]], [[3.0, 4.0], [4.0, -3.0]]).tolist()
    [[1.0, 0.0]]
    >>> similarity([[3.0, 4.0]], [[0.0, 0.0]], metric="euclidean").tolist()
    [[5.0]]
    """
    if metric not in get_args(Metric):
        raise InputError(f"metric {metric!r} isn't known. Choose one of {', '.join(get_args(Metric))}.")
    if isinstance(a, Embeddings) and isinstance(b, Embeddings) and a.model != b.model:
        raise InputError(
            f"a is from the model {a.model!r} and b from {b.model!r}: their spaces have nothing in common. "
            "Encode both with one model."
        )
    if metric == "blend" and weights is None and isinstance(a, Embeddings):
        scores = np.zeros((len(a), len(b)), np.float32)  # type: ignore[arg-type]
        for rows, own in own_weights(a):
            scores[rows] = similarity(a[rows], b, metric="blend", weights=own, fair=fair)
        return scores
    if fair:
        if not isinstance(a, Embeddings) or not isinstance(b, Embeddings):
            raise InputError(
                "fair needs the Embeddings that encode() returns: bare vectors don't say what they are of."
            )
        calibration = fair if isinstance(fair, Calibration) else Calibration.shipped(a.model)
        if calibration.model != a.model:
            raise InputError(
                f"the calibration is of {calibration.model!r}, the embeddings are from {a.model!r}. Measure that one."
            )
        plain = similarity(a, b, metric=metric, weights=weights)
        return calibration.apply(plain, a.modalities, b.modalities, metric=metric, weights=weights or BLEND)
    if metric == "lexical":
        return lexical(_head(a, "a", "sparse"), _head(b, "b", "sparse"))
    if metric == "maxsim":
        return maxsim(_head(a, "a", "multi"), _head(b, "b", "multi"))
    if metric == "blend":
        return _blend(a, b, weights or BLEND)
    return _dense(_matrix(a, "a"), _matrix(b, "b"), metric)


def blend_weights(model: str, modality: Modality = "text") -> Weights:
    """How much dense, sparse and multi count in a model's ``blend`` for a kind of query, unless one says otherwise.

    >>> blend_weights("bge-m3")
    (1.0, 0.3, 1.0)
    """
    text, pictured = BLENDS.get(model, (BLEND, BLEND))
    return text if modality == "text" else pictured


def own_weights(queries: Embeddings) -> Iterator[tuple[np.ndarray, Weights]]:
    """Row numbers of the queries that share the model's own weights, with these."""
    own = [blend_weights(queries.model, kind) for kind in queries.modalities]
    for weights in dict.fromkeys(own):
        yield np.flatnonzero([one == weights for one in own]), weights


def lexical(a: Sparse, b: Sparse) -> np.ndarray:
    """Sum of the products of the weights that two items have in common: (N, M) float32.

    >>> a = Sparse.from_rows([{1: 2.0, 7: 1.0}], vocab=9)
    >>> lexical(a, Sparse.from_rows([{1: 0.5, 7: 3.0}, {2: 9.0}], vocab=9)).tolist()
    [[4.0, 0.0]]
    """
    _same("vocabulary", a.shape[1], b.shape[1])
    asked = np.zeros(a.shape[1], bool)
    asked[a.indices] = True
    common = np.flatnonzero(asked[b.indices])  # entries of b whose term any query has
    by_term = common[np.argsort(b.indices[common], kind="stable")]
    terms, values = b.indices[by_term], b.values[by_term]
    items = np.searchsorted(b.indptr, by_term, "right") - 1
    first = np.searchsorted(terms, a.indices, "left")
    counts = np.searchsorted(terms, a.indices, "right") - first  # entries of b that each entry of a meets
    met = np.concatenate([[0], np.cumsum(counts)])[a.indptr]  # (N + 1,): products before each row
    scores = np.zeros((len(a), len(b)), np.float32)
    for start, stop in _blocks(np.diff(met) + len(b), PRODUCTS):
        span = slice(a.indptr[start], a.indptr[stop])
        take = ranges(first[span], counts[span])
        row = np.repeat(np.arange(stop - start), np.diff(met[start : stop + 1]))
        products = np.repeat(a.values[span], counts[span]) * values[take]
        sums = np.bincount(row * len(b) + items[take], weights=products, minlength=(stop - start) * len(b))
        scores[start:stop] = sums.reshape(stop - start, len(b))
    return scores


def maxsim(a: Ragged, b: Ragged) -> np.ndarray:
    """Mean over the rows of a query of the best dot product with a row of the document: (N, M) float32.

    Khattab and Zaharia 2020 (ColBERT) sum where BGE-M3 takes the mean. Where either item has no row the score is
    `NO_ROWS`.

    >>> query = Ragged.from_rows([np.array([[1.0, 0.0], [0.0, 1.0]])])
    >>> maxsim(query, Ragged.from_rows([np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0], [0.0, -1.0]])])).tolist()
    [[0.5, 0.0]]
    """
    _same("width", a.width, b.width)
    scores = np.full((len(a), len(b)), NO_ROWS, np.float32)
    queries, documents = np.flatnonzero(a.counts), np.flatnonzero(b.counts)
    for d0, d1 in _blocks(b.counts[documents], PRODUCTS // QUERY_ROWS):
        some = documents[d0:d1]
        rows = b.values[b.offsets[some[0]] : b.offsets[some[-1] + 1]]  # contiguous: items without rows take no room
        starts = b.offsets[some] - b.offsets[some[0]]
        for q0, q1 in _blocks(a.counts[queries], QUERY_ROWS):
            asked = queries[q0:q1]
            tokens = a.values[a.offsets[asked[0]] : a.offsets[asked[-1] + 1]]
            parts = (tokens[i : i + QUERY_ROWS] @ rows.T for i in range(0, len(tokens), QUERY_ROWS))
            best = np.concatenate([np.maximum.reduceat(part, starts, axis=1) for part in parts])  # (tokens, documents)
            sums = np.add.reduceat(best, a.offsets[asked] - a.offsets[asked[0]], axis=0)
            scores[np.ix_(asked, some)] = sums / a.counts[asked, None]
    return scores


def _blend(a: Vectors, b: Vectors, weights: Weights) -> np.ndarray:
    if len(weights) != 3 or min(weights) < 0 or sum(weights) == 0:
        raise InputError(
            f"weights {weights!r} must be three numbers, none below 0 and not all 0: dense, sparse, multi."
        )
    dense, sparse, multi = weights
    total: np.ndarray | float = 0.0
    if dense:
        total = total + dense * similarity(a, b, metric="cosine")
    if sparse:
        total = total + sparse * similarity(a, b, metric="lexical")
    if multi:
        total = total + multi * similarity(a, b, metric="maxsim")
    return np.asarray(total / sum(weights), np.float32)


def _dense(a: np.ndarray, b: np.ndarray, metric: Metric) -> np.ndarray:
    _same("width", a.shape[1], b.shape[1])
    if metric == "euclidean":  # in float64: the difference of two nearly equal squares keeps few digits
        a, b = a.astype(np.float64), b.astype(np.float64)
        squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
        return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float32)
    return np.asarray(_unit(a) @ _unit(b).T if metric == "cosine" else a @ b.T)


def _unit(x: np.ndarray) -> np.ndarray:
    """Unit rows; a row of zeros stays as it is."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(norms > 0, norms, 1), np.float32)


def _matrix(x: Vectors, name: str) -> np.ndarray:
    if isinstance(x, Embeddings):
        return np.asarray(_head(x, name, "dense"))
    matrix = np.asarray(x, np.float32)
    if matrix.ndim != 2:
        raise InputError(f"{name} has shape {matrix.shape}; a matrix (N, D) is needed. For one vector pass [vector].")
    return matrix


def _head(x: Vectors, name: str, head: Head) -> Any:
    if not isinstance(x, Embeddings):
        raise InputError(f"{name} is {type(x).__name__}; this metric needs the Embeddings that encode() returns.")
    value = getattr(x, head)
    if value is None:
        there = ", ".join(x.heads) or "none"
        raise InputError(
            f"{name} has no {head} head (it has: {there}). Encode with heads=({head!r},), with a model that has it."
        )
    return value


def _same(what: str, a: int, b: int) -> None:
    if a != b:
        raise InputError(f"a has {what} {a} and b has {what} {b}. Encode both with one model.")


def _blocks(costs: np.ndarray, budget: int) -> Iterator[tuple[int, int]]:
    """Cuts 0..n into runs whose costs add up to at most ``budget`` (a single costly one stands alone).

    >>> list(_blocks(np.array([2, 2, 9, 1]), 4))
    [(0, 2), (2, 3), (3, 4)]
    """
    ends, start = np.cumsum(costs), 0
    while start < len(costs):
        spent = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, spent + budget, "right")))
        yield start, stop
        start = stop
