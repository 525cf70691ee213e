"""A heat map as a picture: what is compared stands as thumbnails on both axes. Drawn with Pillow alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from onespace.errors import InputError

FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "segoeui.ttf", "arial.ttf", "Arial.ttf",
    "NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "NotoSansCJKsc-Regular.otf", "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc", "wqy-zenhei.ttc", "msyh.ttc", "simhei.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc",
    "Arial Unicode.ttf",
)  # fmt: skip
"""Files that are looked for among the machine's fonts when a label has letters that Pillow's own font lacks."""

INK, FAINT, GROUND = "#1b2733", "#6b7886", "#ffffff"
PAPER, EMPTY = "#fffdf5", "#eef0f2"
SCALE = ("#f6f7e0", "#c3deb0", "#80c79d", "#2aaba7", "#0089ac", "#00699c", "#154888", "#212b66")
"""From far to near. Each is as much darker than the one before it (about 11 of CIE L*), so equal steps look equal."""
MOST_NUMBERS = 24
"""Up to this many items the numbers are written into the cells."""
SIDE = 1216
"""About how wide the cells together are, in pixels, where there are many."""
LONGEST_NAME = 230
"""Pixels; a longer name is cut."""
PAD, GAP, BAR = 28, 10, 21


@dataclass(frozen=True)
class Mark:
    """One item on an axis: its name, its picture (H, W, 3) uint8 if it has one, and whether it has a text."""

    name: str
    picture: np.ndarray | None = None
    text: bool = False


# -- what the figures are drawn with ---------------------------------------------------------------------------------


class Canvas:
    """A white sheet, drawn at twice its size and halved at the end, so that edges and letters are smooth.

    All coordinates are in final pixels.
    """

    def __init__(self, wide: float, high: float) -> None:
        self.image = Image.new("RGB", (2 * round(wide), 2 * round(high)), GROUND)
        self._draw = ImageDraw.Draw(self.image)

    def box(
        self, place: tuple[float, float, float, float], fill: str | None, *, edge: str | None = None, radius: float = 0
    ) -> None:
        """A rectangle; ``place`` is (left, top, width, height), ``edge`` the colour of a line of one pixel."""
        left, top, wide, high = (2 * x for x in place)
        corners = (left, top, left + wide - 1, top + high - 1)
        self._draw.rounded_rectangle(corners, 2 * radius, fill, edge, 2 if edge else 0)

    def text(
        self,
        at: tuple[float, float],
        text: str,
        *,
        size: float,
        colour: str = INK,
        side: Literal["l", "m", "r"] = "l",
        upright: bool = False,
    ) -> None:
        """One line, its capitals centred on ``at``; ``side`` is the end of it that stands there.

        ``upright`` turns it to be read from below; "l" is then its foot.
        """
        font = font_for(text, 2 * size)
        x, y = 2 * at[0], 2 * at[1]
        drop = 0.71 * size  # half a capital's height below the middle, at twice the size
        if not upright:
            self._draw.text((x, y + drop), text, fill=colour, font=font, anchor=f"{side}s")
            return
        wide, room = int(font.getlength(text)) + 2, round(5 * size)
        line = Image.new("L", (wide, room))
        ImageDraw.Draw(line).text((0, room / 2 + drop), text, fill=255, font=font, anchor="ls")
        line = line.transpose(Image.Transpose.ROTATE_90)
        foot = {"l": wide, "m": wide / 2, "r": 0}[side]
        self.image.paste(colour, (round(x - room / 2), round(y - foot)), line)

    def paste(self, picture: Image.Image, place: tuple[float, float, float, float], *, radius: float = 0) -> None:
        """A picture, whole and centred in ``place`` (left, top, width, height), with round corners."""
        left, top, wide, high = (round(2 * x) for x in place)
        scale = min(wide / picture.width, high / picture.height)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), 2 * radius, 255)
        small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        self.image.paste(small, (left + (wide - size[0]) // 2, top + (high - size[1]) // 2), mask)

    def save(self, path: Path) -> Path:
        """Writes it as PNG."""
        self.image.reduce(2).save(path, optimize=True)
        return path


def ramp(values: np.ndarray, colours: Sequence[str] = SCALE) -> np.ndarray:
    """Colours (..., 3) uint8 for values from 0 to 1, straight between evenly spaced anchors.

    >>> ramp(np.array([0, 0.5, 1]), ("#000000", "#ff8000")).tolist()
    [[0, 0, 0], [128, 64, 0], [255, 128, 0]]
    """
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours], float)
    where = np.clip(values, 0, 1) * (len(colours) - 1)
    channels = [np.interp(where, np.arange(len(colours)), channel) for channel in anchors.T]
    return np.asarray(np.rint(np.stack(channels, axis=-1))).astype(np.uint8)


def contrast(a: str, b: str) -> float:
    """How well one colour is read on the other, from 1 to 21. Source: WCAG 2.2, contrast ratio.

    >>> round(contrast("#ffffff", "#000000"), 1)
    21.0
    """

    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
        return sum(share * x for share, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


# -- letters ---------------------------------------------------------------------------------------------------------


def legible(text: str, fallback: str) -> tuple[str, Path | None]:
    """The text and a font file that has all its letters; where there is none, what is left of it, or the fallback.

    None is Pillow's own font, which has the letters of ASCII and some signs.
    """
    for file in (None, *_machine_fonts()):
        if _has(file, text):
            return text, file
    bare = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    bare = "".join(c for c in bare if not unicodedata.combining(c))  # größe -> grosse
    kept = " ".join("".join(c if _has(None, c) else " " for c in bare).split()).strip("+ ")
    return (kept if sum(map(str.isalnum, kept)) > 2 else fallback), None


def font_for(text: str, size: float) -> ImageFont.FreeTypeFont:
    """The font in which a `legible` text is drawn, of a size in pixels."""
    return _font(legible(text, "")[1], size)


@lru_cache(maxsize=64)
def _font(file: Path | None, size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(str(file), size) if file else ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise InputError("this Pillow was built without FreeType, so it can't write letters. Install it from a wheel.")
    return font


@lru_cache(maxsize=4096)
def _has(file: Path | None, text: str) -> bool:
    """Whether the font draws each letter; a letter that it lacks looks like one that doesn't exist."""
    font = _font(file, 20)
    missing = _shape(font, "\uffff")
    return all(c == " " or (c.isprintable() and _shape(font, c) != missing) for c in set(text))


def _shape(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, ...], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@lru_cache(maxsize=1)
def _machine_fonts() -> tuple[Path, ...]:
    found = []
    for name in FONTS:
        try:
            found.append(Path(str(ImageFont.truetype(name, 20).path)))
        except OSError:
            continue
    return tuple(found)


# -- the heat map ----------------------------------------------------------------------------------------------------


def heat_map(
    matrix: np.ndarray, marks: Sequence[Mark], path: str | Path, *, title: str = "", distance: bool = False
) -> Path:
    """Draws an (N, N) matrix with thumbnails on both axes and writes it as PNG; near is dark.

    Args:
        matrix: similarities, or distances where ``distance`` says so; a cell that isn't finite is left grey.
        marks: what row i and column i stand for; beyond 135 of them there is no room to show it.
        path: ends in .png.
        title: one line above it.
        distance: small numbers are near.

    Raises:
        InputError: the matrix isn't (N, N) for N marks, N is 0, or the path doesn't end in .png.
    """
    path, n = Path(path), len(marks)
    if not n or matrix.shape != (n, n):
        raise InputError(f"a heat map of {n} items needs a matrix ({n}, {n}) with n > 0, not {matrix.shape}.")
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: a heat map is written as .png. Choose a name that ends in .png.")
    cell = max(1, min(104, SIDE // n))
    shown = cell >= 9
    size = min(16.0, max(9.0, 0.24 * cell))
    names = [_cut(legible(mark.name, f"item {i}")[0], size) for i, mark in enumerate(marks, 1)] if shown else []
    longest = max((_width(name, size) for name in names), default=0)
    flat = longest <= cell - 6  # names over their columns, side by side
    line = legible(title, "")[0]
    left = round(PAD + (longest + GAP + cell + GAP if shown else 0))
    top = round(PAD + (36 if line else 0) + ((size if flat else longest) + GAP + cell + GAP if shown else 0))
    side = n * cell
    ends = _ends(matrix)
    bar = 2 * GAP + BAR + max(_width(_said(end), 12) for end in ends) + _width("  near", 12)
    bar = bar if ends[1] > ends[0] else 0
    wide = max(left + side + bar, PAD + _width(line, 20)) + PAD
    canvas = Canvas(wide, top + side + PAD)
    canvas.text((PAD, PAD + 8), line, size=20)
    for i, (mark, name) in enumerate(zip(marks, names, strict=False)):
        along_x, along_y = left + i * cell, top + i * cell
        _thumbnail(canvas, mark, left - GAP - cell, along_y, cell)
        _thumbnail(canvas, mark, along_x, top - GAP - cell, cell)
        canvas.text((left - 2 * GAP - cell, along_y + cell / 2), name, size=size, side="r")
        above = top - 2 * GAP - cell - (size / 2 if flat else 0)
        canvas.text((along_x + cell / 2, above), name, size=size, side="m" if flat else "l", upright=not flat)
    _cells(canvas, matrix, left, top, cell, distance)
    if bar:
        _bar(canvas, ends, left + side + 2 * GAP, top, side, distance)
    return canvas.save(path)


def _ends(matrix: np.ndarray) -> tuple[float, float]:
    known = matrix[np.isfinite(matrix)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _nearness(matrix: np.ndarray, distance: bool) -> np.ndarray:
    """From 0 (the farthest) to 1; where all are alike, one half."""
    low, high = _ends(matrix)
    share = (matrix - low) / (high - low) if high > low else np.full(matrix.shape, 0.5)
    return 1 - share if distance else share


def _cells(canvas: Canvas, matrix: np.ndarray, left: int, top: int, cell: int, distance: bool) -> None:
    known = np.isfinite(matrix)
    rgb = ramp(np.where(known, _nearness(np.where(known, matrix, _ends(matrix)[0]), distance), 0))
    rgb[~known] = ramp(np.zeros(1), (EMPTY, EMPTY))
    side = len(matrix) * cell
    if cell < 9:
        whole = Image.fromarray(rgb).resize((2 * side, 2 * side), Image.Resampling.NEAREST)
        canvas.image.paste(whole, (2 * left, 2 * top))
        return
    gap, radius = (2, min(6, cell / 12)) if cell > 24 else (1, 1)
    written = known & (len(matrix) <= MOST_NUMBERS)
    widest = max((_width(_said(value), 0.3 * cell) for value in matrix[written].tolist()), default=0)
    size = min(18.0, 0.3 * cell, 0.3 * cell * (cell - 10) / max(widest, 1))
    for i, j in np.ndindex(matrix.shape):
        colour = "#" + bytes(rgb[i, j]).hex()
        x, y = left + j * cell, top + i * cell
        canvas.box((x + gap / 2, y + gap / 2, cell - gap, cell - gap), colour, radius=radius)
        if written[i, j]:
            canvas.text(
                (x + cell / 2, y + cell / 2), _said(float(matrix[i, j])), size=size, colour=readable(colour), side="m"
            )


def _said(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # never -0.00


def readable(ground: str) -> str:
    """The colour for letters on a ground of `SCALE`: white, or dark where white's contrast is less than 4.

    >>> readable("#f6f7e0"), readable("#212b66")
    ('#05080c', '#ffffff')
    """
    return "#ffffff" if contrast("#ffffff", ground) >= 4 else "#05080c"


def _bar(canvas: Canvas, ends: tuple[float, float], left: int, top: int, side: int, distance: bool) -> None:
    """What the colours say, near at the top."""
    high = min(side, 420)
    strip = Image.fromarray(ramp(np.linspace(1, 0, 2 * high))[:, None])
    canvas.paste(strip.resize((28, 2 * high)), (left, top, 14, high), radius=4)
    ticks = 5 if high > 160 else 3
    for step in range(ticks):
        share = step / (ticks - 1)
        value = ends[0] + (share if distance else 1 - share) * (ends[1] - ends[0])
        note = {0: "  near", ticks - 1: "  far"}.get(step, "")
        at = top + 6 + share * (high - 12)
        canvas.text((left + BAR, at), _said(value), size=12)
        canvas.text((left + BAR + _width(_said(value), 12), at), note, size=12, colour=FAINT)


def _thumbnail(canvas: Canvas, mark: Mark, x: float, y: float, side: float) -> None:
    """The picture in a square; a text alone is a sheet with lines, and a pair has such a sheet in its corner."""
    if mark.picture is None:
        _sheet(canvas, x + 0.18 * side, y + 0.18 * side, 0.64 * side)
        return
    inset, radius = 0.04 * side, min(6, side / 12)
    place = (x + inset, y + inset, side - 2 * inset, side - 2 * inset)
    canvas.box(place, GROUND, radius=radius)
    canvas.paste(Image.fromarray(mark.picture), place, radius=radius)
    canvas.box(place, None, edge="#d5dbe1", radius=radius)
    if mark.text:
        _sheet(canvas, x + 0.58 * side, y + 0.58 * side, 0.4 * side)


def _sheet(canvas: Canvas, x: float, y: float, side: float) -> None:
    canvas.box((x, y, side, side), PAPER, edge=FAINT, radius=min(4, side / 8))
    for line, length in enumerate((0.64, 0.64, 0.4)):
        thick = 0.08 * side
        canvas.box((x + 0.18 * side, y + (0.25 + 0.21 * line) * side, length * side, thick), INK, radius=thick / 2)


@lru_cache(maxsize=4096)
def _width(text: str, size: float) -> float:
    return font_for(text, 2 * size).getlength(text) / 2


def _cut(name: str, size: float) -> str:
    if _width(name, size) <= LONGEST_NAME:
        return name
    while name and _width(f"{name}...", size) > LONGEST_NAME:
        name = name[:-1]
    return f"{name.rstrip()}..."
