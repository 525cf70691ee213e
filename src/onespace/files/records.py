"""Reads what a user has (pictures, folders, text files, JSON lines, a pipe) as a stream of records to encode.

Nothing is opened here but text files and listings; pictures are opened when they are encoded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from onespace.errors import InputError
from onespace.types import Image, ImageLike, Item, Pair

PICTURES = frozenset(
    {".avif", ".bmp", ".gif", ".ico", ".jfif", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Endings by which a picture is recognised inside a folder. A file that is named outright may have any ending."""

LINES, ROWS = frozenset({".txt"}), frozenset({".jsonl", ".ndjson"})


@dataclass(frozen=True, slots=True)
class Record:
    """One thing to encode, with the name under which it is kept; ``problem`` says why there is no item."""

    id: str
    item: Item | None
    text: str = ""
    image: str = ""
    problem: str = ""
    queries: tuple[str, ...] = ()
    """Searches that this item should answer, where the row names some."""

    @property
    def fingerprint(self) -> str:
        """Changes when the text, the picture's path, its size or its time of change does."""
        stat = ""
        if self.image and not self.image.startswith("data:"):
            try:
                info = os.stat(self.image)
                stat = f"{info.st_size} {info.st_mtime_ns}"
            except (OSError, ValueError):
                stat = "unreadable"
        return json.dumps([self.id, self.text, self.image, stat, self.problem])


def read_records(inputs: Sequence[str], *, stdin: BinaryIO | None = None) -> Iterator[Record]:
    """Yields a record for each thing found.

    A folder gives its pictures, in all folders below it; ``.txt`` one text a line; ``.jsonl`` one row a line with
    fields ``text``, ``image`` (a path seen from the file's folder, or a data URI) and ``id``; ``-`` reads `stdin`,
    lines or JSON rows; any other file is a picture.

    Raises:
        InputError: a text file or a folder that isn't there or can't be read.
    """
    for name in inputs:
        path = Path(name)
        if name == "-":
            if stdin is None:
                raise InputError("'-' reads standard input, and none was given. Pass stdin=.")
            yield from _read_stream(stdin)
        elif path.is_dir():
            yield from _read_folder(path)
        elif path.suffix.lower() in LINES | ROWS:
            try:
                with path.open("rb") as file:
                    read = _read_rows if path.suffix.lower() in ROWS else _read_lines
                    yield from read(file, name, path.parent)
            except OSError as error:
                raise InputError(f"{name}: {error.strerror}. Check the path.") from error
        else:
            yield Record(name, path, image=name)


def _read_folder(folder: Path) -> Iterator[Record]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: {error.strerror}. Give leave to read it, or name other folders.")

    for root, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        for file in sorted(files):
            path = Path(root, file)
            if path.suffix.lower() in PICTURES:
                yield Record(str(path), path, image=str(path))


def _read_stream(stream: BinaryIO) -> Iterator[Record]:
    lines = iter(stream)
    for first in lines:
        if first.strip():
            read = _read_rows if first.lstrip(b"\xef\xbb\xbf \t").startswith(b"{") else _read_lines
            yield from read(_chain(first, lines), "stdin", Path())
            return


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _decoded(lines: Iterable[bytes], name: str) -> Iterator[tuple[str, str, str]]:
    """(id, line, problem) of each line that isn't blank."""
    for number, raw in enumerate(lines, 1):
        place = f"{name}:{number}"
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            yield place, "", f"isn't UTF-8 (byte {error.start + 1} of the line). Save the file as UTF-8."
            continue
        if line:
            yield place, line, ""


def _read_lines(lines: Iterable[bytes], name: str, _: Path) -> Iterator[Record]:
    for place, line, problem in _decoded(lines, name):
        yield Record(place, None, problem=problem) if problem else Record(place, line, text=line)


def _read_rows(lines: Iterable[bytes], name: str, folder: Path) -> Iterator[Record]:
    for place, line, problem in _decoded(lines, name):
        if problem:
            yield Record(place, None, problem=problem)
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield Record(place, None, problem=f"isn't JSON ({error}). Write one object a line.")
            continue
        yield to_record(row, place, folder)


def to_record(row: Any, place: str, folder: Path) -> Record:
    """A row ``{"text": ..., "image": ..., "id": ..., "query": ...}`` as a record; `place` is its name without an id.

    ``query``, a string or a list of them, is only for commands that measure a search.

    >>> to_record({"text": "a whale"}, "things.jsonl:1", Path())
    Record(id='things.jsonl:1', item='a whale', text='a whale', image='', problem='', queries=())
    >>> to_record({"texte": "a whale"}, "things.jsonl:2", Path()).problem
    'has neither "text" nor "image". Give one of them, or both.'
    """
    if not isinstance(row, dict):
        return Record(place, None, problem=f"is a {type(row).__name__}, not an object with text or image.")
    name = str(row.get("id", place))
    text, image = row.get("text"), row.get("image")
    if text is not None and not isinstance(text, str):
        return Record(name, None, problem=f'"text" is a {type(text).__name__}, not a string. Put quotes around it.')
    if image is not None and not isinstance(image, str):
        return Record(name, None, problem=f'"image" is a {type(image).__name__}, not a path or data URI in a string.')
    asked = row.get("query")
    queries = tuple(str(q) for q in (asked if isinstance(asked, list) else [asked]) if isinstance(q, (str, int, float)))
    if not image:
        if text is None:
            return Record(name, None, problem='has neither "text" nor "image". Give one of them, or both.')
        return Record(name, text, text=text, queries=queries)
    remote = image.startswith(("data:", "http:", "https:"))
    where = image if remote else str(folder / image)
    source: ImageLike = Image(image) if remote else folder / image
    return Record(name, Pair(text, source) if text else source, text=text or "", image=where, queries=queries)
