from __future__ import annotations

import numpy as np
import pytest

from onespace.evaluate.intervals import Interval, Resamples, interval_of
from onespace.evaluate.metrics import pearson


def test_intervals_hold_the_mean_and_are_not_empty_where_all_agree() -> None:
    values = np.stack([np.random.default_rng(0).random(50), np.ones(50), np.zeros(50)], axis=1)
    mixed, ones, zeros = Resamples.of(50).intervals(values)
    assert mixed.low < mixed.mean < mixed.high
    assert mixed.high - mixed.low == pytest.approx(2 * 1.96 * (1 / 12) ** 0.5 / 50**0.5, rel=0.2)
    assert (ones, zeros) == (Interval(1, 0.94, 1), Interval(0, 0, 0.06))


def test_an_interval_covers_the_truth_about_19_times_of_20() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for i in range(200):
        (found,) = Resamples.of(60, seed=i).intervals((random.random((60, 1)) < 0.3).astype(float))
        covered += found.low <= 0.3 <= found.high
    assert 180 <= covered <= 198


def test_queries_of_one_group_are_drawn_as_one() -> None:
    values = np.repeat(np.random.default_rng(2).random(40), 5)[:, None]  # five captions of a picture that agree
    groups = np.repeat(np.arange(40), 5)
    (alone,), (together,) = Resamples.of(200).intervals(values), Resamples.of(200, groups=groups).intervals(values)
    assert together.high - together.low == pytest.approx(5**0.5 * (alone.high - alone.low), rel=0.2)
    weights = Resamples.of(200, groups=groups).weights
    assert np.allclose(weights.sum(1), 1)
    assert np.ptp(weights.reshape(-1, 40, 5), axis=2).max() == 0


def test_the_seed_decides() -> None:
    values = np.random.default_rng(3).random((30, 1))
    assert Resamples.of(30).intervals(values) == Resamples.of(30).intervals(values)
    assert Resamples.of(30).intervals(values) != Resamples.of(30, seed=1).intervals(values)


def test_the_interval_of_a_correlation() -> None:
    random = np.random.default_rng(4)
    a = random.normal(size=200)
    found = interval_of(pearson, a, a + random.normal(size=200))
    assert found.low < found.mean < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * (1 - found.mean**2) / 200**0.5, rel=0.25)
