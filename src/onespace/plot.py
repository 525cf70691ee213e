"""A heat map as a picture: what is compared stands as thumbnails on both axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onespace.errors import InputError

if TYPE_CHECKING:
    import numpy as np

CJK_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
             "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Arial Unicode MS")  # fmt: skip
"""Fonts that are looked for when a label has letters that matplotlib's own font lacks."""

INK, FAINT, GROUND = "#1b2733", "#8895a3", "#ffffff"
MOST_NUMBERS = 24
"""Up to this many items the numbers are written into the cells."""


@dataclass(frozen=True)
class Mark:
    """One item on an axis: its name, its picture (H, W, 3) uint8 if it has one, and whether it has a text."""

    name: str
    picture: np.ndarray | None = None
    text: bool = False


def heat_map(
    matrix: np.ndarray, marks: Sequence[Mark], path: str | Path, *, title: str = "", distance: bool = False
) -> Path:
    """Draws an (N, N) matrix with thumbnails on both axes and writes it as PNG; near is dark.

    Args:
        matrix: similarities, or distances where ``distance`` says so.
        marks: what row i and column i stand for.
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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [legible(mark.name, f"item {i}") for i, mark in enumerate(marks, 1)]
    cell = 0.62 if n <= MOST_NUMBERS else 12 / n
    margin = cell + 0.3 + 0.085 * max(len(name) for name, _ in names)  # inches for a thumbnail and the longest name
    top, side = margin + (0.55 if title else 0.1), n * cell
    figure = Figure(figsize=(margin + side + 0.25, top + side + 0.25), dpi=110, facecolor=GROUND)
    FigureCanvasAgg(figure)
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((margin / wide, 0.25 / high, side / wide, side / high))
    low, far = float(matrix.min()), float(matrix.max())
    axes.imshow(
        matrix,
        cmap="YlGnBu_r" if distance else "YlGnBu",
        vmin=low,
        vmax=far if far > low else low + 1,
        extent=(0, n, n, 0),
    )
    if n <= MOST_NUMBERS:
        middle = (low + far) / 2
        for (i, j), value in _cells(matrix):
            axes.text(j + 0.5, i + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=8.5,
                      color="white" if (value > middle) != distance else INK)  # fmt: skip
    axes.hlines(range(1, n), 0, n, colors=GROUND, linewidth=1)
    axes.vlines(range(1, n), 0, n, colors=GROUND, linewidth=1)
    for i, (mark, (name, font)) in enumerate(zip(marks, names, strict=True)):
        _thumbnail(axes, mark, -0.95, i + 0.05)
        _thumbnail(axes, mark, i + 0.05, -0.95)
        say = {"fontproperties": font, "fontsize": 9, "color": INK, "clip_on": False}
        axes.text(-1.15, i + 0.5, name, ha="right", va="center", **say)
        axes.text(i + 0.5, -1.15, name, ha="center", va="bottom", rotation=90, **say)
    axes.set(xlim=(0, n), ylim=(n, 0))
    axes.set_axis_off()
    line, font = legible(title, "")
    figure.text(0.3 / wide, 1 - 0.3 / high, line, fontproperties=font, fontsize=14, color=INK, va="center")
    figure.savefig(path, facecolor=GROUND, pil_kwargs={"optimize": True})
    return path


def _cells(matrix: np.ndarray) -> list[tuple[tuple[int, int], float]]:
    return [((i, j), float(value)) for i, row in enumerate(matrix) for j, value in enumerate(row)]


def _thumbnail(axes: Any, mark: Mark, x: float, y: float) -> None:
    """The picture in a square; a text alone is a sheet with lines, and a pair has such a sheet in its corner."""
    if mark.picture is not None:
        axes.imshow(mark.picture, extent=(x, x + 0.9, y + 0.9, y), clip_on=False, zorder=2)
        _box(axes, x, y, 0.9, 0.9, fill=False, edgecolor=FAINT, linewidth=0.7, zorder=3)
    if mark.picture is None:
        _sheet(axes, x + 0.13, y + 0.13, 0.64)
    elif mark.text:
        _sheet(axes, x + 0.54, y + 0.54, 0.38)


def _sheet(axes: Any, x: float, y: float, side: float) -> None:
    _box(axes, x, y, side, side, facecolor="#fffdf5", edgecolor=INK, linewidth=0.7, zorder=4)
    for line, length in enumerate((0.7, 0.7, 0.45)):
        down = y + (0.24 + 0.22 * line) * side
        _box(axes, x + 0.15 * side, down, length * side, 0.08 * side, color=INK, linewidth=0, zorder=5)


def _box(axes: Any, x: float, y: float, wide: float, high: float, **style: Any) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, y), wide, high, clip_on=False, **style))


def legible(text: str, fallback: str) -> tuple[str, Any]:
    """The text with a font that has all its letters; where there is none, what is left of it, or the fallback."""
    from matplotlib.font_manager import FontProperties, findfont

    default = findfont(FontProperties())
    for file in (default, *_cjk_files()):
        if all(ord(c) in _letters(file) for c in text):
            return text, FontProperties(fname=file)
    kept = " ".join("".join(c if ord(c) in _letters(default) else " " for c in text).split())
    kept = kept.strip("+ ")
    return (kept if sum(map(str.isalnum, kept)) > 2 else fallback), FontProperties(fname=default)


@lru_cache(maxsize=16)
def _letters(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(file).get_charmap())


@lru_cache(maxsize=1)
def _cjk_files() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    there = {font.name: font.fname for font in fontManager.ttflist}
    return tuple(there[name] for name in CJK_FONTS if name in there)
