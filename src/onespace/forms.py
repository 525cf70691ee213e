"""Smaller forms of `Embeddings`: fewer numbers, fewer bits a number, fewer vectors an item; and search in them.

    Embeddings -> apply(form) -> Compact -> search(queries) -> hits
                                         -> decode()        -> Embeddings again, as near as the form allows

Queries stay as the model made them: only what is stored gets smaller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from onespace.embeddings import Embeddings
from onespace.errors import InputError
from onespace.pooling import pool
from onespace.quantise import CODES, WEIGHT_CODES, Code, Codes, Terms, Vectors, WeightCode, hamming, heaviest
from onespace.score import BLEND, similarity
from onespace.types import HEADS, Metric, Modality, Receipt

if TYPE_CHECKING:
    from onespace.spec import Spec

NUMBERS_AT_ONCE = 8_000_000
"""Stored numbers that are read back to float32 at a time while searching."""
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
        found: dict[str, DenseForm | SparseForm | MultiForm] = {}
        for part in map(str.strip, text.split("+")):
            match = _PART.fullmatch(part)
            if match is not None:
                head, code = match["head"], match["code"]
                number, pool_, most = (match[name] and int(match[name]) for name in ("number", "pool", "most"))
                if head == "multi":
                    form: Any = MultiForm(1 if pool_ is None else pool_, most, code, match["unplaced"] is None)
                else:
                    form = (DenseForm if head == "dense" else SparseForm)(number, code)
                if str(form) == part and found.setdefault(head, form) is form:
                    continue
            raise InputError(f"{part!r} isn't one part of a form. Write it like 'dense 64 int8 + sparse 32 uint8'.")
        return cls(**found)  # type: ignore[arg-type]

    @classmethod
    def whole(cls, embeddings: Embeddings) -> Form:
        """The form that keeps everything, in float32."""
        kinds = {"dense": DenseForm(), "sparse": SparseForm(), "multi": MultiForm()}
        return cls(**{head: kinds[head] for head in embeddings.heads})  # type: ignore[arg-type]


_PART = re.compile(
    r"(?P<head>dense|sparse|multi)(?: (?P<number>\d+))?(?: pool (?P<pool>\d+))?(?: most (?P<most>\d+))?"
    r" (?P<code>[a-z]+\d*)(?P<unplaced> unplaced)?"
)


def _said(what: str, number: int | None) -> str:
    return "" if number is None else f"{what} {number}"


def apply(embeddings: Embeddings, form: Form, *, spec: Spec | None = None) -> Compact:
    """Brings embeddings to a smaller form; `Compact.notes` says what that cost.

    ``spec`` is the model's (``model.spec``): it is needed to cut the dense vector, because only the model knows the
    widths for which it was trained.

    Raises:
        InputError: a head that isn't there, or a width for which the model wasn't trained.
    """
    missing = [head for head in form.heads if head not in embeddings.heads]
    if missing:
        there = ", ".join(embeddings.heads) or "none"
        raise InputError(f"the form keeps {' and '.join(missing)}; these embeddings have {there}. Encode with all heads.")
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
        before, after = len(embeddings.multi.values), len(pooled.values)
        notes.append(f"multi: {after} of {before} vectors{_nearness(pooled.values, multi.codes)}")
        if embeddings.multi.places is not None:
            notes.append(f"multi: boxes {'rounded to whole pixels' if form.multi.boxes else 'dropped'}")
    notes += [f"{head}: dropped" for head in embeddings.heads if head not in form.heads]
    return Compact(form, embeddings[:0], embeddings.modalities, dense, sparse, multi, tuple(notes))
