"""What a ranking, a labelling or a list of similarities is worth: small numpy functions, a number a query.

A relevant document has a grade above 0. Of documents with equal scores the relevant ones stand last, so that a model
that can't tell them apart gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def ranks(scores: np.ndarray, grades: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each relevant document (1 is the best) in one row of scores, and its grade, best rank first.

    Shapes:
        scores (N,), grades {document: grade above 0} of R documents -> ranks (R,) int64, grades (R,) float64.

    >>> found, grade = ranks(np.array([0.1, 0.9, 0.5, 0.5]), {2: 1.0, 1: 2.0})
    >>> found.tolist(), grade.tolist()
    ([1, 3], [2.0, 1.0])
    """
    documents = np.fromiter(grades.keys(), np.int64, len(grades))
    grade = np.fromiter(grades.values(), np.float64, len(grades))
    own = scores[documents]
    order = np.lexsort((grade, -own))
    own, grade = own[order], grade[order]
    ends = len(scores) - np.searchsorted(np.sort(scores), own, "left")  # documents that score as much, or more
    relevant = np.searchsorted(-own, -own, "right")  # of these, relevant ones
    return ends - relevant + np.arange(1, len(own) + 1), grade


def recall(found: np.ndarray, k: int) -> float:
    """Share of the relevant documents that are among the first k. ``found`` are the ranks of all of them.

    >>> recall(np.array([1, 3, 12]), 10)
    0.6666666666666666
    """
    return float((found <= k).mean()) if len(found) else 0.0


def hit(found: np.ndarray, k: int) -> float:
    """1 when any relevant document is among the first k, else 0: the "R@k" of papers on images and captions.

    >>> hit(np.array([3, 12]), 10), hit(np.array([3, 12]), 1)
    (1.0, 0.0)
    """
    return float((found <= k).any())


def reciprocal_rank(found: np.ndarray, k: int) -> float:
    """One over the rank of the first relevant document, 0 when it isn't among the first k. Its mean is MRR@k.

    >>> reciprocal_rank(np.array([4, 9]), 10)
    0.25
    """
    return float(1 / found[0]) if len(found) and found[0] <= k else 0.0


def average_precision(found: np.ndarray) -> float:
    """Mean of the precisions at the ranks of the relevant documents. Its mean is MAP.

    >>> average_precision(np.array([1, 4]))
    0.75
    """
    return float((np.arange(1, len(found) + 1) / found).mean()) if len(found) else 0.0


def ndcg(found: np.ndarray, grades: np.ndarray, k: int) -> float:
    """Normalised discounted cumulative gain at k; the gain is the grade itself, as in trec_eval.

    Source: Järvelin and Kekäläinen 2002.

    >>> ndcg(np.array([1, 2]), np.array([1.0, 1.0]), 10)
    1.0
    """
    best = -np.sort(-grades)[:k]
    ideal = float((best / np.log2(np.arange(2, len(best) + 2))).sum())
    seen = found <= k
    return float((grades[seen] / np.log2(found[seen] + 1)).sum()) / ideal if ideal else 0.0


def judge(scores: np.ndarray, grades: Sequence[Mapping[int, float]], *, k: Sequence[int]) -> dict[str, np.ndarray]:
    """Every measure of a retrieval, a value a query: recall, hit, nDCG and MRR at each of ``k``, and AP.

    Shapes:
        scores (Q, N); grades: Q times {document: grade}; each value (Q,) float64. A score of -inf is a document that
        isn't ranked.

    >>> judge(np.array([[0.9, 0.1], [0.9, 0.1]]), [{0: 1}, {1: 1}], k=[1])["recall@1"].tolist()
    [1.0, 0.0]
    """
    found = [ranks(row, some) for row, some in zip(scores, grades, strict=True)]
    measures = {f"ndcg@{n}": [ndcg(at, grade, n) for at, grade in found] for n in k}
    measures |= {f"recall@{n}": [recall(at, n) for at, _ in found] for n in k}
    measures |= {f"hit@{n}": [hit(at, n) for at, _ in found] for n in k}
    measures |= {f"mrr@{n}": [reciprocal_rank(at, n) for at, _ in found] for n in k}
    measures["map"] = [average_precision(at) for at, _ in found]
    return {name: np.array(values, np.float64) for name, values in measures.items()}


# -- correlation -----------------------------------------------------------------------------------------------------


def rank_of(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 along the last axis; equal values share the mean of their ranks.

    >>> rank_of(np.array([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    """
    if values.ndim > 1:
        return np.stack([rank_of(row) for row in values])
    ordered = np.sort(values)
    left, right = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return np.asarray((left + right + 1) / 2)


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Linear correlation along the last axis; 0 where either side is constant.

    >>> float(pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])).round(6))
    1.0
    """
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    norm = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return np.asarray((a * b).sum(-1) / np.where(norm > 0, norm, 1))


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rank correlation along the last axis: what STS is judged by.

    >>> float(spearman(np.array([1.0, 2.0, 30.0]), np.array([2.0, 4.0, 6.0])).round(6))
    1.0
    """
    return pearson(rank_of(a), rank_of(b))
