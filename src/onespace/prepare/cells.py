"""A picture as an overview and overlapping cells, so that small and neighbouring things are seen, and found again.

The content is the picture without blank margins; where it isn't nearly all that the overview shows, it is the first
cell. The cells of a scale are squares with the short side of the content, divided by the scale; along the long side
there are as many as the overlap asks for, so panoramas and portraits lose nothing. A cell, too, is cut down to what
isn't blank in it, and it is left out when nothing is, or when it is nearly the same as the overview or another cell
while others show everything in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TypeAlias

import numpy as np
from PIL import Image as PILImage
from PIL import ImageChops

from onespace.errors import InputError
from onespace.parts import Part
from onespace.prepare.colour import to_rgb
from onespace.prepare.pixels import boxes, to_pixels
from onespace.spec import PixelSpec
from onespace.types import PictureReceipt

FLAT = 12
"""Pixels that differ by no more than this, of 255 levels in each channel, count as one colour."""
ALIKE = 16
"""Cells are nearly the same when their 16 x 16 thumbnails differ nowhere by more than this..."""
SAME_PLACE = 0.9
"""...or when their boxes have at least this share in common (intersection over union)."""
LOOK = 1024
"""Blankness is judged on the picture reduced by a whole factor to at most this many pixels a side."""

Square: TypeAlias = tuple[int, int, int, int]
"""A box in whole pixels."""


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut into cells.

    Args:
        scales: the short side of the content over the side of a cell, coarsest first.
        overlap: share of a cell's side that its neighbour shows too.
        max_cells: most cells of one picture: fewer and larger ones are made where a scale would have more, and a
            scale that can't be finer than the one before it is left out.
    """

    scales: tuple[float, ...] = (1.0, 1.25, 1.5, 2.0)
    overlap: float = 0.5
    max_cells: int = 32

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 1 or list(self.scales) != sorted(set(self.scales)):
            raise InputError(f"scales={self.scales!r} must rise, from 1 or more. For example (1.0, 2.0).")
        if not 0 <= self.overlap < 1:
            raise InputError(f"overlap={self.overlap!r} must be at least 0 and below 1.")
        if self.max_cells < 1:
            raise InputError(f"max_cells={self.max_cells!r} must be at least 1.")


@dataclass(frozen=True)
class Picture:
    """A picture, or a cell of one, ready for the model: pixels (3, S, S), and where it lies in the original."""

    pixels: np.ndarray
    receipt: PictureReceipt
    part: Part
    spec: PixelSpec
    own: PictureReceipt
    """The receipt of the cell as a picture of its own."""

    def boxes(self, grid: int) -> np.ndarray:
        """The part of the original that each patch shows, (grid * grid, 4)."""
        left, top = self.part.box[:2] if self.part.kind == "cell" else (0.0, 0.0)
        return boxes(self.own, self.spec, grid) + np.array([left, top, left, top], np.float32)

    def drafted(self, width: int, height: int) -> Picture:
        """The same whole picture, made from a smaller draft of an original of ``width`` x ``height``."""
        x, y = width / self.receipt.width, height / self.receipt.height
        left, top, right, bottom = self.receipt.used
        receipt = replace(
            self.receipt,
            width=width,
            height=height,
            used=(left * x, top * y, right * x, bottom * y),
            scale=self.receipt.scale / x,
            notes=(*self.receipt.notes, f"read as a draft of {self.receipt.width} x {self.receipt.height}"),
        )
        return replace(self, receipt=receipt, part=replace(self.part, box=receipt.used), own=receipt)


def look(
    picture: PILImage.Image,
    spec: PixelSpec,
    *,
    where: str = "picture",
    notes: tuple[str, ...] = (),
    tiling: Tiling | None = None,
    enlarge: float = 1.0,
) -> tuple[Picture, ...]:
    """The picture in the model's own fit, and behind it its cells, if ``tiling`` is given and it calls for them.

    It does when the model would crop it, or when its longer side is more than ``enlarge`` times the model's.
    """
    pixels, receipt = to_pixels(picture, spec, where=where, notes=notes)
    overview = Picture(pixels, receipt, Part(box=receipt.used), spec, receipt)
    if tiling is None or not (receipt.cropped or max(picture.size) > enlarge * spec.size):
        return (overview,)
    squares = grid(picture, tiling, spec=spec, receipt=receipt, where=where)
    if not squares:
        return (overview,)
    # a cell shows all its pixels, with the margin that the model was trained with
    whole = replace(spec, fit="squash" if spec.fit == "squash" else "pad")
    width, height = map(float, picture.size)
    receipt = replace(receipt, used=(0.0, 0.0, width, height), tiles=1 + len(squares))
    cells = []
    for square in squares:
        pixels, own = to_pixels(picture.crop(square), whole, where=where)
        left, top, right, bottom = map(float, square)
        part = Part("cell", (left, top, right, bottom))
        cells.append(Picture(pixels, replace(receipt, scale=own.scale), part, whole, own))
    return (replace(overview, receipt=receipt), *cells)


def grid(
    picture: PILImage.Image, tiling: Tiling, *, spec: PixelSpec, receipt: PictureReceipt, where: str = "picture"
) -> list[Square]:
    """The cells of a picture, coarse ones first. Every pixel lies in one, or in a whole overview, or is blank."""
    factor = ceil(max(picture.size) / LOOK)
    small = to_rgb(picture, alpha=spec.alpha, where=where)[0]
    small = small.reduce(factor) if factor > 1 else small
    seen = _Seen(small)
    content = seen.trim((0, 0, *small.size))
    if content is None:
        return []
    overview = None if receipt.cropped else (0, 0, *small.size)
    first = [] if overview and _common(content, overview) >= SAME_PLACE else [content]
    laid = _lay(content, tiling.max_cells - len(first), tiling, least=0 if receipt.cropped else spec.size / 2 / factor)
    trimmed = [square for cell in laid if (square := seen.trim(cell)) is not None]
    kept = list(dict.fromkeys([*first, *seen.prune(trimmed, overview=overview)]))
    width, height = picture.size
    return [(x0 * factor, y0 * factor, min(x1 * factor, width), min(y1 * factor, height)) for x0, y0, x1, y1 in kept]


class _Seen:
    """A picture and which of its pixels aren't background: all of them, unless its border is of one colour."""

    def __init__(self, picture: PILImage.Image) -> None:
        self.picture = picture
        values = np.asarray(picture)  # (height, width, 3)
        border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        low, high = border.min(0), border.max(0)
        self.plain = bool((high - low <= FLAT).all())
        self.marked: np.ndarray = np.ones(values.shape[:2], bool)  # (height, width)
        if self.plain:
            ground = PILImage.new(
                "RGB", picture.size, tuple((int(a) + int(b)) // 2 for a, b in zip(low, high, strict=True))
            )
            self.marked = np.asarray((np.asarray(ImageChops.difference(picture, ground)) > FLAT).any(-1))

    def trim(self, square: Square) -> Square | None:
        """A box without its blank margins; None when all of it is blank."""
        if not self.plain:
            extrema = self.picture.crop(square).getextrema()
            return square if any(high - low > FLAT for low, high in extrema) else None  # type: ignore[misc]
        x0, y0, x1, y1 = square
        marked = self.marked[y0:y1, x0:x1]
        columns, rows = np.flatnonzero(marked.any(0)), np.flatnonzero(marked.any(1))
        if not len(columns):
            return None
        return x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1

    def prune(self, squares: Sequence[Square], *, overview: Square | None) -> list[Square]:
        """Leaves out cells that repeat the overview or an earlier cell, while no marked pixel loses its last cell."""
        kept = list(dict.fromkeys(squares))
        shown = np.where(self.marked, np.int16(0), np.int16(len(kept)))  # cells that show a pixel; blank ones need none
        for x0, y0, x1, y1 in kept:
            shown[y0:y1, x0:x1] += 1
        faces = {square: self._thumbnail(square) for square in kept}
        whole = None if overview is None else self._thumbnail(overview)
        for i in range(len(kept) - 1, -1, -1):
            square = kept[i]
            x0, y0, x1, y1 = square
            repeats_overview = overview is not None and _alike(square, overview, faces[square], whole)
            if not repeats_overview:
                if not any(_alike(square, other, faces[square], faces[other]) for other in kept[:i]):
                    continue
                if shown[y0:y1, x0:x1].min() < 2:
                    continue
            shown[y0:y1, x0:x1] -= 1
            del kept[i]
        return kept

    def _thumbnail(self, square: Square) -> np.ndarray:
        return np.asarray(self.picture.resize((16, 16), PILImage.Resampling.BOX, box=square), np.int16)


def _lay(content: Square, room: int, tiling: Tiling, *, least: float) -> Iterator[Square]:
    """The boxes of every scale, before any is left out; sides below ``least`` are made at the first scale only."""
    left, top, right, bottom = content
    width, height = right - left, bottom - top
    before = float("inf")
    for scale in tiling.scales if room else ():
        side = min(width, height) / scale
        if side < least and before < float("inf"):
            return
        while _steps(width, side, tiling.overlap) * _steps(height, side, tiling.overlap) > room:
            side *= 1.05
        if side >= before:
            return
        across, down = (_cuts(length, side, tiling.overlap) for length in (width, height))
        for y0, y1 in down:
            for x0, x1 in across:
                yield left + x0, top + y0, left + x1, top + y1
        room, before = room - len(across) * len(down), side
        if room < 1:
            return


def _steps(length: int, side: float, overlap: float) -> int:
    return 1 + max(0, ceil((length - side) / (side * (1 - overlap)) - 1e-6))


def _cuts(length: int, side: float, overlap: float) -> list[tuple[int, int]]:
    """(start, end) of evenly spaced cells from 0 to ``length``, without a gap.

    >>> _cuts(1000, 600, 0.5)
    [(0, 600), (200, 800), (400, 1000)]
    """
    side = max(1, min(length, ceil(side)))
    starts = np.linspace(0, length - side, _steps(length, side, overlap)).round().astype(int)
    return [(int(start), int(start) + side) for start in starts]


def _alike(a: Square, b: Square, face: np.ndarray, other: np.ndarray | None) -> bool:
    if _common(a, b) >= SAME_PLACE:
        return True
    (aw, ah), (bw, bh) = ((x1 - x0, y1 - y0) for x0, y0, x1, y1 in (a, b))
    same_shape = 0.9 <= (aw * bh) / (ah * bw) <= 1 / 0.9
    return same_shape and other is not None and bool(np.abs(face - other).max() <= ALIKE)


def _common(a: Square, b: Square) -> float:
    """Intersection over union."""
    width, height = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)]
    return width * height / (sum(areas) - width * height)
