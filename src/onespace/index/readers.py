"""What each kind of file gives: a picture itself, a text its passages, a PDF its pages, a table its rows.

A reader takes a file and yields its documents in order, or a `Broken` for a part that can't be used. It opens nothing
that isn't needed to tell whether a document is known already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from onespace.errors import InputError
from onespace.files.records import PICTURES
from onespace.index.documents import HASH, PATH, Broken, Document, picture_hash, text_hash
from onespace.index.pages import read_pages
from onespace.index.pictures import Pictures
from onespace.index.rows import Columns, count_lines, read_rows
from onespace.index.walk import File
from onespace.passages import Chunking, spans
from onespace.prepare.tokens import Tokenizer
from onespace.spec import Spec

MARKDOWN = frozenset({".md", ".markdown"})
TEXTS = MARKDOWN | {".txt", ".text", ".rst"}
PAGES = frozenset({".pdf"})
ROWS = frozenset({".csv", ".tsv", ".jsonl", ".ndjson"})
LARGEST = 64_000_000
"""Most bytes of a text file."""
BYTES_A_PASSAGE, BYTES_A_PAGE = 1000, 50_000
"""By which the progress of a run is foretold."""


@dataclass(frozen=True)
class Reading:
    """What a reader may need to know besides the file."""

    spec: Spec
    tokenizer: Tokenizer
    columns: Columns = field(default_factory=Columns)
    pictures: Pictures = field(default_factory=Pictures)
    """The pictures that rows name, whose content is then remembered."""

    @cached_property
    def chunking(self) -> Chunking:
        """Passages as long as `Encoder.encode_passages` makes them."""
        room = self.spec.max_tokens - sum(self.tokenizer.specials)
        return Chunking(size=min(Chunking().size, room))

    def count(self, text: str) -> int:
        """Tokens of a text, special ones aside."""
        return len(self.tokenizer.encode(text).ids) - sum(self.tokenizer.specials)


Reader: TypeAlias = Callable[[File, Reading], Iterator["Document | Broken"]]


def read(file: File, reading: Reading) -> Iterator[Document | Broken]:
    """The documents of a file; its ``sha256`` must be known.

    Raises:
        InputError: the file as a whole, or what is left of it, can't be read as what it is.
        MissingExtra: its kind needs a package that isn't installed.
        OSError: it can't be opened.
    """
    return READERS[file.suffix](file, reading)


def expected(file: File) -> int:
    """About how many documents a file gives, told without much reading."""
    if file.suffix in ROWS:
        return count_lines(file.path)
    each = {".pdf": BYTES_A_PAGE}.get(file.suffix, BYTES_A_PASSAGE)
    return 1 if file.suffix in PICTURES else max(1, file.size // each)


def digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    made = sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            made.update(block)
    return made.hexdigest()


def _read_picture(file: File, _: Reading) -> Iterator[Document | Broken]:
    metadata = {"kind": "picture", PATH: file.name, HASH: picture_hash(file.sha256)}
    yield Document(file.name, file.path, metadata)


def _read_text(file: File, reading: Reading) -> Iterator[Document | Broken]:
    if file.size > LARGEST:
        raise InputError(f"has {file.size:,} bytes; of a text at most {LARGEST:,} are read. Split it.")
    text = _decoded(file.path.read_bytes())
    chunking = Chunking("markdown" if file.suffix in MARKDOWN else "sentence", reading.chunking.size)
    number = 0
    for start, end in spans(text, chunking, count=reading.count):
        passage = text[start:end].strip()
        if passage:
            number += 1
            metadata = {"kind": "text", "passage": number, "start": start, "end": end}
            metadata |= {PATH: file.name, HASH: text_hash(passage)}
            yield Document(f"{file.name}#passage={number}", passage, metadata)


def _decoded(data: bytes) -> str:
    """UTF-8, or UTF-16 where a mark at the beginning says so; line ends become newlines."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"isn't {encoding[:-4] or encoding} (byte {error.start}). Save the file as UTF-8.") from error


def _read_pages(file: File, reading: Reading) -> Iterator[Document | Broken]:
    return read_pages(file, reading.spec)


def _read_rows(file: File, reading: Reading) -> Iterator[Document | Broken]:
    return read_rows(file, reading.columns, reading.pictures)


READERS: dict[str, Reader] = {
    **dict.fromkeys(sorted(PICTURES), _read_picture),
    **dict.fromkeys(sorted(TEXTS), _read_text),
    **dict.fromkeys(sorted(PAGES), _read_pages),
    **dict.fromkeys(sorted(ROWS), _read_rows),
}
"""How a file with each ending is read."""
