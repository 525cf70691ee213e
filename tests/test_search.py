from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onespace import search
from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.errors import InputError
from onespace.fairness import Calibration
from onespace.parts import Part, Parts
from onespace.score import similarity
from onespace.search import rank
from onespace.types import Metric


def some(owner: list[int], seed: int, *, split: bool = True) -> Embeddings:
    """Rows of small whole numbers, so that scores tie."""
    random = np.random.default_rng(seed)
    n = len(owner)
    parts = Parts.of(owner, [Part("cell", (i, 0, i + 1, 1)) for i in range(n)])
    return Embeddings(
        ("image",) * n,
        dense=random.integers(-1, 2, (n, 3)).astype(np.float32),
        sparse=Sparse.from_rows([{int(t): 1.0 for t in random.integers(0, 5, 3)} for _ in range(n)], vocab=5),
        multi=Ragged.from_rows(
            [random.integers(-1, 2, (random.integers(1, 4), 3)) for _ in range(n)] or [np.ones((0, 3))]
        )[:n],
        parts=parts if split else None,
    )


owners = st.lists(st.integers(1, 4), max_size=8).map(lambda counts: [i for i, c in enumerate(counts) for _ in range(c)])


@settings(deadline=None, max_examples=60)
@given(owners, owners, st.integers(1, 9), st.sampled_from(get_args(Metric)), st.integers(1, 40), st.booleans())
def test_ranking_is_that_of_sorting_everything(
    asked: list[int], held: list[int], k: int, metric: Metric, block: int, mixed: bool
) -> None:
    queries, documents = some(asked, 1), some(held, 2)
    if mixed and len(documents):  # rows of one item need not stand together
        documents = documents[np.random.default_rng(k).permutation(len(documents))]
    assert documents.parts is not None
    held_by = documents.parts.owner
    before, search.SCORES = search.SCORES, block
    try:
        found = rank(queries, documents, k=k, metric=metric)
    finally:
        search.SCORES = before
    scores = similarity(queries, documents, metric=metric) if held and asked else np.zeros((len(asked), len(held)))
    sign = -1 if metric == "euclidean" else 1
    assert len(found) == queries.items
    for query, hits in enumerate(found):
        best = (sign * scores[np.array(asked) == query]).max(0)
        wanted = sorted((-best[held_by == item].max(), item) for item in range(documents.items))[:k]
        assert [-sign * hit.score for hit in hits] == pytest.approx([score for score, _ in wanted], abs=1e-6)
        for hit in hits:
            assert held_by[hit.row] == hit.item
            assert best[hit.row] == pytest.approx(sign * hit.score, abs=1e-6)
            assert hit.box == documents.parts.box(hit.row)
        if metric in ("dot", "lexical"):  # of whole numbers: exact, so ties are ties
            assert [hit.item for hit in hits] == [item for _, item in wanted]
            for hit in hits:
                equal = (r for r in np.flatnonzero(held_by == hit.item) if best[r] == best[hit.row])
                assert hit.row == min(equal)


def test_without_parts_a_row_is_an_item_and_nowhere() -> None:
    queries, documents = some([0, 1], 3, split=False), some([0, 1, 2], 4, split=False)
    hits = rank(queries, documents, k=5)
    assert [len(h) for h in hits] == [3, 3]
    assert all(h.item == h.row and h.box is None and h.span is None and h.where == "" for some in hits for h in some)


def test_fair_scores_are_largest_first_for_distances_too() -> None:
    queries, documents = some([0, 1], 3, split=False), some([*range(12)], 4, split=False)
    fair = Calibration.of(queries[[0] * 6 + [1] * 6], documents, groups=[*range(12)])
    scores = similarity(queries, documents, metric="euclidean", fair=fair)
    hits = rank(queries, documents, metric="euclidean", fair=fair, k=12)
    for row, own in zip(scores, hits, strict=True):
        assert [h.score for h in own] == pytest.approx(sorted(row, reverse=True), abs=1e-5)


def test_wrong_arguments_are_refused() -> None:
    e = some([0], 0)
    with pytest.raises(InputError, match="k=0 must be at least 1"):
        rank(e, e, k=0)
    with pytest.raises(InputError, match="metric 'near'"):
        rank(e, e, metric="near")  # type: ignore[arg-type]
