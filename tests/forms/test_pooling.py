from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onespace.embeddings import Ragged
from onespace.errors import InputError
from onespace.forms import pooling
from onespace.forms.pooling import group, pool
from onespace.forms.quantise import unit


def some(n: int, width: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((n, width)))


def grouped(vectors: np.ndarray, wanted: int) -> np.ndarray:
    return group(Ragged.from_rows([vectors]), np.array([min(wanted, len(vectors))]))


def spread(vectors: np.ndarray, labels: np.ndarray) -> float:
    """What Ward's rule keeps small: the squares of the distances to the group's centre."""
    groups = (vectors[labels == label] for label in set(labels.tolist()))
    return float(sum(((g - g.mean(0)) ** 2).sum() for g in groups))


def greedy(vectors: np.ndarray, wanted: int) -> float:
    """Joins the two groups that cost least, trying every two, until so many are left."""
    labels = np.arange(len(vectors))
    while len(set(labels.tolist())) > wanted:
        names = sorted(set(labels.tolist()))
        trials = [np.where(labels == b, a, labels) for i, a in enumerate(names) for b in names[i + 1 :]]
        labels = min(trials, key=lambda trial: spread(vectors, trial))
    return spread(vectors, labels)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 9), st.integers(1, 8), st.integers(0, 1000))
def test_the_chain_joins_what_trying_every_two_groups_joins(n: int, wanted: int, seed: int) -> None:
    vectors = some(n, 3, seed)
    labels = grouped(vectors, wanted)
    assert len(set(labels.tolist())) == min(n, wanted)
    assert spread(vectors, labels) == pytest.approx(greedy(vectors, wanted), abs=1e-5)
    firsts = [labels.tolist().index(label) for label in range(labels.max() + 1)]
    assert firsts == sorted(firsts)


def test_tokens_of_one_meaning_become_one_vector() -> None:
    centres = np.eye(4, 16, dtype=np.float32)
    which = np.random.default_rng(0).integers(0, 4, 40)
    which[:4] = np.arange(4)
    tokens = unit(centres[which] + 0.05 * some(40, 16))
    pooled = pool(Ragged.from_rows([tokens]), factor=10)
    assert len(pooled[0]) == 4
    np.testing.assert_allclose(pooled[0] @ centres.T, np.eye(4), atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(pooled[0], axis=1), 1, atol=1e-6)


def test_items_side_by_side_are_pooled_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "AT_ONCE", 300)
    multi = Ragged.from_rows([some(n, 4, i) for i, n in enumerate((9, 3, 9, 0, 9, 9, 5, 3))])
    pooled = pool(multi, factor=3)
    for i in range(len(multi)):
        np.testing.assert_allclose(pooled[i], pool(multi[[i]], factor=3)[0], atol=1e-6)


def test_how_many_are_left_and_what_stays_as_it_is() -> None:
    multi = Ragged.from_rows([some(n, 4, n) for n in (0, 1, 5, 9)])
    assert pool(multi, factor=4).counts.tolist() == [0, 1, 2, 3]
    assert pool(multi, most=3).counts.tolist() == [0, 1, 3, 3]
    assert pool(multi, factor=2, most=3).counts.tolist() == [0, 1, 3, 3]
    assert pool(multi) is multi
    assert pool(multi, most=9) is multi
    assert len(pool(Ragged.empty(0, 4), factor=2)) == 0
    np.testing.assert_allclose(pool(multi, most=5)[2], multi[2], atol=1e-6)


def test_boxes_are_joined() -> None:
    rows = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [-1, 0]], np.float32)
    nan = [np.nan] * 4
    places = np.array([[0, 0, 4, 4], [8, 2, 9, 3], nan, [5, 5, 6, 6], nan], np.float32)
    pooled = pool(Ragged(rows, np.array([0, 5]), places), most=3)
    np.testing.assert_array_equal(pooled.boxes(0), [[0, 0, 9, 4], [5, 5, 6, 6], nan])


def test_equal_and_opposite_and_zero_rows() -> None:
    assert pool(Ragged.from_rows([np.ones((6, 3)) / 3**0.5]), factor=2)[0].shape == (3, 3)
    opposite = Ragged.from_rows([np.array([[1.0, 0.0], [-1.0, 0.0]])])
    assert pool(opposite, factor=2)[0].tolist() == [[0.0, 0.0]]
    assert pool(Ragged.from_rows([np.zeros((4, 3))]), factor=2)[0].tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(("n", "wanted"), [(100, 50), (100, 3), (33, 32), (333, 100), (70, 1)])
def test_a_long_item_is_thinned_in_runs(n: int, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "RUN", 16)
    vectors = some(n, 8)
    labels = grouped(vectors, wanted)
    assert sorted(set(labels.tolist())) == list(range(wanted))
    assert spread(vectors, labels) <= spread(vectors, np.arange(n) * wanted // n)


def test_numbers_below_one_are_refused() -> None:
    for arguments in ({"factor": 0}, {"most": 0}):
        with pytest.raises(InputError, match="must be at least 1"):
            pool(Ragged.empty(1, 4), **arguments)
