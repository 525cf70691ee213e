"""Pictures, opened with care: sizes are checked before anything is decoded, and every failure is one `ImageError`.

Only formats that Pillow decodes itself are opened; PostScript and the like, which start other programs, never are.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import numpy as np
from PIL import Image as PILImage

from onespace.errors import ImageError
from onespace.prepare.colour import to_rgb
from onespace.prepare.sources import MAX_BYTES, describe, read_bytes
from onespace.spec import PixelSpec
from onespace.types import Image, ImageLike

T = TypeVar("T")

MAX_PIXELS = 178_956_970 // 2
"""Largest picture that is decoded, by default: 89 megapixels, where Pillow itself begins to warn."""

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000")
_PLUGINS = ("Png", "Jpeg", "Gif", "WebP", "Avif", "Bmp", "Tiff", "Ppm", "Ico", "Jpeg2K")
_ICON = b"\0\0\1\0"
_SHARED = RLock()
"""Pillow loads a picture, and its EXIF, at first use; one that stands twice among the items may meet two threads."""
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: PILImage.Transpose.FLIP_LEFT_RIGHT,
    3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM,
    5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270,
    7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class OpenImage:
    """A decoded picture, upright and RGB where the spec asks for it, and what was done to it on the way."""

    picture: PILImage.Image
    notes: tuple[str, ...] = ()
    full: tuple[int, int] = (0, 0)
    """Width and height of the original, upright, where a smaller draft of it was read; (0, 0) otherwise."""


def open_image(
    source: ImageLike,
    *,
    where: str,
    pixels: PixelSpec,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    draft: int = 0,
) -> OpenImage:
    """Reads and decodes one picture: the first frame, turned upright if ``pixels.exif``.

    With ``pixels.order="rgb-first"`` the result is RGB and transparency has been dealt with; with ``"resize-first"``
    it keeps the file's own mode. ``where`` begins every message, for example ``"item 3"``.

    A JPEG is decoded at a half, a quarter or an eighth of its size where both its sides still have ``draft`` pixels (0:
    never). That is several times faster, and its pixels are nearly those of the whole picture, made smaller.

    Raises:
        ImageError: when the picture can't be read, or goes beyond a budget.
    """
    where = f"{where} ({describe(source)})"
    notes: list[str] = []
    full = (0, 0)
    if isinstance(source, np.ndarray):
        picture = _from_array(source, where=where, max_pixels=max_pixels)
    elif isinstance(source, PILImage.Image):
        with _SHARED:
            picture = _load(source, where=where, max_pixels=max_pixels)
    elif isinstance(source, (Image, Path, bytes)):
        picture = _first_frame(read_bytes(source, where=where, max_bytes=max_bytes), max_pixels, notes, where=where)
        if draft:
            full = picture.size
            picture.draft(None, (draft, draft))
            full = (0, 0) if picture.size == full else full
        picture = _load(picture, where=where, max_pixels=max_pixels)
    else:
        raise ImageError(f"{where} isn't a picture. Pass a Path, bytes, a PIL image, an array or onespace.Image.")
    if pixels.exif:
        wide = picture.width > picture.height
        picture = _upright(picture, notes)
        full = full if wide == (picture.width > picture.height) else (full[1], full[0])
    if pixels.order == "rgb-first":
        picture, decided = to_rgb(picture, alpha=pixels.alpha, where=where)
        notes.extend(decided)
    return OpenImage(picture, tuple(notes), full)


def measure(data: bytes, *, where: str, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height of an encoded picture, by its header; nothing is decoded. Raises `ImageError`."""
    return _opened(data, where=where, max_pixels=max_pixels).size


def _opened(data: bytes, *, where: str, max_pixels: int) -> PILImage.Image:
    """The header of an encoded picture, read and found small enough."""
    if data.startswith(_ICON):
        for size in _icon_sizes(data):
            _check_size(size, where=where, max_pixels=max_pixels)
    picture = _identify(data)
    if picture is None:
        raise ImageError(f"{where} isn't a picture that can be read. Save it as one of {', '.join(FORMATS)}.")
    _check_size(picture.size, where=where, max_pixels=max_pixels)
    return picture


def _first_frame(data: bytes, max_pixels: int, notes: list[str], *, where: str) -> PILImage.Image:
    """The first frame of an encoded picture, not yet decoded."""
    picture = _opened(data, where=where, max_pixels=max_pixels)
    frames = 1
    with suppress(Exception):  # damage beyond the first frame doesn't concern it
        frames = getattr(picture, "n_frames", 1)
        picture.seek(0)
    if frames > 1:
        notes.append(f"first of {frames} frames")
    return picture


def _identify(data: bytes) -> PILImage.Image | None:
    """Reads the header only. Pillow's `open` does the same, but warns of large pictures before they can be refused."""
    for factory, accept in _openers():
        with suppress(Exception):  # a header that a format's reader can't make sense of isn't of that format
            if accept is None or accept(data[:16]) is True:
                picture: PILImage.Image = _despite_warnings(lambda: factory(io.BytesIO(data), ""))  # noqa: B023
                return picture
    return None


@lru_cache(maxsize=1)
def _openers() -> tuple[tuple[Any, Any], ...]:
    for plugin in _PLUGINS:
        with suppress(ImportError):  # AVIF came to Pillow late
            import_module(f"PIL.{plugin}ImagePlugin")
    return tuple(PILImage.OPEN[name] for name in FORMATS if name in PILImage.OPEN)


def _load(picture: PILImage.Image, *, where: str, max_pixels: int) -> PILImage.Image:
    _check_size(picture.size, where=where, max_pixels=max_pixels)
    try:
        _despite_warnings(picture.load)
    except Exception as error:  # Pillow's decoders raise a dozen kinds for damaged files
        raise ImageError(f"{where} is damaged or cut short ({error}). Save or download it again.") from error
    _check_size(picture.size, where=where, max_pixels=max_pixels)
    return picture


def _despite_warnings(read: Callable[[], T]) -> T:
    """Reads again, in silence, where the process turns Pillow's remarks on metadata into errors.

    Filters belong to the whole process, so they are left alone as long as a warning is only a warning.
    """
    try:
        return read()
    except Warning:
        with _SHARED, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()


def _check_size(size: tuple[int, int], *, where: str, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{where} has no pixels ({width} x {height}). Leave it out.")
    if width * height > max_pixels:
        raise ImageError(
            f"{where} has {width} x {height} pixels; at most {max_pixels:,} are decoded. "
            "Scale it down, or raise max_pixels."
        )


def _icon_sizes(data: bytes) -> list[tuple[int, int]]:
    """Sizes of the pictures inside an icon as they state them themselves; Pillow decodes an icon when it opens it."""
    sizes = []
    for entry in range(int.from_bytes(data[4:6], "little")):
        with suppress(struct.error):
            (start,) = struct.unpack_from("<I", data, 6 + 16 * entry + 12)
            inner = data[start : start + 24]
            png = inner.startswith(b"\x89PNG")
            width, height = struct.unpack_from(">II", inner, 16) if png else struct.unpack_from("<ii", inner, 4)
            sizes.append((abs(width), abs(height) if png else max(1, abs(height) // 2)))  # a bitmap counts its mask
    return sizes


def _upright(picture: PILImage.Image, notes: list[str]) -> PILImage.Image:
    orientation = 1
    with _SHARED, suppress(Exception):  # damaged EXIF says nothing about the picture
        orientation = picture.getexif().get(_ORIENTATION, 1)
    if orientation not in _UPRIGHT:
        return picture
    notes.append("rotated by EXIF")
    return picture.transpose(_UPRIGHT[orientation])


def _from_array(array: np.ndarray, *, where: str, max_pixels: int) -> PILImage.Image:
    shape = array.shape
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and shape[2] in (3, 4)):
        hint = " Channels come last: array.transpose(1, 2, 0)." if len(shape) == 3 and shape[0] in (1, 3, 4) else ""
        raise ImageError(f"{where} has the shape {shape}; pass (height, width), or 3 or 4 channels behind them.{hint}")
    _check_size((shape[1], shape[0]), where=where, max_pixels=max_pixels)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise ImageError(f"{where} has float values from {low:g} to {high:g}; scale them to 0..1, or pass uint8.")
        array = np.rint(array.astype(np.float32) * 255)
    elif array.dtype != np.uint8:
        raise ImageError(f"{where} has the type {array.dtype}; pass uint8, bool, or float from 0 to 1.")
    return PILImage.fromarray(np.ascontiguousarray(array, dtype=np.uint8))
