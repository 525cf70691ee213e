"""Pages of a PDF: a picture of each, with the text on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from onespace.errors import InputError, MissingExtra
from onespace.index.documents import HASH, PATH, Broken, Document
from onespace.index.walk import File
from onespace.types import Item, Pair

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from onespace.spec import Spec

SIDE = 1024
"""Pixels of a drawn page's longer side."""
_ONE = RLock()
"""The library that reads PDF may be used by one thread at a time."""


@dataclass(frozen=True)
class Page:
    """A page that is drawn when it is called; ``kinds`` are those of item that the model takes."""

    path: Path
    index: int
    kinds: tuple[str, ...]

    def __call__(self) -> Item:
        """The page as a picture with its text, or what of the two there is and the model takes."""
        with _opened(self.path) as pdf, _told(self.index):
            page = pdf[self.index]
            text = " ".join(page.get_textpage().get_text_bounded().split())
            if not text or "text" not in self.kinds:
                return _drawn(page)
            return Pair(text, _drawn(page)) if "pair" in self.kinds else text


def read_pages(file: File, spec: Spec) -> Iterator[Document | Broken]:
    """A document for each page; nothing is drawn yet. Raises `InputError` for what can't be read as PDF."""
    with _opened(file.path) as pdf:
        count = len(pdf)
    for index in range(count):
        digest = sha256(f"{file.sha256} {index} {SIDE}".encode()).hexdigest()[:32]
        metadata = {"kind": "page", "page": index + 1, PATH: file.name, HASH: digest}
        yield Document(f"{file.name}#page={index + 1}", Page(file.path, index, spec.modalities), metadata)


def _drawn(page: Any) -> PILImage:
    longer = max(page.get_size())
    picture: PILImage = page.render(scale=SIDE / max(longer, 1)).to_pil().convert("RGB")
    return picture


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import pypdfium2
    except ImportError as error:
        raise MissingExtra("reading PDF", "pypdfium2", "pdf") from error
    with _ONE:
        with path.open("rb"):
            pass  # what can't be opened is an OSError, not a damaged PDF
        try:
            pdf = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            locked = "password" in str(error).lower()
            what = "is locked by a password. Save it" if locked else f"isn't a PDF that can be read ({error}). Save it"
            raise InputError(f"{what} {'without one' if locked else 'again'}.") from error
        try:
            yield pdf
        finally:
            pdf.close()


@contextmanager
def _told(index: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever the library makes of a damaged page
        raise InputError(f"page {index + 1} can't be drawn ({error}). Save the file again.") from error
