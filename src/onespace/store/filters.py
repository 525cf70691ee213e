"""Metadata, and filters over it: ``{"kind": "logo", "year": {"gte": 2020}, "tags": ["red", "blue"]}``.

Every name must fit: a value by equality, a list by any of its values, a mapping by its bounds. An item whose value is a
list fits when one of its values does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast, get_args

from onespace.errors import InputError
from onespace.store.engine import Metadata, Scalar

Bound: TypeAlias = Literal["gte", "gt", "lte", "lt"]
Kind: TypeAlias = Literal["text", "number", "bool"]
OPERATORS: dict[Bound, str] = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
LARGEST = 2**53
"""Integers beyond this one aren't exact in every engine."""


@dataclass(frozen=True)
class Condition:
    """One name: it has any of the values, or lies within the bounds."""

    name: str
    values: tuple[Scalar, ...] = ()
    bounds: Mapping[Bound, str | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Filter:
    """Conditions that must all hold."""

    conditions: tuple[Condition, ...]

    @classmethod
    def of(cls, filter: Mapping[str, Any] | None) -> Filter | None:
        """Reads a filter; None for none. Raises `InputError` naming what can't be compared.

        >>> Filter.of({"year": {"gte": 2020}}).conditions[0].bounds
        {'gte': 2020}
        """
        if filter is None:
            return None
        if not isinstance(filter, Mapping):
            raise InputError(f"filter is {type(filter).__name__}; pass a dict, such as {{'kind': 'logo'}}.")
        return cls(tuple(_condition(_name(name, "filter"), value) for name, value in filter.items()))

    def sql(self) -> tuple[str, list[Scalar]]:
        """A condition on ``items.number``, and its parameters."""
        clauses, parameters = ["1"], list[Scalar]()
        for condition in self.conditions:
            told = [(kind_of(value), "value = ?", [value]) for value in condition.values]
            if condition.bounds:
                bounds = " AND ".join(f"value {OPERATORS[bound]} ?" for bound in condition.bounds)
                told = [(kind_of(next(iter(condition.bounds.values()))), bounds, list(condition.bounds.values()))]
            some = []
            for kind, test, values in told:
                some.append(f"SELECT item FROM facts WHERE name = ? AND kind = ? AND {test}")
                parameters += [condition.name, kind, *values]
            clauses.append(f"items.number IN ({' UNION '.join(some)})")
        return " AND ".join(clauses), parameters


def kind_of(value: Scalar) -> Kind:
    """Values of different kinds never equal each other: not 1 and True, nor 1 and "1"."""
    return "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def clean(metadata: Mapping[str, Any], where: str) -> Metadata:
    """Metadata as it is kept; names without a value (None) are left out.

    Raises:
        InputError: a name or value that can't be kept, with ``where`` it was met.

    >>> clean({"kind": "logo", "tags": ("a", "b"), "year": None}, "item 0")
    {'kind': 'logo', 'tags': ['a', 'b']}
    """
    if not isinstance(metadata, Mapping):
        raise InputError(f"{where}: metadata is {type(metadata).__name__}; pass a dict of names and values.")
    kept: dict[str, Scalar | list[Scalar]] = {}
    for name, value in metadata.items():
        label = f"{where}: metadata {_name(name, where)!r}"
        if isinstance(value, (list, tuple)):
            kept[name] = [_scalar(one, label) for one in value]
        elif value is not None:
            kept[name] = _scalar(value, label)
    return kept


def _condition(name: str, value: object) -> Condition:
    label = f"filter {name!r}"
    if isinstance(value, Mapping):
        unknown = [str(bound) for bound in value if bound not in get_args(Bound)]
        if unknown or not value:
            said = f"unknown {', '.join(unknown)}" if unknown else "there is no bound"
            raise InputError(f"{label}: {said}. Bounds are {', '.join(OPERATORS)}: {{'gte': 2020}}.")
        bounds = {cast(Bound, bound): _scalar(limit, label) for bound, limit in value.items()}
        kinds = {kind_of(limit) for limit in bounds.values()}
        if len(kinds) > 1 or "bool" in kinds:
            raise InputError(f"{label}: bounds must be all numbers or all texts, not {dict(value)!r}.")
        return Condition(name, bounds=cast("dict[Bound, str | float]", bounds))
    if isinstance(value, (list, tuple, set, frozenset)):
        if not value:
            raise InputError(f"{label}: an empty list lets nothing through. Name a value, or leave {name!r} out.")
        return Condition(name, tuple(_scalar(one, label) for one in value))
    return Condition(name, (_scalar(value, label),))


def _name(name: object, where: str) -> str:
    if not isinstance(name, str) or not name or '"' in name or "\\" in name:
        raise InputError(f"{where}: {name!r} can't name metadata. Use a text without quotes and backslashes.")
    return name


def _scalar(value: object, where: str) -> Scalar:
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()  # a number of numpy's
    if not isinstance(value, (str, int, float)):
        raise InputError(f"{where} is {type(value).__name__}; use a text, a number, True or False, or a list of them.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where} is {value}, which can't be compared. Leave it out.")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"{where} is {value}, beyond 2**53. Keep it as a text: {str(value)!r}.")
    return value
