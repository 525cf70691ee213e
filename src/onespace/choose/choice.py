"""What was measured, side by side: quality with paired intervals, speed, memory, size; and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from onespace.evaluate.intervals import TAILS, Interval, Resamples
from onespace.evaluate.scores import Way
from onespace.evaluate.tasks import Retrieval
from onespace.types import Item

MAIN = "ndcg@10"
"""What models are compared by."""
CLEARLY = 1.5
"""A speed or a size is only said to differ beyond this factor: a machine with other work varies by less."""
Values: TypeAlias = Mapping[str, Mapping[Way, Mapping[str, np.ndarray]]]
"""{task: {way: {measure: (Q,)}}}"""


@dataclass(frozen=True)
class Limits:
    """What the machine and the purpose allow; None is no limit."""

    memory: int | None = None
    """Bytes."""
    speed: float | None = None
    """Items a second, at least."""
    bytes_per_item: int | None = None

    def broken_by(self, option: Option) -> tuple[str, ...]:
        """Names of the limits that an option doesn't keep."""
        memory = self.memory is not None and (option.peak_bytes or 0) > self.memory
        slow = self.speed is not None and option.items_per_s < self.speed
        large = self.bytes_per_item is not None and option.bytes_per_item > self.bytes_per_item
        return tuple(n for n, over in (("memory", memory), ("speed", slow), ("bytes an item", large)) if over)


@dataclass(frozen=True)
class Measured:
    """What one candidate did, as its process told it."""

    label: str
    facts: Mapping[str, Any]
    values: Values


@dataclass(frozen=True)
class Option:
    """One candidate with one way of ranking."""

    label: str
    way: Way
    quality: Interval
    """nDCG@10, the mean over the kinds of queries."""
    by_task: dict[str, Interval]
    measures: dict[str, float]
    behind: Interval
    """What the best has more, query by query."""
    close: bool
    """Whether that could be chance: its 95% interval holds 0."""
    items_per_s: float
    query_ms: float
    load_s: float
    peak_bytes: int | None
    bytes_per_item: float
    licence: str
    languages: str
    device: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        spread = {
            "quality": self.quality.to_dict(),
            "behind": self.behind.to_dict(),
            "by_task": {name: interval.to_dict() for name, interval in self.by_task.items()},
            "measures": {name: round(value, 4) for name, value in self.measures.items()},
        }
        plain = {"by" if k == "way" else k: v for k, v in asdict(self).items() if k not in spread}
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in plain.items()} | spread


@dataclass(frozen=True)
class Choice:
    """The options, best first."""

    options: tuple[Option, ...]
    best: Option | None
    """The best of those that keep the limits."""
    limits: Limits
    tasks: dict[str, int]
    """Kinds of queries, and how many of each."""
    documents: int
    failures: tuple[tuple[str, str], ...]
    """(candidate, reason) of those that couldn't be measured."""
    notes: tuple[str, ...]

    @property
    def queries(self) -> int:
        """How many queries were asked."""
        return sum(self.tasks.values())

    @property
    def rivals(self) -> tuple[Option, ...]:
        """Options that keep the limits and are too close to the best to call."""
        return tuple(o for o in self.options if o.close and o is not self.best and not self.limits.broken_by(o))

    @property
    def front(self) -> tuple[Option, ...]:
        """Options that no other one equals in quality, speed and size at once and beats in one of them."""
        return tuple(o for o in self.options if not any(_beats(other, o) for other in self.options))

    @property
    def verdict(self) -> str:
        """The outcome in a sentence or two."""
        if self.best is None:
            return "No candidate keeps the limits." if self.options else "No candidate could be measured."
        said = f"{_named(self.best)}: nDCG@10 {self.best.quality}"
        if self.rivals:
            names = ", ".join(_named(o) for o in self.rivals)
            return (
                f"{said}. Too close to call between it and {names} on {self.queries} queries"
                f"{_told_apart((self.best, *self.rivals))}."
            )
        others = [o for o in self.options if o is not self.best and not self.limits.broken_by(o)]
        if not others:
            return f"{said}. There is no other to compare it with."
        return f"{said}. The next, {_named(others[0])}, is {others[0].behind} behind: more than chance explains."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "best": None if self.best is None else {"label": self.best.label, "by": self.best.way},
            "too_close_to_call": [{"label": o.label, "by": o.way} for o in self.rivals],
            "verdict": self.verdict,
            "options": [o.to_dict() | {"limits_broken": list(self.limits.broken_by(o))} for o in self.options],
            "front": [{"label": o.label, "by": o.way} for o in self.front],
            "tasks": self.tasks,
            "documents": self.documents,
            "limits": asdict(self.limits),
            "failures": [{"label": label, "reason": why} for label, why in self.failures],
            "notes": list(self.notes),
        }


def compare(tasks: Sequence[Retrieval], measured: Sequence[Measured], *, limits: Limits, seed: int = 0) -> list[Option]:
    """The options, best first. The mean over the tasks decides; its intervals come from drawing the items anew."""
    weights, units = _weights(tasks, seed)
    entries = [(some, way) for some in measured for way in next(iter(some.values.values()))]
    drawn, options = [], []
    for some, way in entries:
        values = [some.values[task.name][way] for task in tasks]
        resampled = [w @ v[MAIN] for w, v in zip(weights, values, strict=True)]
        drawn.append(np.mean(resampled, axis=0))
        shares = [float(v[MAIN].mean()) for v in values]
        spread = [Interval.of_share(x, r, units) for x, r in zip(shares, resampled, strict=True)]
        by_task = {task.name: x for task, x in zip(tasks, spread, strict=True)}
        measures = {name: float(np.mean([v[name].mean() for v in values])) for name in values[0]}
        whole = Interval.of_share(float(np.mean(shares)), drawn[-1], units)
        options.append(_option(some, way, quality=whole, by_task=by_task, measures=measures))
    order = sorted(range(len(options)), key=lambda i: -options[i].quality.mean)
    first = next((i for i in order if not limits.broken_by(options[i])), order[0])
    ranked = []
    for i in order:
        low, high = map(float, np.quantile(drawn[first] - drawn[i], TAILS))
        behind = Interval(options[first].quality.mean - options[i].quality.mean, low, high)
        ranked.append(replace(options[i], behind=behind, close=low <= 0 <= high))
    return ranked


def _weights(tasks: Sequence[Retrieval], seed: int) -> tuple[list[np.ndarray], int]:
    """How often each query of each task counts in each resample; queries for one item are drawn together."""
    lists: list[Sequence[Item]] = []
    units: list[tuple[int, int]] = []
    for task in tasks:
        if task.documents not in lists:
            lists.append(task.documents)
        pool = lists.index(task.documents)
        units += [(pool, unit) for unit in task.groups or range(len(task.queries))]
    number = {unit: i for i, unit in enumerate(dict.fromkeys(units))}
    resamples = Resamples.of(len(units), groups=[number[unit] for unit in units], seed=seed)
    cuts = np.cumsum([len(task.queries) for task in tasks])[:-1]
    weights = [w / np.maximum(w.sum(1, keepdims=True), 1e-12) for w in np.split(resamples.weights, cuts, axis=1)]
    return weights, resamples.units


def _option(some: Measured, way: Way, **measured: Any) -> Option:
    facts = some.facts
    sizes = facts["bytes_per_item"]
    return Option(
        label=some.label,
        way=way,
        behind=Interval(0.0, 0.0, 0.0),
        close=True,
        items_per_s=facts["items_per_s"],
        query_ms=facts["query_ms"],
        load_s=facts["load_s"],
        peak_bytes=facts["peak_bytes"],
        bytes_per_item=sum(sizes.values()) if way == "blend" else sizes[way],
        licence=facts["capabilities"]["licence"],
        languages=facts["capabilities"]["languages"],
        device=facts["device"],
        **measured,
    )


def _beats(a: Option, b: Option) -> bool:
    """At least as good in every respect, and better in one."""
    mine, other = ((o.quality.mean, o.items_per_s, -o.bytes_per_item) for o in (a, b))
    return mine != other and all(x >= y for x, y in zip(mine, other, strict=True))


def _told_apart(options: Sequence[Option]) -> str:
    """What speaks for one of several that are equally good: clearly faster, or smaller."""
    said = []
    fastest = max(options, key=lambda o: o.items_per_s)
    smallest = min(options, key=lambda o: o.bytes_per_item)
    if fastest.items_per_s > CLEARLY * min(o.items_per_s for o in options):
        said.append(f"{_named(fastest)} is the fastest ({fastest.items_per_s:.0f} items/s)")
    if CLEARLY * smallest.bytes_per_item < max(o.bytes_per_item for o in options):
        said.append(f"{_named(smallest)} takes the fewest bytes ({smallest.bytes_per_item:.0f} an item)")
    return f"; of these {' and '.join(said)}" if said else ""


def _named(option: Option) -> str:
    return option.label if option.way == "dense" else f"{option.label} ({option.way})"
