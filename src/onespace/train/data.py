"""Streams examples from files: shuffled in a window, in batches of one source, and resumable at any step.

What is drawn depends on the seed and the step alone. To go on at a step, the rows before it are read past, not parsed.
"""

from __future__ import annotations

import csv
import json
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

from onespace.errors import InputError
from onespace.files.records import PICTURES, Record
from onespace.train.rows import Example, key, to_example

T = TypeVar("T")

JSON, TABLES = (".jsonl", ".ndjson"), {".csv": ",", ".tsv": "\t"}
LISTINGS = ("metadata.jsonl", "captions.jsonl", "metadata.csv")
"""Files that say what the pictures of a folder show, with the picture's name in ``image`` or ``file_name``."""


@dataclass(frozen=True)
class Row:
    """A row that isn't parsed yet: where it stands, and what it says."""

    place: str
    content: bytes | tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A file of rows, or a folder of captioned pictures: each with a listing, or with a ``.txt`` of its name."""

    path: Path
    held: float = 0.0
    """Share of the rows that is held out: by what they say, so that equal rows stay together."""

    def __post_init__(self) -> None:
        if not self.path.exists():
            raise InputError(f"{self.path}: there is no such file or folder.")
        if self.path.is_file() and self.path.suffix.lower() not in (*JSON, *TABLES):
            raise InputError(f"{self.path}: pass .jsonl, .csv or .tsv, or a folder of captioned pictures.")

    def rows(self, *, held: bool = False) -> Iterator[Row]:
        """The rows to learn from, or those held out, in order.

        Raises:
            InputError: the file can't be read.
        """
        for row in self._all():
            content = row.content if isinstance(row.content, bytes) else "\0".join(row.content).encode()
            if (crc32(content) < self.held * 2**32) is held:
                yield row

    def example(self, row: Row) -> Example:
        """The row, parsed. Raises `InputError` naming the file and the line."""
        if isinstance(row.content, bytes):
            try:
                value: Any = json.loads(row.content)
            except ValueError as error:
                raise InputError(f"{row.place}: isn't JSON ({error}). Write one object a line.") from error
        else:
            value = dict(zip(self._header, row.content, strict=False))
        if isinstance(value, dict) and "file_name" in value:
            value = {"image": value["file_name"], **value}
        return to_example(value, row.place, self._folder)

    def examples(self, *, held: bool = False) -> Iterator[Example]:
        """All of them, in order."""
        return map(self.example, self.rows(held=held))

    @property
    def fingerprint(self) -> str:
        """Changes when the file grows or shrinks, or gets another name."""
        size = self._file.stat().st_size if self._file.is_file() else sum(1 for _ in self._all())
        return f"{self.path.resolve()} {size}"

    @property
    def _file(self) -> Path:
        """The file that holds the rows; the folder itself where captions stand beside their pictures."""
        if not self.path.is_dir():
            return self.path
        return next((self.path / name for name in LISTINGS if (self.path / name).is_file()), self.path)

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def _header(self) -> Sequence[str]:
        return ("text", "image") if self._file.is_dir() else _header(self._file)

    def _all(self) -> Iterator[Row]:
        file = self._file
        if file.is_dir():
            yield from self._beside(file)
        elif file.suffix.lower() in JSON:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield Row(f"{file}:{number}", line.removeprefix(b"\xef\xbb\xbf").strip())
        else:
            with file.open(encoding="utf-8-sig", newline="") as text:
                reader = csv.reader(text, delimiter=TABLES[file.suffix.lower()])
                try:
                    next(reader, None)
                    for cells in reader:
                        if any(cells):
                            yield Row(f"{file}:{reader.line_num}", tuple(cells))
                except (UnicodeDecodeError, csv.Error) as error:
                    raise InputError(f"{file}:{reader.line_num}: {error}. Save it as UTF-8 CSV.") from error

    def _beside(self, folder: Path) -> Iterator[Row]:
        for path in sorted(folder.rglob("*")):
            caption = path.with_suffix(".txt")
            if path.suffix.lower() in PICTURES and caption.is_file():
                name = str(path.relative_to(folder))
                yield Row(str(path), (caption.read_text("utf-8").strip(), name))


def _header(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as text:
        return next(csv.reader(text, delimiter=TABLES[file.suffix.lower()]), [])


@dataclass(frozen=True)
class Drawn:
    """One query of a batch, its positive, and its negatives; a negative equal to the positive fills a short row."""

    query: Record
    candidates: tuple[Record, ...]
    """The positive, then the negatives."""
    scores: tuple[float, ...] = ()
    """A teacher's, of the candidates."""


class Loader:
    """The batches of a run, by step. Several sources take turns, so that the items of a batch are of one kind."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        batch: int,
        negatives: int = 0,
        shuffle: int = 10_000,
        seed: int = 0,
        scored: bool = False,
    ) -> None:
        """With ``scored``, every row must have a teacher's scores."""
        self.scored = scored
        self.sources, self.batch, self.negatives, self.seed = sources, batch, negatives, seed
        self._streams = [_Stream(_endless(source, seed, shuffle)) for source in sources]
        for source in sources:
            found = sum(1 for _ in islice(source.rows(), batch))
            if found < batch:
                raise InputError(f"{source.path}: {found} rows are fewer than batch={batch}. Use a smaller batch.")

    def draw(self, step: int) -> list[Drawn]:
        """The batch of a step, counted from 0."""
        turn, number = step % len(self.sources), step // len(self.sources)
        rows = self._streams[turn].take(number * self.batch, self.batch)
        return [self._example(self.sources[turn], row, f"{self.seed} {step} {i}") for i, row in enumerate(rows)]

    def _example(self, source: Source, row: Row, seed: str) -> Drawn:
        drawn = self._one(source.example(row), seed)
        if self.scored and not drawn.scores:
            raise InputError(
                f"{row.place}: has no pos_scores and neg_scores, from which a teacher's ranking is learnt."
            )
        return drawn

    def _one(self, example: Example, seed: str) -> Drawn:
        chance = random.Random(seed)
        chosen = chance.randrange(len(example.positives))
        positive, there = example.positives[chosen], range(len(example.negatives))
        picked = chance.sample(there, min(self.negatives, len(there)))
        fill = self.negatives - len(picked)
        negatives = (*(example.negatives[i] for i in picked), *[positive] * fill)
        scores: tuple[float, ...] = ()
        if example.positive_scores and (example.negative_scores or not there):
            scores = (example.positive_scores[chosen], *(example.negative_scores[i] for i in picked))
            scores += (float("-inf"),) * fill
        return Drawn(example.query, (positive, *negatives), scores)


class _Stream:
    """An endless iterator that can be asked from any place; asking backwards starts it again."""

    def __init__(self, start: Callable[[], Iterator[Row]]) -> None:
        self._start, self._rows, self._at = start, start(), 0

    def take(self, first: int, number: int) -> list[Row]:
        if first < self._at:
            self._rows, self._at = self._start(), 0
        deque(islice(self._rows, first - self._at), maxlen=0)
        self._at = first + number
        return list(islice(self._rows, number))


def _endless(source: Source, seed: int, window: int) -> Callable[[], Iterator[Row]]:
    def start() -> Iterator[Row]:
        for epoch in count():
            yield from shuffled(source.rows(), random.Random(f"{seed} {epoch}"), window)

    return start


def shuffled(rows: Iterable[T], chance: random.Random, window: int) -> Iterator[T]:
    """The rows in another order; never more than ``window`` of them are held.

    >>> sorted(shuffled(range(5), random.Random(0), 3))
    [0, 1, 2, 3, 4]
    """
    held: list[T] = []
    for row in rows:
        if len(held) < window:
            held.append(row)
            continue
        place = chance.randrange(window)
        yield held[place]
        held[place] = row
    chance.shuffle(held)
    yield from held


def distinct(records: Iterable[Record]) -> dict[int, Record]:
    """Each text or picture once, by its `key`, in the order of first sight."""
    found: dict[int, Record] = {}
    for record in records:
        found.setdefault(key(record), record)
    return found
