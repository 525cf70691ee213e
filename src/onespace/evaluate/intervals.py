"""How sure a mean over queries is: the bootstrap, of one mean or of the difference of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
"""Resamples of the queries behind each 95% interval (Efron 1979)."""
TAILS = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over the queries, and the 95% interval of it.

    >>> str(Interval(0.5, 0.4, 0.6))
    '0.500 [0.400, 0.600]'
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of_share(cls, mean: float, resampled: np.ndarray, units: int) -> Interval:
        """Of a mean of numbers from 0 to 1, with its value in each resample.

        Where all agree on 0 or on 1 the bootstrap sees no spread; 3 / units, the rule of three, is then taken for it.
        """
        low, high = map(float, np.quantile(np.clip(resampled, 0, 1), TAILS))
        some = min(1.0, 3 / units)
        return cls(mean, 1 - some if mean >= 1 else low, some if mean <= 0 else high)

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return {"mean": round(self.mean, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each of Q queries counts in each resample: the same for all that is measured on these queries.

    Shapes:
        weights (`RESAMPLES`, Q), rows that sum to 1.
    """

    weights: np.ndarray
    units: int
    """How many queries, or groups of queries, are drawn."""

    @classmethod
    def of(cls, queries: int, *, groups: Sequence[int] | None = None, seed: int = 0) -> Resamples:
        """Draws resamples of one query or more.

        ``groups`` names the queries that belong together, such as the captions of one picture: they are drawn as one,
        since they succeed and fail together.

        >>> Resamples.of(4, groups=[7, 7, 9, 9]).units
        2
        """
        unit = np.unique(np.arange(queries) if groups is None else np.asarray(groups), return_inverse=True)[1]
        units = int(unit.max()) + 1
        drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), RESAMPLES)[:, unit]
        return cls(drawn / drawn.sum(1, keepdims=True), units)

    def intervals(self, shares: np.ndarray) -> list[Interval]:
        """The mean of each column of (Q, columns), numbers from 0 to 1, with its 95% percentile interval.

        >>> str(Resamples.of(30).intervals(np.ones((30, 1)))[0])
        '1.000 [0.900, 1.000]'
        """
        drawn = self.weights @ shares
        return [Interval.of_share(float(values.mean()), drawn[:, i], self.units) for i, values in enumerate(shares.T)]


def interval_of(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray], a: np.ndarray, b: np.ndarray, *, seed: int = 0
) -> Interval:
    """A statistic of paired values (n,) that isn't a mean, such as a correlation, with its 95% interval.

    >>> from onespace.evaluate.metrics import pearson
    >>> str(interval_of(pearson, np.arange(9.0), np.arange(9.0)))
    '1.000 [1.000, 1.000]'
    """
    drawn = np.random.default_rng(seed).integers(0, len(a), (RESAMPLES, len(a)))
    return Interval(float(statistic(a, b)), *map(float, np.quantile(statistic(a[drawn], b[drawn]), TAILS)))
