"""One measured row: ours against a peer, in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Generic, TypeVar

import numpy as np

from onespace.embeddings import Embeddings

Work = TypeVar("Work")
Given = TypeVar("Given")
RESULTS = Path(__file__).parent / "results"
"""Where rows are kept as JSON."""


@dataclass(frozen=True)
class Row:
    """What was measured, and how far it may be trusted.

    ``ours`` and ``peer`` are medians in ``unit``; ``ratio`` says how many times better ours is, and is the median of
    the ratios of neighbouring runs (``low`` and ``high`` are the least and the largest). Without a peer, ``peer`` and
    the ratios are NaN.
    """

    name: str
    ours: float
    peer: float = float("nan")
    ratio: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    unit: str = "s"
    note: str = ""

    @property
    def measured(self) -> bool:
        """Whether there is a number; `left_out` has none."""
        return self.ours == self.ours

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, where NaN is None."""
        return {k: None if isinstance(v, float) and v != v else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Row:
        """The inverse of `to_dict`."""
        known: dict[str, Any] = {k: float("nan") if v is None else v for k, v in values.items()}
        return cls(**known)


def left_out(name: str, why: str) -> Row:
    """A row that could not be measured here, and why."""
    return Row(name, float("nan"), unit="", note=f"left out: {why}")


class Kept(Generic[Given]):
    """A run that keeps what it gave last, so that what was timed is also what is compared."""

    def __init__(self, run: Callable[[], Given]) -> None:
        self.run = run
        self.last: Given | None = None

    def __call__(self) -> None:
        self.last = self.run()

    @property
    def given(self) -> Given:
        """What the last run gave."""
        assert self.last is not None
        return self.last


def compare(
    name: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    times: int = 3,
    unit: str = "s",
    note: str = "",
) -> Row:
    """Times both in turn, ours, peer, ours, peer ..., after one run each that isn't counted."""
    return pair(name, *interleave([ours, peer], times=times), unit=unit, note=note)


def interleave(runs: Sequence[Callable[[], object]], *, times: int = 3, warm: bool = True) -> list[list[float]]:
    """Seconds of every run, taken in turn: A B C A B C ..., so that a slow moment of the machine meets all."""
    seconds: list[list[float]] = [[] for _ in runs]
    for k in range(times + warm):
        for run, taken in zip(runs, seconds, strict=True):
            start = perf_counter()
            run()
            if k >= warm:
                taken.append(perf_counter() - start)
    return seconds


def share_out(runs: Sequence[Callable[[Work], object]], works: Sequence[Work]) -> list[list[float]]:
    """Seconds of every run on every work, all runs on one work before the next: each work is done once by each."""
    rounds = [interleave([partial(run, work) for run in runs], times=1, warm=False) for work in works]
    return [[taken[k][0] for taken in rounds] for k in range(len(runs))]


def cosines(ours: Embeddings, wanted: np.ndarray | Embeddings) -> np.ndarray:
    """Of each dense row with its like."""
    rows = wanted if isinstance(wanted, np.ndarray) else wanted.dense
    assert ours.dense is not None
    assert rows is not None
    return np.asarray((ours.dense * rows).sum(1))


def pair(name: str, ours: Sequence[float], peer: Sequence[float], *, unit: str = "s", note: str = "") -> Row:
    """A row from the costs (less is better) of neighbouring runs.

    >>> pair("x", [1.0, 2.0, 1.0], [4.0, 4.0, 3.0]).ratio
    3.0
    """
    ratios = np.array(peer) / np.array(ours)
    middle = float(np.median(ours)), float(np.median(peer)), float(np.median(ratios))
    return Row(name, *middle, float(ratios.min()), float(ratios.max()), unit, note)
