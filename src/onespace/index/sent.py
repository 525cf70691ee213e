"""Documents whose files travel with them, to machines that don't have the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL.Image import Image as PILImage

from onespace.errors import InputError
from onespace.index.documents import Document
from onespace.index.encoding import Encoded
from onespace.index.pages import Page
from onespace.types import ImageLike, Pair


def files(document: Document) -> tuple[str, ...]:
    """The files that a document needs to be encoded."""
    return (str(document.item.path),) if isinstance(document.item, Page) else document.pictures


def sent(document: Document) -> Document:
    """The document without need of a file. What can't be read stays as it is: its encoder says what is wrong."""
    try:
        item = document.open()
        if isinstance(item, Pair):
            return replace(document, item=replace(item, image=[_read(image) for image in item.images]))
        return replace(document, item=_read(item) if isinstance(item, Path) else item)
    except (OSError, InputError):
        return document


def size(document: Document) -> int:
    """Bytes of the pictures that a document carries."""
    return sum(
        len(image) if isinstance(image, bytes) else 3 * image.width * image.height
        for image in _images(document)
        if isinstance(image, (bytes, PILImage))
    )


def at_home(encoded: Encoded, documents: Sequence[Document]) -> Encoded:
    """With references that say where the pictures lie here, whether or not they were sent."""
    places = zip(encoded.references, encoded.kept, strict=True)
    return replace(encoded, references=tuple(documents[place].place(reference) for reference, place in places))


def _images(document: Document) -> tuple[object, ...]:
    item = document.item
    return item.images if isinstance(item, Pair) else (item,)


def _read(image: ImageLike) -> ImageLike:
    return image.read_bytes() if isinstance(image, Path) else image
