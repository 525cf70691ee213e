"""From a picture to the (3, S, S) array that an image tower takes, and back from its patches to the picture.

>>> place(400, 200, PixelSpec(size=100, fit="pad"))
Placement(width=100, height=50, left=0, top=25)
>>> place(400, 200, PixelSpec(size=100, fit="crop"))
Placement(width=200, height=100, left=-50, top=0)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from PIL import Image as PILImage

from onespace.errors import ImageError
from onespace.prepare.colour import OVER_WHITE, plain_rgb, to_rgb
from onespace.prepare.images import MAX_PIXELS
from onespace.spec import PixelSpec
from onespace.types import Box, PictureReceipt

_FILTERS = {
    "bicubic": PILImage.Resampling.BICUBIC,
    "bilinear": PILImage.Resampling.BILINEAR,
    "lanczos": PILImage.Resampling.LANCZOS,
}
_LONG = 20
"""Beyond this ratio of the sides a cropped picture is read through a window, not resized whole and cut."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The resized picture on the S x S square: its size, and where its corner lies (negative when it is cropped)."""

    width: int
    height: int
    left: int
    top: int


def place(width: int, height: int, spec: PixelSpec) -> Placement:
    """Where a picture of ``width`` x ``height`` pixels comes to lie; tiles are made elsewhere, so "tile" is "pad".

    >>> place(400, 200, PixelSpec(size=100, fit="pad", margin=0.1))
    Placement(width=80, height=40, left=10, top=30)
    """
    size = spec.size
    if spec.fit == "squash":
        return Placement(size, size, 0, 0)
    if spec.fit == "crop":
        short = min(width, height)
        new_width, new_height = (size if side == short else int(size * side / short) for side in (width, height))
        halve = round if spec.centre == "round" else floor
        return Placement(new_width, new_height, -halve((new_width - size) / 2), -halve((new_height - size) / 2))
    long, room = max(width, height), size * (1 - 2 * spec.margin)
    new_width, new_height = (max(1, round(room * side / long)) for side in (width, height))
    return Placement(new_width, new_height, (size - new_width) // 2, (size - new_height) // 2)


def to_pixels(
    picture: PILImage.Image, spec: PixelSpec, *, where: str = "picture", notes: tuple[str, ...] = ()
) -> tuple[np.ndarray, PictureReceipt]:
    """Resizes, fits and normalises one picture.

    ``fit="crop", order="resize-first", alpha="drop"`` repeats the Visualized-BGE reference to the bit.

    Args:
        picture: what `open_image` gave, or any PIL image.
        spec: the model's rules.
        where: begins the message of an error.
        notes: what was done before; the receipt repeats them.

    Shapes:
        (3, S, S) float32.

    Raises:
        ImageError: for a colour mode without an RGB form, or a strip too long to be cropped the reference's way.
    """
    width, height = picture.size
    if spec.order == "rgb-first":
        picture, decided = to_rgb(picture, alpha=spec.alpha, where=where)
        notes += decided
    at = place(width, height, spec)
    square = _resize(picture, at, spec, where=where)
    if spec.order == "resize-first" and spec.alpha == "white":
        square, decided = to_rgb(square, alpha="white", where=where)
        notes += decided
    else:
        square = plain_rgb(square, where=where)
    if square.size != (spec.size, spec.size):
        board = PILImage.new("RGB", (spec.size, spec.size), _free(square, spec, notes))
        board.paste(square, (at.left, at.top))
        square = board
    receipt = PictureReceipt(width, height, used=_used(width, height, at, spec), scale=at.width / width, notes=notes)
    return _normalise(square, spec), receipt


def ground(picture: PILImage.Image) -> tuple[int, int, int] | None:
    """The colour of an RGB picture's border, where most of it is of one colour (within 8 of 255); else None.

    >>> ground(PILImage.new("RGB", (4, 4), (0, 40, 80)))
    (0, 40, 80)
    """
    pixels = np.asarray(picture)
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]]).astype(int)  # (B, 3)
    colour = np.median(border, axis=0)
    if (abs(border - colour) <= 8).all(axis=1).mean() <= 0.5:
        return None
    red, green, blue = (round(float(c)) for c in colour)
    return red, green, blue


def boxes(receipt: PictureReceipt, spec: PixelSpec, grid: int) -> np.ndarray:
    """The part of the original that each patch shows, in original pixels, row by row.

    Patches that lie wholly in the border of ``fit="pad"`` are NaN.

    Shapes:
        (grid * grid, 4) float32: left, top, right, bottom.
    """
    at = place(receipt.width, receipt.height, spec)
    edges = np.arange(grid + 1) * (spec.size // grid)
    x = np.clip((edges - at.left) * (receipt.width / at.width), 0, receipt.width)  # (grid + 1,)
    y = np.clip((edges - at.top) * (receipt.height / at.height), 0, receipt.height)  # (grid + 1,)
    left, top = np.meshgrid(x[:-1], y[:-1])  # (grid, grid) each
    right, bottom = np.meshgrid(x[1:], y[1:])
    out = np.stack([left, top, right, bottom], axis=-1).reshape(-1, 4).astype(np.float32)
    out[(out[:, 0] >= out[:, 2]) | (out[:, 1] >= out[:, 3])] = np.nan
    return out


def _resize(picture: PILImage.Image, at: Placement, spec: PixelSpec, *, where: str) -> PILImage.Image:
    """The resized picture, cut to the square where it reaches beyond it."""
    resample, size = _FILTERS[spec.resample], spec.size
    if spec.fit != "crop":
        return picture.resize((at.width, at.height), resample)
    if max(picture.size) > _LONG * min(picture.size) and spec.order == "rgb-first":
        return picture.resize((size, size), resample, box=_used(*picture.size, at, spec))
    if at.width * at.height > MAX_PIXELS:
        raise ImageError(
            f"{where} has {picture.width} x {picture.height} pixels, too long a strip to be cropped: resized it would "
            f"have {at.width} x {at.height}. Cut it, or use fit='pad'."
        )
    whole = picture.resize((at.width, at.height), resample)
    return whole.crop((-at.left, -at.top, size - at.left, size - at.top))


def _used(width: int, height: int, at: Placement, spec: PixelSpec) -> Box:
    """The part of the original that lies on the square."""
    size = spec.size
    return (
        max(0.0, -at.left * width / at.width),
        max(0.0, -at.top * height / at.height),
        min(float(width), (size - at.left) * width / at.width),
        min(float(height), (size - at.top) * height / at.height),
    )


def _free(square: PILImage.Image, spec: PixelSpec, notes: tuple[str, ...]) -> tuple[int, int, int]:
    """The colour of what the picture leaves free."""
    if not spec.margin:
        return spec.fill
    if OVER_WHITE in notes:  # what shows through it is white, whatever reaches its border
        return (255, 255, 255)
    return ground(square) or spec.fill


def _normalise(picture: PILImage.Image, spec: PixelSpec) -> np.ndarray:
    """(3, S, S) float32; the order of operations is the reference's, for equality to the bit."""
    values = np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)  # (3, S, S)
    mean, std = (np.array(v, dtype=np.float32)[:, None, None] for v in (spec.mean, spec.std))
    return np.ascontiguousarray((values - mean) / std)
