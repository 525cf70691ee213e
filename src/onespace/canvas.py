"""What figures are drawn with, by Pillow alone: a sheet, colours, and fonts that have the letters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
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


class Canvas:
    """A white sheet, drawn at twice its size and halved at the end, so that edges and letters are smooth.

    All coordinates are in final pixels.
    """

    def __init__(self, wide: float, high: float) -> None:
        self.image = Image.new("RGB", (2 * round(wide), 2 * round(high)), GROUND)
        self._draw = ImageDraw.Draw(self.image)

    def box(
        self,
        place: tuple[float, float, float, float],
        fill: str | None,
        *,
        edge: str | None = None,
        line: int = 1,
        radius: float = 0,
    ) -> None:
        """A rectangle; ``place`` is (left, top, width, height), ``edge`` the colour of a line along its inside."""
        left, top, wide, high = (2 * x for x in place)
        corners = (left, top, left + wide - 1, top + high - 1)
        self._draw.rounded_rectangle(corners, 2 * radius, fill, edge, 2 * line if edge else 0)

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


# -- colours ---------------------------------------------------------------------------------------------------------


def ramp(values: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """Colours (..., 3) uint8 for values from 0 to 1, straight between evenly spaced anchors.

    >>> ramp(np.array([0, 0.5, 1]), ("#000000", "#ff8000")).tolist()
    [[0, 0, 0], [128, 64, 0], [255, 128, 0]]
    """
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours], float)
    where = np.clip(values, 0, 1) * (len(colours) - 1)
    channels = [np.interp(where, np.arange(len(colours)), channel) for channel in anchors.T]
    return np.asarray(np.rint(np.stack(channels, axis=-1))).astype(np.uint8)


def mix(ground: str, colour: str, share: float) -> str:
    """The colour, thinned with a ground until ``share`` of it is left.

    >>> mix("#ffffff", "#000000", 0.2)
    '#cccccc'
    """
    return hex_of(ramp(np.array(share), (ground, colour)))


def hex_of(rgb: np.ndarray) -> str:
    """A colour (3,) uint8 as "#rrggbb"."""
    return f"#{bytes(rgb).hex()}"


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


def readable(ground: str) -> str:
    """The colour for letters on a ground: white, or dark where white's contrast is less than 4.

    >>> readable("#f6f7e0"), readable("#212b66")
    ('#05080c', '#ffffff')
    """
    return "#ffffff" if contrast("#ffffff", ground) >= 4 else "#05080c"


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


@lru_cache(maxsize=4096)
def width(text: str, size: float) -> float:
    """How wide a `legible` line is on a `Canvas`, in final pixels."""
    return font_for(text, 2 * size).getlength(text) / 2


def cut(text: str, size: float, room: float) -> str:
    """The text, shortened until it is no wider than ``room``."""
    if width(text, size) <= room:
        return text
    while text and width(f"{text}...", size) > room:
        text = text[:-1]
    return f"{text.rstrip()}..."
