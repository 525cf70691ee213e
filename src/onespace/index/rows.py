"""Rows of a table: CSV with a header, or JSON lines. Some columns make the item, the others are told of it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from onespace.errors import ImageError, InputError
from onespace.files.records import Record, to_record
from onespace.index.documents import HASH, PATH, Broken, Document, picture_hash, text_hash
from onespace.index.pictures import Pictures
from onespace.index.walk import File
from onespace.store.filters import clean
from onespace.types import Image, Pair

TABLES = frozenset({".csv", ".tsv"})
NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")


@dataclass(frozen=True)
class Columns:
    """Which columns are an item's text, its picture (a path seen from the table, or a data URI) and its id."""

    text: str = "text"
    image: str = "image"
    id: str = "id"

    @classmethod
    def of(cls, written: str) -> Columns:
        """Reads ``"text=caption,image=file,id=sku"``. Raises `InputError`.

        >>> Columns.of("text=caption").text
        'caption'
        """
        told: dict[str, str] = {}
        for part in filter(None, written.split(",")):
            role, equals, column = part.partition("=")
            if not equals or not column or role not in ROLES:
                raise InputError(f"columns {part!r}: write ROLE=COLUMN, the role being one of {', '.join(ROLES)}.")
            told[role] = column
        return cls(**told)

    def check(self, there: Iterable[str]) -> None:
        """Raises `InputError` when a table's header lacks what was asked for, or holds neither text nor picture."""
        header = list(there)
        named = {getattr(self, role) for role in ROLES} - set(ROLES)
        missing = sorted(named - set(header)) or [self.text] * (not {self.text, self.image} & set(header))
        if missing:
            raise InputError(
                f"has no column {missing[0]!r}; it has {', '.join(map(repr, header))}. "
                "Say which hold the text and the picture: --columns text=NAME,image=NAME."
            )


ROLES = tuple(field.name for field in fields(Columns))


def read_rows(file: File, columns: Columns, pictures: Pictures) -> Iterator[Document | Broken]:
    """A document for each row, ``FILE#row=N`` where it has no id of its own.

    Raises:
        InputError: the header lacks a column, or the file can't be read on as text or as CSV.
    """
    try:
        for number, row in _table(file.path, columns) if file.suffix in TABLES else _lines(file.path):
            yield _document(f"{file.name}#row={number}", row, file, columns, pictures, number)
    except UnicodeDecodeError as error:
        raise InputError("isn't UTF-8. Save the file as UTF-8.") from error
    except csv.Error as error:
        raise InputError(f"can't be read on as CSV ({error}). Save it as JSON lines (.jsonl).") from error


def count_lines(path: Path) -> int:
    """Lines of a file, at least 1."""
    try:
        with path.open("rb") as stream:
            return max(1, sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b"")))
    except OSError:
        return 1


def _table(path: Path, columns: Columns) -> Iterator[tuple[int, Any]]:
    """Number and row of each; empty cells are left out, and plain numbers are numbers."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        separator = max(",;\t", key=stream.readline().count)
        stream.seek(0)
        rows = csv.DictReader(stream, delimiter=separator, strict=True)
        header = rows.fieldnames or ()
        columns.check(header)
        roles = {columns.text, columns.image, columns.id}
        for number, row in enumerate(rows, 1):
            if None in row:
                yield number, InputError(f"has more cells than the {len(header)} columns of the header.")
            else:
                yield number, {name: cell if name in roles else _value(cell) for name, cell in row.items() if cell}


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield number, InputError(f"isn't JSON ({error}). Write one object a line.")


def _document(name: str, row: Any, file: File, columns: Columns, pictures: Pictures, number: int) -> Document | Broken:
    if isinstance(row, InputError):
        return Broken(name, str(row))
    if not isinstance(row, Mapping):
        return Broken(name, f"is a {type(row).__name__}, not an object with named values.")
    told = {role: row.get(getattr(columns, role)) for role in ROLES}
    record = to_record({role: value for role, value in told.items() if value is not None}, name, file.path.parent)
    if record.item is None:
        return Broken(name, record.problem)
    try:
        hashed = _hash(record, pictures)
    except ImageError as error:
        return Broken(name, str(error))
    roles = {getattr(columns, role) for role in ROLES}
    known = {column: value for column, value in row.items() if column not in roles and _kept(column, value)}
    metadata = {"kind": "row", "row": number, **known, PATH: file.name, HASH: hashed}
    return Document(record.id, record.item, metadata)


def _hash(record: Record, pictures: Pictures) -> str:
    item = record.item
    if isinstance(item, str):
        return text_hash(item)
    image = cast("Image | Path", item.images[0] if isinstance(item, Pair) else item)
    return picture_hash(pictures.sha256(image), item.text if isinstance(item, Pair) else None)


def _kept(column: object, value: Any) -> bool:
    """Whether a store can keep a value: texts, numbers, True and False, and lists of them."""
    try:
        return value is not None and bool(clean({column: value}, ""))  # type: ignore[dict-item]
    except InputError:
        return False


def _value(cell: Any) -> Any:
    """A cell as a number where it is written as one.

    >>> [_value("12"), _value("1.50"), _value("007"), _value("1e3")]
    [12, 1.5, '007', '1e3']
    """
    found = NUMBER.fullmatch(cell) if isinstance(cell, str) else None
    return cell if found is None else float(cell) if found[2] else int(cell)
