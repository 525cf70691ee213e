"""What a model can be judged on: a search with known answers, pairs with a known similarity, pictures with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from onespace.errors import InputError
from onespace.types import Item, Modality, Pair

_T = TypeVar("_T")


def kind_of(item: Item) -> Modality:
    """Which kind of item it is.

    >>> kind_of("a whale"), kind_of(Pair("a whale", b"..."))
    ('text', 'pair')
    """
    return "text" if isinstance(item, str) else "pair" if isinstance(item, Pair) else "image"


@dataclass(frozen=True)
class Retrieval:
    """A search: for each query, the documents that answer it.

    Raises:
        InputError: lists whose lengths differ, no query, or a query without an answer among the documents.
    """

    name: str
    documents: Sequence[Item]
    queries: Sequence[Item]
    answers: Sequence[Mapping[int, float]]
    """For each query {place of a document: grade}, every grade above 0."""
    languages: Sequence[str] = ()
    """Of each query, where that is known."""
    groups: Sequence[int] | None = None
    """Queries that belong together, such as the captions of one picture, have one number."""
    left_out: Sequence[int] = ()
    """For each query the place of a document that its ranking leaves out, such as the query itself; -1 for none."""
    names: tuple[Sequence[str], Sequence[str]] = ((), ())
    """Names of the documents and of the queries, for messages and files."""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lists = {"answers": self.answers, "languages": self.languages, "left_out": self.left_out}
        lists |= {"groups": self.groups or ()}
        wrong = [name for name, values in lists.items() if len(values) not in (0, len(self.queries))]
        if wrong or not len(self.queries) or len(self.answers) != len(self.queries):
            raise InputError(
                f"{self.name}: {len(self.queries)} queries with {len(self.answers)} answers"
                f"{''.join(f', {len(lists[name])} {name}' for name in wrong)}. Give each query its answers; there must "
                "be one query at least."
            )
        for i, grades in enumerate(self.answers):
            if not grades or min(grades.values()) <= 0 or not 0 <= min(grades) <= max(grades) < len(self.documents):
                raise InputError(
                    f"{self.name}: query {i} has the answers {dict(grades)!r} among {len(self.documents)} documents. "
                    "Give {place: grade}, with grades above 0, and leave out queries without an answer."
                )

    def only(self, documents: Sequence[int], queries: Sequence[int]) -> Retrieval:
        """Without the other documents and queries. Raises `InputError` when a query so loses all its answers."""
        place = {old: new for new, old in enumerate(documents)}
        return replace(
            self,
            documents=[self.documents[d] for d in documents],
            queries=[self.queries[q] for q in queries],
            answers=[{place[d]: grade for d, grade in self.answers[q].items() if d in place} for q in queries],
            languages=_some(self.languages, queries),
            groups=None if self.groups is None else _some(self.groups, queries),
            left_out=[place.get(d, -1) for d in _some(self.left_out, queries)],
            names=(_some(self.names[0], documents), _some(self.names[1], queries)),
        )

    def direction(self, query: int) -> str:
        """Kinds of a query and of what answers it.

        >>> Retrieval("pictures", [b"...", "a whale"], ["whale", "none"], [{0: 1}, {0: 1, 1: 1}]).direction(1)
        'text to any'
        """
        kinds = {kind_of(self.documents[d]) for d in self.answers[query]}
        return f"{kind_of(self.queries[query])} to {kinds.pop() if len(kinds) == 1 else 'any'}"


@dataclass(frozen=True)
class Sts:
    """Semantic textual similarity: pairs of items, and how alike people found each pair.

    Raises:
        InputError: lists whose lengths differ, or fewer than 3 pairs.
    """

    name: str
    first: Sequence[Item]
    second: Sequence[Item]
    scores: Sequence[float]
    languages: Sequence[str] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.first), len(self.second), len(self.scores), len(self.languages or self.scores)}
        if len(lengths) > 1 or len(self.scores) < 3:
            raise InputError(
                f"{self.name}: {len(self.first)} and {len(self.second)} items with {len(self.scores)} scores. Each "
                "pair needs a score, and a correlation needs at least 3 pairs."
            )


@dataclass(frozen=True)
class Classification:
    """Zero-shot classification: items with a label, told apart by nothing but the names of the classes.

    Raises:
        InputError: labels that aren't among the classes, fewer than 2 classes, or a template without ``{}``.
    """

    name: str
    items: Sequence[Item]
    labels: Sequence[int]
    classes: Mapping[str, Sequence[str]]
    """For each language (or "", where that isn't known) the names of all the classes."""
    templates: Mapping[str, Sequence[str]]
    """For each of these languages, sentences with ``{}`` in place of the name."""

    def __post_init__(self) -> None:
        sizes = {len(names) for names in self.classes.values()}
        if len(sizes) != 1 or min(sizes) < 2 or not self.labels or len(self.items) != len(self.labels):
            raise InputError(
                f"{self.name}: {len(self.items)} items, {len(self.labels)} labels and {sorted(sizes)} classes. Each "
                "item needs a label, and each language the names of all classes, two or more."
            )
        if not 0 <= min(self.labels) <= max(self.labels) < min(sizes):
            raise InputError(f"{self.name}: a label is outside the {min(sizes)} classes. Labels count from 0.")
        for language in self.classes:
            for template in self.templates.get(language, ()) or [""]:
                if "{}" not in template:
                    raise InputError(
                        f"{self.name}: the template {template!r} for {language or 'any language'} has no {{}}, where "
                        "the name of the class goes. Each language needs one at least."
                    )


Task: TypeAlias = "Retrieval | Sts | Classification"


def _some(values: Sequence[_T], rows: Sequence[int]) -> list[_T]:
    return [values[i] for i in rows] if len(values) else []
