"""What a store remembers of an item itself: its text, where its pictures lie, and a thumbnail."""

from __future__ import annotations

import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL.Image import Image as PILImage

from onespace.errors import ImageError
from onespace.prepare.images import open_image
from onespace.prepare.items import NormalItem
from onespace.prepare.sources import read_bytes
from onespace.spec import PixelSpec
from onespace.types import Image, ImageLike, Modality

THUMBNAIL = 4096
"""Most bytes of a thumbnail."""
SIDES = (128, 96, 64, 48, 32, 16)


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a picture lies (None when it came as bytes or pixels), and the sha256 of what it is."""

    path: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Reference:
    """An item without its pixels."""

    modality: Modality
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    thumbnail: bytes | None = None
    """JPEG of at most 4 KB."""

    @property
    def content(self) -> str:
        """An id that two items share when they are the same text and pictures.

        >>> Reference("text", "a whale").content
        '232747f335274e2de07e0369fa93911b'
        """
        said = "\0".join([self.modality, self.text, *(picture.sha256 for picture in self.pictures)])
        return sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def refer(item: NormalItem, pixels: PixelSpec | None, *, thumbnail: bool) -> Reference:
    """The reference of an item. Raises `ImageError` for a picture that can't be read."""
    where = f"item {item.index}"
    pictures = tuple(_picture(image, where) for image in item.images)
    small = None
    if thumbnail and item.images and pixels is not None:
        small = draw_small(open_image(item.images[0], where=where, pixels=pixels).picture)
    return Reference(item.modality, item.text, pictures, small)


def draw_small(picture: PILImage) -> bytes | None:
    """A JPEG of at most 4 KB, as large as that allows; None where a picture is noise at any size."""
    for side in SIDES:
        small = picture.convert("RGB")
        small.thumbnail((side, side))
        file = io.BytesIO()
        small.save(file, "JPEG", quality=70)
        if file.tell() <= THUMBNAIL:
            return file.getvalue()
    return None


def _picture(image: ImageLike, where: str) -> Picture:
    if isinstance(image, (Image, Path, bytes)):
        source = image.source if isinstance(image, Image) else image
        path = None
        if isinstance(source, Path) or (isinstance(source, str) and source[:5] != "data:"):
            path = str(source) if "://" in str(source) else str(Path(source).absolute())
        return Picture(path, sha256(read_bytes(image, where=where)).hexdigest())
    array = np.asarray(image)
    if array.dtype == object:
        raise ImageError(f"{where} isn't a picture. Pass a path, bytes, a PIL image or an array of pixels.")
    return Picture(None, sha256(f"{array.shape}{array.dtype}".encode() + array.tobytes()).hexdigest())
