"""Encodes what a task holds, judges every way of ranking it, and says how sure each number is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onespace.errors import InputError
from onespace.evaluate.encoded import Encoded, both
from onespace.evaluate.intervals import Interval, Resamples, interval_of
from onespace.evaluate.metrics import pearson, spearman
from onespace.evaluate.scores import Way, class_values, pair_scores
from onespace.evaluate.tasks import Classification, Retrieval, Sts, Task, kind_of
from onespace.types import Head, OnLoss

if TYPE_CHECKING:
    from onespace.encoder import Encoder

K = (1, 10)
TOP = 5
"""The second accuracy of a classification: the label is among the first five."""


@dataclass(frozen=True)
class Result:
    """What one way of ranking is worth on one task, or on the part of it in one language or direction."""

    task: str
    way: Way
    count: int
    """Queries, pairs or items."""
    measures: dict[str, Interval]
    """The first of them is the one that decides."""
    direction: str = ""
    """Kinds of the queries and of what answers them, such as "text to image"; "" for all."""
    language: str = ""
    """"" for all."""

    @property
    def main(self) -> tuple[str, Interval]:
        """The measure that decides, by name: nDCG, accuracy or Spearman's correlation."""
        return next(iter(self.measures.items()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        about = {"task": self.task, "direction": self.direction, "language": self.language, "by": self.way}
        return about | {"count": self.count, "measures": {name: x.to_dict() for name, x in self.measures.items()}}


@dataclass(frozen=True)
class Report:
    """All results of one model."""

    model: str
    results: tuple[Result, ...]
    broken: tuple[tuple[str, str], ...] = ()
    """(name, reason) of each item that couldn't be encoded, and counts for nothing."""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "results": [result.to_dict() for result in self.results],
            "broken": [{"id": name, "reason": why} for name, why in self.broken],
            "notes": list(self.notes),
        }


def evaluate(
    model: Encoder,
    tasks: Task | Iterable[Task],
    *,
    heads: Sequence[Head] | None = None,
    k: Sequence[int] = K,
    on_loss: OnLoss = "warn",
    seed: int = 0,
) -> Report:
    """Judges a model on tasks: each head alone and all blended, as a whole, by direction and by language.

    Args:
        model: what `onespace.load` gives.
        tasks: from `read_tasks`, or your own. Tasks of one name count as one, such as one language each.
        heads: some of the model's; by default all.
        k: how many of the first hits count; the last of these decides.
        on_loss: what happens to documents that the model can't take whole, as for `Encoder.encode`.
        seed: of the bootstrap behind the 95% intervals.

    Raises:
        KindError: a kind of item that the model doesn't take.
        InputError: ``k`` below 1, no task, or a task of which nothing could be encoded.
    """
    several: list[Task] = [tasks] if isinstance(tasks, (Retrieval, Sts, Classification)) else list(tasks)
    k = tuple(sorted(set(k)))
    if not several or not k or k[0] < 1:
        raise InputError(f"{len(several)} tasks with k={k!r}: give a task at least, and numbers from 1.")
    encoded = Encoded(model, heads, on_loss)
    tables: dict[str, list[_Table]] = defaultdict(list)
    results: list[Result] = []
    for task in several:
        if isinstance(task, Sts):
            results += _sts(encoded, task, seed)
        else:
            table = _retrieval(encoded, task, k) if isinstance(task, Retrieval) else _classification(encoded, task)
            tables[task.name].append(table)
    for name, some in tables.items():
        results += _results(name, some, seed)
    order = list(dict.fromkeys(task.name for task in several))
    results.sort(key=lambda result: order.index(result.task))
    notes = tuple(note for task in several if isinstance(task, Retrieval) for note in task.notes)
    return Report(model.spec.name, tuple(results), tuple(dict(encoded.broken).items()), notes)


@dataclass(frozen=True)
class _Table:
    """Values of one task by way and measure, (Q,) each, and to what each query belongs."""

    values: dict[Way, dict[str, np.ndarray]]
    groups: Sequence[tuple[int, int]]
    """Queries of one group are drawn together by the bootstrap; the first number tells tasks without groups apart."""
    directions: Sequence[str]
    languages: Sequence[str]


def _retrieval(encoded: Encoded, task: Retrieval, k: Sequence[int]) -> _Table:
    kept, values = encoded.judge(task, k=k)
    n = len(kept.queries)
    values = {way: {_main(k): some[_main(k)], **some} for way, some in values.items()}
    directions = [kept.direction(i) for i in range(n)]
    groups = [(0, g) for g in kept.groups] if kept.groups is not None else [(id(task), i) for i in range(n)]
    return _Table(values, groups, directions, kept.languages or [""] * n)


def _main(k: Sequence[int]) -> str:
    return f"ndcg@{k[-1]}"


def _classification(encoded: Encoded, task: Classification) -> _Table:
    """A value for each item in each language of the names."""
    found = encoded.ways(task.items, next(iter(task.classes.values())))
    items = encoded.of(task.items, "document", names=[str(item) for item in task.items])
    labels = [task.labels[i] for i in items.kept]
    if not labels:
        raise InputError(f"{task.name}: no item is left. {': '.join(encoded.broken[0])}")
    sizes = np.bincount(labels)
    balance = len(labels) / (np.count_nonzero(sizes) * sizes[labels])  # each class counts the same
    table: dict[Way, dict[str, list[np.ndarray]]] = {way: defaultdict(list) for way in found}
    for language, names in task.classes.items():
        prompts = [[text.replace("{}", name) for name in names] for text in task.templates[language]]
        spoken = [encoded.of(some, "query").embeddings for some in prompts]
        for way in found:
            hits = class_values(items.embeddings, spoken, labels, way=way, k=(1, TOP))
            table[way]["accuracy"].append(hits[1])
            if len(names) > TOP:
                table[way][f"accuracy@{TOP}"].append(hits[TOP])
            table[way]["accuracy by class"].append(hits[1] * balance)
    values = {way: {name: np.concatenate(some) for name, some in table[way].items()} for way in found}
    kinds = [f"{kind_of(task.items[i])} to class" for i in items.kept]
    languages = [language for language in task.classes for _ in labels]
    return _Table(values, [(0, i) for i in items.kept] * len(task.classes), kinds * len(task.classes), languages)


def _results(name: str, tables: Sequence[_Table], seed: int) -> Iterator[Result]:
    """The whole, then each direction and each language where there are several."""
    directions = [x for table in tables for x in table.directions]
    languages = [x for table in tables for x in table.languages]
    groups = np.unique([x for table in tables for x in table.groups], return_inverse=True, axis=0)[1].ravel()
    for direction, language, rows in _slices(directions, languages):
        resamples = Resamples.of(len(rows), groups=groups[rows], seed=seed)
        for way, measures in tables[0].values.items():
            values = [np.concatenate([table.values[way][m] for table in tables])[rows] for m in measures]
            spread = resamples.intervals(np.stack(values, axis=1))
            yield Result(name, way, len(rows), dict(zip(measures, spread, strict=True)), direction, language)


def _slices(directions: Sequence[str], languages: Sequence[str]) -> Iterator[tuple[str, str, np.ndarray]]:
    """(direction, language, rows): all rows, then those of each direction and of each language.

    >>> [(*said, rows.tolist()) for *said, rows in _slices(["text to image"] * 2, ["en", "zh"])]
    [('text to image', '', [0, 1]), ('text to image', 'en', [0]), ('text to image', 'zh', [1])]
    """
    ways_there, spoken = (list(dict.fromkeys(values)) for values in (directions, languages))
    only = ways_there[0] if len(ways_there) == 1 else ""
    yield only, spoken[0] if len(spoken) == 1 else "", np.arange(len(directions))
    for direction in ways_there if len(ways_there) > 1 else ():
        yield direction, "", np.flatnonzero(np.array(directions) == direction)
    for language in filter(None, spoken if len(spoken) > 1 else ()):
        yield only, language, np.flatnonzero(np.array(languages) == language)


def _sts(encoded: Encoded, task: Sts, seed: int) -> Iterator[Result]:
    """Correlations with what people found; of all pairs, and of each language where there are several."""
    found = encoded.ways(task.first, task.second)
    kept, first, second = both(encoded.of(task.first, "query"), encoded.of(task.second, "query"))
    gold = np.array([task.scores[i] for i in kept])
    languages = [task.languages[i] for i in kept] if task.languages else [""] * len(kept)
    directions = [f"{kind_of(task.first[i])} to {kind_of(task.second[i])}" for i in kept]
    scores = {way: pair_scores(first, second, way=way) for way in found}
    for direction, language, rows in _slices(directions, languages):
        for way in found:
            a, b = scores[way][rows], gold[rows]
            measures = {f.__name__: interval_of(f, a, b, seed=seed) for f in (spearman, pearson)}
            yield Result(task.name, way, len(rows), measures, direction, language)
