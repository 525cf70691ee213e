from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from onespace.evaluate.metrics import judge, pearson, rank_of, ranks, spearman

pytrec_eval = pytest.importorskip("pytrec_eval")
K = (1, 3, 10)


@st.composite
def searches(draw: st.DrawFn) -> tuple[np.ndarray, dict[int, int]]:
    """Distinct scores of some documents, and grades from 0 to 3 of a few of them, one above 0 at least."""
    n = draw(st.integers(1, 25))
    scores = np.array(draw(st.permutations(range(n))), float)
    judged = draw(st.dictionaries(st.integers(0, n - 1), st.integers(0, 3), min_size=1))
    judged[draw(st.sampled_from(sorted(judged)))] = draw(st.integers(1, 3))
    return scores, judged


@settings(max_examples=150, deadline=None)
@given(st.lists(searches(), min_size=1, max_size=4))
def test_equal_to_trec_eval(some: list[tuple[np.ndarray, dict[int, int]]]) -> None:
    cuts = ",".join(map(str, K))
    wanted = {f"recall.{cuts}", f"ndcg_cut.{cuts}", f"success.{cuts}", "map", "recip_rank"}
    qrels = {f"q{i}": {f"d{d}": g for d, g in judged.items()} for i, (_, judged) in enumerate(some)}
    run = {f"q{i}": {f"d{d}": float(x) for d, x in enumerate(scores)} for i, (scores, _) in enumerate(some)}
    right = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run)
    for i, (scores, judged) in enumerate(some):
        grades = {d: float(g) for d, g in judged.items() if g > 0}
        found = judge(scores[None], [grades], k=(*K, 100))
        theirs = {"map": "map", "mrr@100": "recip_rank"}
        theirs |= {f"recall@{k}": f"recall_{k}" for k in K} | {f"ndcg@{k}": f"ndcg_cut_{k}" for k in K}
        theirs |= {f"hit@{k}": f"success_{k}" for k in K}
        for name, other in theirs.items():
            assert found[name][0] == pytest.approx(right[f"q{i}"][other], abs=1e-9), name


def test_ties_count_against() -> None:
    found, grades = ranks(np.zeros(5), {1: 1.0, 3: 2.0})
    assert found.tolist() == [4, 5]
    assert grades.tolist() == [1.0, 2.0]  # and the better document stands last
    assert judge(np.zeros((1, 5)), [{0: 1.0}], k=[4])["recall@4"].tolist() == [0.0]
    assert judge(np.zeros((1, 1)), [{0: 1.0}], k=[1])["recall@1"].tolist() == [1.0]


def test_what_is_left_out_is_found_by_nobody() -> None:
    assert judge(np.array([[-np.inf, 0.1, 0.2]]), [{0: 1.0, 2: 1.0}], k=[2])["recall@2"].tolist() == [0.5]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=30))
def test_correlations_equal_scipy(values: list[tuple[int, int]]) -> None:
    a, b = np.array(values, float).T
    assert rank_of(a).tolist() == stats.rankdata(a).tolist()
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert float(spearman(a, b)) == pytest.approx(stats.spearmanr(a, b)[0], abs=1e-9)
        assert float(pearson(a, b)) == pytest.approx(stats.pearsonr(a, b)[0], abs=1e-9)
    else:
        assert float(spearman(a, b)) == 0
    assert spearman(np.stack([a, b]), np.stack([a, b])).shape == (2,)
