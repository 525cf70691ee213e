"""Smaller forms of `Embeddings`: fewer numbers, fewer bits a number, fewer vectors an item; and search in them.

    Embeddings -> apply(form) -> Compact -> search(queries) -> hits
                                         -> decode()        -> Embeddings again, as near as the form allows

Queries stay as the model made them: only what is stored gets smaller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onespace.embeddings import Embeddings, Ragged
from onespace.errors import InputError
from onespace.forms.pooling import pool
from onespace.forms.quantise import (
    CODES,
    WEIGHT_CODES,
    Code,
    Codes,
    Terms,
    Vectors,
    WeightCode,
    hamming,
    heaviest,
    unit,
)
from onespace.score import Weights, own_weights, similarity
from onespace.search import Hit
from onespace.types import HEADS, Metric

if TYPE_CHECKING:
    from onespace.spec import Spec

NUMBERS_AT_ONCE = 8_000_000
"""Stored numbers that are read back to float32 at a time while searching."""
MEASURED, POOLED = 4096, 64
"""Rows, and items with pooled rows, on which the notes measure how near a form is."""
CANDIDATES = 10
"""Rows that are scored again for each hit asked for, unless told otherwise."""
ALONE: dict[str, Metric] = {"dense": "cosine", "sparse": "lexical", "multi": "maxsim"}
"""How a form of one head is scored; several heads are blended."""


@dataclass(frozen=True)
class DenseForm:
    """One vector an item: its first ``width`` numbers (None: all), each in ``code``."""

    width: int | None = None
    code: Code = "float32"

    def __str__(self) -> str:
        return f"dense{_said('', self.width)} {self.code}"


@dataclass(frozen=True)
class SparseForm:
    """The ``keep`` heaviest terms of an item (None: all), each weight in ``code``."""

    keep: int | None = None
    code: WeightCode = "float32"

    def __str__(self) -> str:
        return f"sparse{_said('', self.keep)} {self.code}"


@dataclass(frozen=True)
class MultiForm:
    """One mean vector for every ``pool`` of an item, at most ``most`` an item, each in ``code``.

    ``boxes=False`` drops the places in the picture: a quarter of an int8 form, half of a binary one.
    """

    pool: int = 1
    most: int | None = None
    code: Code = "float32"
    boxes: bool = True

    def __str__(self) -> str:
        pooled = f" pool {self.pool}" if self.pool > 1 else ""
        return f"multi{pooled}{_said(' most', self.most)} {self.code}{'' if self.boxes else ' unplaced'}"


@dataclass(frozen=True)
class Form:
    """What is kept of each head; None drops the head.

    >>> form = Form(dense=DenseForm(64, "int8"), multi=MultiForm(pool=4, code="binary"))
    >>> str(form)
    'dense 64 int8 + multi pool 4 binary'
    >>> Form.parse("dense 64 int8 + multi pool 4 binary") == form
    True

    Raises:
        InputError: no head at all, a number below 1, or an unknown code.
    """

    dense: DenseForm | None = None
    sparse: SparseForm | None = None
    multi: MultiForm | None = None

    def __post_init__(self) -> None:
        if not self.heads:
            raise InputError("a form without any head keeps nothing. Give dense=, sparse= or multi=.")
        for head, codes in (("dense", CODES), ("sparse", WEIGHT_CODES), ("multi", CODES)):
            kept = getattr(self, head)
            if kept is None:
                continue
            if kept.code not in codes:
                raise InputError(f"code {kept.code!r} of {head} isn't known. Choose one of {', '.join(codes)}.")
            for name in ("width", "keep", "pool", "most"):
                number = getattr(kept, name, None)
                if number is not None and number < 1:
                    raise InputError(f"{name}={number!r} of {head} must be at least 1.")

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that are kept."""
        return tuple(h for h in HEADS if getattr(self, h) is not None)

    def __str__(self) -> str:
        return " + ".join(str(getattr(self, head)) for head in self.heads)

    @classmethod
    def parse(cls, text: str) -> Form:
        """Reads what ``str(form)`` writes. Raises `InputError` for anything else."""
        found: dict[str, Any] = {}
        for part in map(str.strip, text.split("+")):
            match = _PART.fullmatch(part)
            form = None if match is None else _read(**match.groupdict())
            if match is None or str(form) != part or match["head"] in found:
                raise InputError(f"{part!r} isn't one part of a form. Write 'dense 64 int8 + sparse 32 uint8', say.")
            found[match["head"]] = form
        return cls(**found)

    @classmethod
    def whole(cls, embeddings: Embeddings) -> Form:
        """The form that keeps everything, in float32."""
        kinds = {"dense": DenseForm(), "sparse": SparseForm(), "multi": MultiForm()}
        return cls(**{head: kinds[head] for head in embeddings.heads})  # type: ignore[arg-type]


_PART = re.compile(
    r"(?P<head>dense|sparse|multi)(?: (?P<number>\d+))?(?: pool (?P<pool>\d+))?(?: most (?P<most>\d+))?"
    r" (?P<code>[a-z]+\d*)(?P<unplaced> unplaced)?"
)


def _read(
    head: str, number: str | None, pool: str | None, most: str | None, code: Any, unplaced: str | None
) -> DenseForm | SparseForm | MultiForm:
    if head == "multi":
        return MultiForm(int(pool or 1), _number(most), code, unplaced is None)
    return DenseForm(_number(number), code) if head == "dense" else SparseForm(_number(number), code)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _said(what: str, number: int | None) -> str:
    return "" if number is None else f"{what} {number}"


def apply(embeddings: Embeddings, form: Form | str, *, spec: Spec | None = None) -> Compact:
    """Brings embeddings to a smaller form, given as such or in words; `Compact.notes` says what that cost.

    ``spec`` is the model's (``model.spec``): it is needed to cut the dense vector, because only the model knows the
    widths for which it was trained.

    Raises:
        InputError: a head that isn't there, or a width for which the model wasn't trained.
    """
    form = Form.parse(form) if isinstance(form, str) else form
    missing = [head for head in form.heads if head not in embeddings.heads]
    if missing:
        there = ", ".join(embeddings.heads) or "none"
        raise InputError(
            f"the form keeps {' and '.join(missing)}; these embeddings have {there}. Encode with all heads."
        )
    dense, sparse, multi, notes = None, None, None, []
    if form.dense is not None and embeddings.dense is not None:
        rows = cut(embeddings.dense, form.dense.width, model=embeddings.model, spec=spec)
        dense = Codes.of(rows, form.dense.code)
        notes.append(f"dense: {rows.shape[1]} of {embeddings.dense.shape[1]} numbers{_nearness(rows, dense)}")
    if form.sparse is not None and embeddings.sparse is not None:
        whole, keep = embeddings.sparse, form.sparse.keep
        kept = whole if keep is None else heaviest(whole, keep)
        sparse = Terms.of(kept, form.sparse.code)
        weight = kept.values.sum() / whole.values.sum() if len(whole.values) else 1
        terms = f"{len(kept.values)} of {len(whole.values)} terms with {_percent(weight)} of the weight"
        notes.append(f"sparse: {terms}, weights as {form.sparse.code}")
    if form.multi is not None and embeddings.multi is not None:
        pooled = pool(embeddings.multi, factor=form.multi.pool, most=form.multi.most)
        multi = Vectors.of(pooled, form.multi.code, boxes=form.multi.boxes)
        notes.append(f"multi: {_thinning(embeddings.multi, pooled)}{_nearness(pooled.values, multi.codes)}")
        if embeddings.multi.places is not None:
            notes.append(f"multi: boxes {'rounded to whole pixels' if form.multi.boxes else 'dropped'}")
    notes += [f"{head}: dropped" for head in embeddings.heads if head not in form.heads]
    return Compact(form, replace(embeddings, dense=None, sparse=None, multi=None), dense, sparse, multi, tuple(notes))


def cut(dense: np.ndarray, width: int | None, *, model: str, spec: Spec | None) -> np.ndarray:
    """The first ``width`` numbers of each row, scaled to length 1 again. Raises `InputError` where that would harm."""
    if width is None or width == dense.shape[1]:
        return dense
    if spec is None or spec.name != model:
        raise InputError(
            f"only its spec says whether {model or 'a model'} may be cut to {width} numbers. Pass spec=model.spec."
        )
    if width not in spec.truncatable:
        allowed = ", ".join(map(str, spec.truncatable)) or "none"
        raise InputError(
            f"{model} wasn't trained to be cut to {width} numbers; widths it was trained for: {allowed}. "
            "Use one of these, or int8 or binary numbers."
        )
    return unit(dense[:, :width])


@dataclass(frozen=True, eq=False)
class Compact:
    """Embeddings in a smaller form; made by `apply`."""

    form: Form
    bare: Embeddings
    """The embeddings without their vectors: kinds, receipts, parts, and the model's name."""
    dense: Codes | None
    sparse: Terms | None
    multi: Vectors | None
    notes: tuple[str, ...]
    """What was done to each head, and how near the stored rows are to the float rows."""

    def __len__(self) -> int:
        return len(self.bare)

    @property
    def bytes_by_head(self) -> dict[str, int]:
        """Bytes held for each head; receipts and kinds of item aren't counted."""
        return {head: getattr(self, head).nbytes for head in self.form.heads}

    @property
    def nbytes(self) -> int:
        """Bytes held for all heads."""
        return sum(self.bytes_by_head.values())

    @property
    def bytes_per_item(self) -> float:
        """The mean over the items."""
        return self.nbytes / max(1, self.bare.items)

    def decode(self, rows: np.ndarray | None = None) -> Embeddings:
        """All rows, or some of them without their parts, as float32 `Embeddings`."""
        picked = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        return replace(
            self.bare if rows is None else Embeddings(tuple(self.bare.modalities[i] for i in picked)),
            dense=None if self.dense is None else self.dense.decode(picked),
            sparse=None if self.sparse is None else self.sparse.decode(picked),
            multi=None if self.multi is None else self.multi.decode(picked),
            model=self.bare.model,
        )

    def similarity(self, queries: Embeddings, *, weights: Weights | None = None) -> np.ndarray:
        """Every float query against every stored row: (N, M) float32.

        One head is scored by its own metric (cosine, lexical, maxsim), several by ``blend`` over those that are kept.
        """
        asked = self._asked(queries)
        scores = [self._score(asked, self.decode(rows), weights) for rows in self._blocks()]
        return np.concatenate(scores, axis=1) if scores else np.zeros((len(queries), 0), np.float32)

    def search(
        self,
        queries: Embeddings,
        *,
        k: int = 10,
        weights: Weights | None = None,
        rescore: Embeddings | Compact | None = None,
        candidates: int | None = None,
        hamming: bool = False,
    ) -> list[list[Hit]]:
        """The ``k`` nearest items of each query, best first; an item in parts counts with its best part.

        Args:
            queries: as the model made them, with the heads of the form.
            k: hits a query.
            weights: of dense, sparse and multi, where the form keeps several.
            rescore: the same items in a finer form, or as they were: the best ``candidates`` rows of each query
                (10 for each hit by default) are scored again by it, and only they can be hits.
            candidates: how many rows are scored again.
            hamming: ranks by the bits in which query and row differ, dense head only; needs ``dense binary``.

        Raises:
            InputError: a number below 1, a finer form of other items, or ``hamming`` without binary rows.
        """
        wanted = CANDIDATES * k if candidates is None else candidates
        if k < 1 or wanted < 1:
            raise InputError(f"k={k!r} and candidates={candidates!r} must be at least 1.")
        scores = self._bits(queries) if hamming else self.similarity(queries, weights=weights)
        if rescore is not None:
            scores = _rescored(scores, queries, rescore, weights, wanted)
        if queries.parts is not None:
            several, scores = scores, np.full((queries.items, len(self)), -np.inf, np.float32)
            np.maximum.at(scores, queries.parts.owner, several)
        return [self._hits(row, k) for row in scores]

    def _hits(self, scores: np.ndarray, k: int) -> list[Hit]:
        """The best rows, one an item; of equal scores the first row stands first."""
        parts, order = self.bare.parts, np.argsort(-scores, kind="stable")
        owner = order if parts is None else parts.owner[order]
        best = order[np.sort(np.unique(owner, return_index=True)[1])[:k]]
        return [
            Hit(
                item=int(row if parts is None else parts.owner[row]),
                row=int(row),
                score=float(scores[row]),
                box=None if parts is None else parts.box(int(row)),
                span=None if parts is None else parts.span(int(row)),
            )
            for row in best
            if np.isfinite(scores[row])
        ]

    def _asked(self, queries: Embeddings) -> Embeddings:
        """The queries, their dense rows as short as the stored ones."""
        if self.dense is None or queries.dense is None or queries.dense.shape[1] <= self.dense.width:
            return queries
        return replace(queries, dense=unit(queries.dense[:, : self.dense.width]))

    def _score(self, queries: Embeddings, rows: Embeddings, weights: Weights | None) -> np.ndarray:
        if len(self.form.heads) == 1:
            return similarity(queries, rows, metric=ALONE[self.form.heads[0]])
        if weights is None:
            scores = np.zeros((len(queries), len(rows)), np.float32)
            for some, own in own_weights(queries):
                scores[some] = self._score(queries[some], rows, own)
            return scores
        dense, sparse, multi = (w if h in self.form.heads else 0.0 for h, w in zip(HEADS, weights, strict=True))
        return similarity(queries, rows, metric="blend", weights=(dense, sparse, multi))

    def _blocks(self) -> Iterator[np.ndarray]:
        """Row numbers in runs that hold about `NUMBERS_AT_ONCE` numbers."""
        numbers = np.ones(len(self), np.int64)
        if self.dense is not None:
            numbers += self.dense.width
        if self.multi is not None:
            numbers += self.multi.counts.astype(np.int64) * self.multi.codes.width
        turns = np.flatnonzero(np.diff(np.cumsum(numbers) // NUMBERS_AT_ONCE)) + 1
        return (run for run in np.split(np.arange(len(self)), turns) if len(run))

    def _bits(self, queries: Embeddings) -> np.ndarray:
        if self.dense is None or self.dense.code != "binary":
            raise InputError(f"hamming=True compares bits; this form is {self.form}. Make one with 'dense binary'.")
        asked = self._asked(queries)
        if asked.dense is None or asked.dense.shape[1] != self.dense.width:
            raise InputError("the queries have no dense head of this width. Encode them with the model of the rows.")
        return hamming(Codes.of(asked.dense, "binary"), self.dense)


def _rescored(
    scores: np.ndarray,
    queries: Embeddings,
    finer: Embeddings | Compact,
    weights: Weights | None,
    candidates: int,
) -> np.ndarray:
    """Scores of the best candidates by the finer rows; -inf elsewhere."""
    if len(finer) != scores.shape[1]:
        raise InputError(f"rescore holds {len(finer)} rows, and {scores.shape[1]} are searched. Pass the same items.")
    if isinstance(finer, Embeddings):
        finer = apply(finer, Form.whole(finer))
    again, count = np.full_like(scores, -np.inf), min(candidates, scores.shape[1])
    asked = finer._asked(queries)
    for i, row in enumerate(scores):
        near = np.argpartition(-row, count - 1)[:count] if count else np.zeros(0, np.int64)
        again[i, near] = finer._score(asked[i], finer.decode(near), weights)[0]
    return again


def _nearness(rows: np.ndarray, codes: Codes) -> str:
    """How near the coded rows are to the float rows, as a phrase."""
    if codes.code == "float32" or not len(rows):
        return f" as {codes.code}"
    some = np.unique(np.linspace(0, len(rows) - 1, MEASURED).astype(np.int64))
    cosines = (unit(rows[some]) * unit(codes.decode(some))).sum(1)
    return f" as {codes.code}, mean cosine to the float row {cosines.mean():.4f}"


def _thinning(before: Ragged, after: Ragged) -> str:
    """How many vectors are left, and how near the nearest of them is to each that was there, as a phrase."""
    said = f"{len(after.values)} of {len(before.values)} vectors"
    if after is before or not len(before.values):
        return said
    some = np.flatnonzero(before.counts)
    some = some[np.unique(np.linspace(0, len(some) - 1, POOLED).astype(np.int64))]
    near = np.concatenate([(unit(before[int(i)]) @ unit(after[int(i)]).T).max(1) for i in some])
    return f"{said}, mean cosine of a vector to the nearest that is left {near.mean():.4f},"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
