"""Rows of JSON-lines, CSV and TSV files, with the place of each for messages; nothing is guessed silently."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onespace.errors import InputError
from onespace.types import Item, Pair

SUFFIXES = frozenset({".jsonl", ".ndjson", ".csv", ".tsv"})
IMAGE = ("image", "file_name", "filepath", "reference")
CAPTION = ("caption", "captions", "text", "title")
LANGUAGE = ("language", "lang", "locale")
csv.field_size_limit(10_000_000)


@dataclass(frozen=True)
class Row:
    """One row: its values, and where it stands."""

    values: Mapping[str, Any]
    place: str
    folder: Path

    def get(self, names: Sequence[str]) -> Any:
        """The first value that is there under one of several names, else None."""
        return next((self.values[n] for n in names if self.values.get(n) not in (None, "")), None)

    def need(self, names: Sequence[str]) -> Any:
        """The same. Raises `InputError` when none is there."""
        value = self.get(names)
        if value is None:
            raise InputError(f"{self.place} has no {' or '.join(map(repr, names))}. It has: {', '.join(self.values)}.")
        return value

    def texts(self, names: Sequence[str]) -> list[str]:
        """A text, or a list of them. Raises `InputError` when there is none."""
        value = self.need(names)
        return [str(x) for x in value] if isinstance(value, list) else [str(value)]

    def text(self, names: Sequence[str]) -> str:
        """One text, or "" where there is none."""
        value = self.get(names)
        return "" if value is None else str(value)

    def number(self, names: Sequence[str]) -> float:
        """A number. Raises `InputError` for anything else."""
        value = self.need(names)
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.place}: {value!r} isn't a number. Write it like 3.5.") from error

    def picture(self, value: str) -> Path:
        """A path, seen from the file's folder."""
        return self.folder / value

    def item(self, text: str) -> Item:
        """The row's picture, its text, or both as a pair. Raises `InputError` when it has neither."""
        image = self.get(IMAGE)
        if image is None and not text:
            raise InputError(f"{self.place} has neither a text nor an image. Give one of them, or both.")
        return text if image is None else Pair(text, self.picture(image)) if text else self.picture(image)


def read_rows(path: Path) -> Iterator[Row]:
    """Yields the rows of a .jsonl, .ndjson, .csv or .tsv file; CSV and TSV start with the names of their columns.

    Raises:
        InputError: a file that isn't there or isn't UTF-8, or a row that can't be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".csv", ".tsv"):
                table = csv.DictReader(file, delimiter="," if path.suffix.lower() == ".csv" else "\t", strict=True)
                for values in table:
                    named = {str(k).strip(): v for k, v in values.items() if k is not None}
                    yield Row(named, f"{path}:{table.line_num}", path.parent)
                return
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield Row(_object(line, f"{path}:{number}"), f"{path}:{number}", path.parent)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} isn't UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except csv.Error as error:
        raise InputError(f"{path}: {error}. Check its quotes and its columns.") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Check the path.") from error


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place} isn't JSON ({error}). Write one object a line.") from error
    if not isinstance(values, dict):
        raise InputError(f"{place} is a {type(values).__name__}, not an object. Write one object a line.")
    return values
