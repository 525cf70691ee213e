"""``--filter`` on the command line, as the filter of `onespace.Store.search`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from onespace.errors import InputError

CONDITION = re.compile(r"([^<>=]+)(>=|<=|=|>|<)(.*)", re.DOTALL)
BOUNDS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}
RANGE = re.compile(r"(-?[0-9][^.]*(?:\.[0-9]+)?)?\.\.(-?[0-9].*)?")
HELP = "Write name=value, name=a,b, name=1..5, name>=1 or name<5."


def read_filters(words: Iterable[str]) -> dict[str, Any] | None:
    """The filter that several ``name=value`` spell together; None for none.

    A value that reads as a number, or as true or false, fits the text of the same letters too; quotes make it a text
    alone. Ends of a range are numbers, or texts that begin like dates.

    Raises:
        InputError: words that can't be read, or two conditions on a name that don't go together.

    >>> read_filters(["kind=logo", "price=1..5", "tag=red,blue"])
    {'kind': ['logo'], 'price': {'gte': 1, 'lte': 5}, 'tag': ['red', 'blue']}
    >>> read_filters(["year>=2020", "year<2022", "size=3", 'id="7"'])
    {'year': {'gte': 2020, 'lt': 2022}, 'size': [3, '3'], 'id': ['7']}
    """
    filter: dict[str, Any] = {}
    for word in words:
        found = CONDITION.fullmatch(word)
        if found is None or not found[3]:
            raise InputError(f"--filter {word!r} can't be read. {HELP}")
        name, sign, told = found[1].strip(), found[2], found[3]
        condition = _values(told) if sign == "=" else {BOUNDS[sign]: _value(told)[0]}
        earlier = filter.get(name)
        if isinstance(earlier, dict) and isinstance(condition, dict) and not earlier.keys() & condition.keys():
            condition = earlier | condition
        elif earlier is not None:
            raise InputError(
                f"--filter {word!r}: {name!r} has a condition already. Join them: {name}=a,b or {name}=1..5."
            )
        filter[name] = condition
    return filter or None


def _values(told: str) -> dict[str, Any] | list[Any]:
    """A range, or all the values that fit."""
    ends = RANGE.fullmatch(told)
    if ends and (ends[1] or ends[2]):
        return {bound: _value(end)[0] for bound, end in (("gte", ends[1]), ("lte", ends[2])) if end}
    pieces = [told] if told[0] == told[-1] == '"' else told.split(",")
    return [value for piece in pieces for value in _value(piece)]


def _value(word: str) -> list[Any]:
    """What a word may mean.

    >>> _value("1.5"), _value("true"), _value('"true"'), _value("2026-01-05")
    ([1.5, '1.5'], [True, 'true'], ['true'], ['2026-01-05'])
    """
    if len(word) > 1 and word[0] == word[-1] == '"':
        return [word[1:-1]]
    if word in ("true", "false"):
        return [word == "true", word]
    try:
        return [int(word) if word.lstrip("-").isdecimal() else _finite(word), word]
    except ValueError:
        return [word]


def _finite(word: str) -> float:
    """Raises `ValueError` for what isn't a number, or is "nan" or "inf", which are words here."""
    if not re.search("[0-9]", word) or "_" in word:
        raise ValueError(word)
    return float(word)
