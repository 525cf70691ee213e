"""What a file gives to be found: documents, each with its id, its item and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onespace.store import Picture, Reference
from onespace.types import Item, Pair

PATH, HASH = "path", "hash"
"""Metadata that every document has, and by which it is known again: the name of its file, and `Document.hash`."""


@dataclass(frozen=True)
class Document:
    """One thing to be found."""

    id: str
    item: Item | Callable[[], Item]
    """The item, or what makes it when it is wanted, where that costs something."""
    metadata: dict[str, Any]

    @property
    def file(self) -> str:
        """The name of the file that it is in."""
        return str(self.metadata[PATH])

    @property
    def hash(self) -> str:
        """The same for two documents whose vectors are the same, whatever their ids and metadata."""
        return str(self.metadata[HASH])

    @property
    def pictures(self) -> tuple[str, ...]:
        """Where its pictures lie, as a store's reference has it; empty when none of them is a file."""
        item = self.item
        images = item.images if isinstance(item, Pair) else (item,)
        return tuple(str(image) for image in images if isinstance(image, Path))

    def place(self, reference: Reference) -> Reference:
        """A reference to the same content, where this document has it."""
        paths = self.pictures or (None,) * len(reference.pictures)
        pictures = tuple(Picture(path, p.sha256) for path, p in zip(paths, reference.pictures, strict=True))
        return replace(reference, pictures=pictures)

    def open(self) -> Item:
        """The item. Raises `InputError` when it can't be made."""
        item = self.item
        return item() if callable(item) else item


@dataclass(frozen=True, slots=True)
class Broken:
    """What could not be indexed, and why."""

    name: str
    reason: str


def text_hash(text: str) -> str:
    """`Document.hash` of a text.

    >>> text_hash("a whale")
    '232747f335274e2de07e0369fa93911b'
    """
    return Reference("text", text).content


def picture_hash(sha256: str, text: str | None = None) -> str:
    """`Document.hash` of a picture, by the sha256 of its bytes, or of a picture with a text."""
    return Reference("image" if text is None else "pair", text or "", (Picture(None, sha256),)).content
