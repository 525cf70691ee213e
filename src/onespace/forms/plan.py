"""Finds the smaller form of the vectors that fits a storage budget, by trying forms on a sample of the user's own.

sample -> every form that fits -> recall with an interval -> the best, and what is too close to it to call
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from onespace.embeddings import Embeddings
from onespace.errors import InputError
from onespace.evaluate.intervals import Interval, Resamples
from onespace.files.records import read_records
from onespace.files.salvage import salvage
from onespace.forms.compact import DenseForm, Form, MultiForm, SparseForm, apply
from onespace.forms.pooling import pool
from onespace.score import Weights, blend_weights
from onespace.types import HEADS, Head

if TYPE_CHECKING:
    from onespace.encoder import Encoder
    from onespace.forms.quantise import Code
    from onespace.spec import Spec

HeadForm: TypeAlias = "DenseForm | SparseForm | MultiForm"

DOCUMENTS, QUERIES = 5000, 300
"""Most items of a sample, and most queries: those that it names, or items that stand in for them."""
DENSE: tuple[Code, ...] = ("float16", "int8", "binary")
MULTI: tuple[Code, ...] = ("int8", "binary")
POOLS = ((1, None), (2, None), (4, None), (8, None), (1, 32), (1, 16), (1, 8), (1, 4))
"""(pool, most) of the multi-vector forms that are tried."""
KEEP = (None, 64, 32, 16, 8, 4)
"""Terms an item of the sparse forms that are tried."""
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "kib": 2**10, "mib": 2**20}


@dataclass(frozen=True)
class Option:
    """One form, what it takes, and what it finds."""

    form: Form
    bytes_per_item: float
    agreement: Interval
    """Share of the k nearest items by the float vectors that the form finds among its own k."""
    recall: Interval | None
    """Share of the items that answer a query that are among the k, where the sample says which those are."""

    @property
    def measure(self) -> Interval:
        """What decides: the recall of known answers, else the agreement with the float vectors."""
        return self.agreement if self.recall is None else self.recall

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        spread = {"agreement": self.agreement, "recall": self.recall}
        return {"form": str(self.form), "bytes_per_item": round(self.bytes_per_item, 1)} | {
            name: None if x is None else x.to_dict() for name, x in spread.items()
        }


@dataclass(frozen=True)
class Plan:
    """The forms that fit, best first; what they are chosen by is measured on the same queries that choose them."""

    options: tuple[Option, ...]
    whole: Option
    """All heads in float32, budget or not: what the others are measured against."""
    close: tuple[Option, ...]
    """Options whose difference from the best could be chance (95% interval of the paired difference)."""
    budget: int
    k: int
    documents: int
    queries: int
    notes: tuple[str, ...]

    @property
    def best(self) -> Option:
        """The option with the highest measure; of equals, the smallest."""
        return self.options[0]

    @property
    def front(self) -> tuple[Option, ...]:
        """Of all the options, those that no smaller one equals: smallest first."""
        front: list[Option] = []
        for option in sorted(self.options, key=lambda o: (o.bytes_per_item, -o.measure.mean)):
            if not front or option.measure.mean > front[-1].measure.mean:
                front.append(option)
        return tuple(front)

    @property
    def verdict(self) -> str:
        """The outcome in a sentence or two."""
        said = f"{self.best.form}: {self.best.bytes_per_item:.0f} bytes an item, {self.best.measure}."
        if not self.close:
            return f"{said} No other form comes near it."
        small = min(self.close, key=lambda o: o.bytes_per_item)
        rest = f"Too close to call between it and {len(self.close)} other forms on {self.queries} queries"
        if small.bytes_per_item >= self.best.bytes_per_item:
            return f"{said} {rest}; none of them is smaller."
        return (
            f"{said} {rest}; the smallest of them is {small.form}: {small.bytes_per_item:.0f} bytes, {small.measure}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "budget": self.budget,
            "k": self.k,
            "documents": self.documents,
            "queries": self.queries,
            "best": self.best.to_dict(),
            "whole": self.whole.to_dict(),
            "close": [o.to_dict() for o in self.close],
            "front": [o.to_dict() for o in self.front],
            "tried": len(self.options),
            "verdict": self.verdict,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class Sample:
    """Items and queries of a user's own, encoded.

    Shapes:
        answers (Q, N) bool: which items answer each query, or None where nobody said; own (Q,) int64: the item that a
        query was made from and that its ranking leaves out, or None.
    """

    documents: Embeddings
    queries: Embeddings
    answers: np.ndarray | None = None
    own: np.ndarray | None = None
    spec: Spec | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, documents: Embeddings, *, spec: Spec | None = None, seed: int = 0) -> Sample:
        """Items that are there already; some of them stand in for queries, each against all the others."""
        picked = _pick(documents.items, QUERIES, seed)
        owner = np.arange(len(documents)) if documents.parts is None else documents.parts.owner
        first = np.unique(owner, return_index=True)[1][picked]
        note = (
            f"the sample names no queries: {len(picked)} of its items stand in for them, each against all the others."
        )
        return cls(documents, documents[first], own=picked, spec=spec, notes=(note,))

    @classmethod
    def read(cls, model: Encoder, inputs: Sequence[str], *, seed: int = 0) -> Sample:
        """Reads files and folders as `onespace.files.records` does, and encodes at most `DOCUMENTS` of what they hold.

        A JSON row may have a ``query``, or a list of them, that its item answers. Records that can't be encoded are
        left out and named in the notes.
        """
        everything = list(read_records(inputs))
        readable = [r for r in everything if r.item is not None]
        records = [readable[i] for i in _pick(len(readable), DOCUMENTS, seed)]
        saved = salvage(model, [r.item for r in records if r.item is not None])
        notes = [f"{r.id}: {r.problem}" for r in everything if r.item is None]
        notes += [f"{records[b.index].id}: {b.reason}" for b in saved.broken]
        if len(records) < len(readable):
            notes.append(f"{len(records)} of the {len(readable)} items were taken, at random.")
        kept = [records[i] for i in saved.kept]
        asked: dict[str, set[int]] = {}
        for i, record in enumerate(kept):
            for query in record.queries:
                asked.setdefault(query, set()).add(i)
        if len(asked) > QUERIES:
            notes.append(f"{QUERIES} of the {len(asked)} queries were taken, at random.")
            names = list(asked)
            asked = {names[i]: asked[names[i]] for i in _pick(len(names), QUERIES, seed)}
        if not asked:
            sample = cls.of(saved.embeddings, spec=model.spec, seed=seed)
            if model.spec.query_prefix or model.spec.document_prefix:
                asking = [r.item for r in (kept[i] for i in _pick(len(kept), QUERIES, seed)) if r.item is not None]
                sample = replace(sample, queries=model.encode(asking, role="query"))
            return replace(sample, notes=(*notes, *sample.notes))
        answers = np.zeros((len(asked), len(kept)), bool)
        for row, items in zip(answers, asked.values(), strict=True):
            row[list(items)] = True
        queries = model.encode(list(asked), role="query")
        return cls(saved.embeddings, queries, answers=answers, spec=model.spec, notes=tuple(notes))


def plan(sample: Sample, *, budget: int, k: int = 10, weights: Weights | None = None, seed: int = 0) -> Plan:
    """Tries the forms that take at most ``budget`` bytes an item on average, and measures what each still finds.

    Every form ranks the sample's items for each of its queries, as `Compact.search` does. Its ``agreement`` is the
    share of the exact float ranking's first k that it finds; its ``recall`` that of the known answers.

    Raises:
        InputError: a sample too small to tell anything, or a budget into which nothing fits.
    """
    items = sample.documents.items
    if k < 1 or items < 3 * k or not len(sample.queries):
        raise InputError(
            f"the sample has {items} items and {len(sample.queries)} queries; recall@{k} needs at least "
            f"{max(3, 3 * k)} items and a query. Add items, better some hundreds."
        )
    weights = weights or blend_weights(sample.documents.model)
    used = [(h, w) for h, w in zip(HEADS, weights, strict=True) if w and h in sample.documents.heads]
    if not used:
        raise InputError(f"weights {weights!r} leave none of the heads {', '.join(sample.documents.heads)}.")
    whole = tuple(_tried(sample, head, _WHOLE[head], w) for head, w in used)
    tried = [list(_trials(sample, head, w)) for head, w in used]
    affordable = [[None, *(t for t in some if t.size <= budget)] for some in tried]
    choices = [tuple(t for t in choice if t is not None) for choice in product(*affordable)]
    choices = [choice for choice in choices if choice and sum(t.size for t in choice) <= budget]
    if not choices:
        least = min(t.size for some in tried for t in some)
        raise InputError(f"no form fits {budget} bytes an item; the smallest that was tried takes {least:.1f}.")
    options, resampled = _measured(sample, k, [*choices, whole], seed)
    order = sorted(range(len(choices)), key=lambda i: (-options[i].measure.mean, options[i].bytes_per_item))
    lead = resampled[:, order[:1]] - resampled[:, order[1:]]  # (resamples, the others), query by query
    chance = np.quantile(lead, 0.025, axis=0) <= 0
    return Plan(
        options=tuple(options[i] for i in order),
        whole=options[-1],
        close=tuple(options[i] for i, even in zip(order[1:], chance, strict=True) if even),
        budget=budget,
        k=k,
        documents=items,
        queries=len(sample.queries),
        notes=sample.notes,
    )


def size_of(text: str) -> int:
    """Bytes in words: KB and MB are thousands, KiB and MiB are powers of 1024.

    >>> size_of("2KB"), size_of("1.5 KiB"), size_of("96")
    (2000, 1536, 96)

    Raises:
        InputError: anything else, or less than a byte.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]*)", text.strip().lower())
    size = int(float(match[1]) * _UNITS.get(match[2], 0)) if match else 0
    if size < 1:
        raise InputError(f"{text!r} isn't a size. Write it like 96, 2KB (2000 bytes) or 2KiB (2048 bytes).")
    return size


_WHOLE: dict[Head, HeadForm] = {"dense": DenseForm(), "sparse": SparseForm(), "multi": MultiForm(boxes=False)}


@dataclass(frozen=True, eq=False)
class _Tried:
    """One form of one head: its bytes an item, and its share of the score of every query and row, (Q, M)."""

    head: Head
    form: HeadForm
    size: float
    scores: np.ndarray


def _tried(sample: Sample, head: Head, form: HeadForm, weight: float) -> _Tried:
    compact = apply(sample.documents, Form(**{head: form}), spec=sample.spec)  # type: ignore[arg-type]
    return _Tried(head, form, compact.bytes_per_item, weight * compact.similarity(sample.queries))


def _trials(sample: Sample, head: Head, weight: float) -> Iterator[_Tried]:
    """The forms of one head that are tried, without those that would change nothing."""
    documents = sample.documents
    if head == "dense" and documents.dense is not None:
        full = documents.dense.shape[1]
        shorter = (w for w in (sample.spec.truncatable if sample.spec else ()) if w < full)
        for width, code in product((None, *shorter), DENSE):
            yield _tried(sample, head, DenseForm(width, code), weight)
    elif head == "sparse" and documents.sparse is not None:
        longest = int(np.diff(documents.sparse.indptr).max(initial=0))
        for keep in (n for n in KEEP if n is None or n < longest):
            yield _tried(sample, head, SparseForm(keep, "uint8"), weight)
    elif documents.multi is not None:
        longest = max(1, int(documents.multi.counts.max(initial=0)))
        for factor, most in (p for p in POOLS if p[0] <= longest and (p[1] or 0) < longest):
            pooled = pool(documents.multi, factor=factor, most=most)  # once for all codes
            fewer = replace(sample, documents=replace(documents, multi=pooled))
            for code in MULTI:
                trial = _tried(fewer, head, MultiForm(code=code, boxes=False), weight)
                yield replace(trial, form=MultiForm(factor, most, code, boxes=False))


def _first(sample: Sample, k: int, forms: Sequence[_Tried]) -> np.ndarray:
    """Which items are among the first k of each query by some forms together, (Q, N) bool; of equals, the earlier."""
    scores = forms[0].scores.copy()
    for tried in forms[1:]:
        scores += tried.scores
    if (parts := sample.documents.parts) is not None:
        scores = parts.best(scores)
    if sample.own is not None:
        scores[np.arange(len(scores)), sample.own] = -np.inf
    least = np.partition(scores, -k, axis=1)[:, -k, None]
    above, level = scores > least, scores == least
    room = k - above.sum(1, keepdims=True)
    return np.asarray(above | (level & (level.cumsum(1, dtype=np.int32) <= room)))


def _found(first: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Share of each query's wanted items that are among its first k, both (Q, N) bool: (Q,)."""
    most = np.minimum(wanted.sum(1), first.sum(1))
    return np.asarray((first & wanted).sum(1) / np.maximum(most, 1))


def _measured(
    sample: Sample, k: int, choices: Sequence[Sequence[_Tried]], seed: int
) -> tuple[list[Option], np.ndarray]:
    """An option for each choice, the last being exact; and resampled means of what decides, (resamples, options)."""
    nearest = _first(sample, k, choices[-1])
    agreements, recalls = [], []
    for choice in choices:
        first = _first(sample, k, choice)
        agreements.append(_found(first, nearest))
        if sample.answers is not None:
            recalls.append(_found(first, sample.answers))
    resamples = Resamples.of(len(sample.queries), seed=seed)
    decisive = np.stack(recalls or agreements, axis=1)  # (Q, options)
    spread = resamples.intervals(np.stack(agreements, axis=1))
    answered = resamples.intervals(decisive) if recalls else [None] * len(choices)
    options = [
        Option(_form(choice), sum(t.size for t in choice), agreement, recall)
        for choice, agreement, recall in zip(choices, spread, answered, strict=True)
    ]
    return options, resamples.weights @ decisive


def _form(choice: Sequence[_Tried]) -> Form:
    return Form(**{t.head: t.form for t in choice})  # type: ignore[arg-type]


def _pick(n: int, most: int, seed: int) -> np.ndarray:
    """At most ``most`` of 0..n, at random, in order."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])
