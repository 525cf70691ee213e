"""A heat map as a picture: what is compared stands as thumbnails on both axes. Drawn with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from onespace.canvas import FAINT, GROUND, INK, Canvas, cut, hex_of, legible, ramp, readable, width
from onespace.errors import InputError

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
    labels = [legible(mark.name, f"item {i}")[0] for i, mark in enumerate(marks, 1)] if shown else []
    names = [cut(label, size, LONGEST_NAME) for label in labels]
    longest = max((width(name, size) for name in names), default=0)
    flat = longest <= cell - 6  # names over their columns, side by side
    line = legible(title, "")[0]
    left = round(PAD + (longest + GAP + cell + GAP if shown else 0))
    top = round(PAD + (36 if line else 0) + ((size if flat else longest) + GAP + cell + GAP if shown else 0))
    side = n * cell
    ends = _ends(matrix)
    bar = 2 * GAP + BAR + max(width(_said(end), 12) for end in ends) + width("  near", 12)
    bar = bar if ends[1] > ends[0] else 0
    wide = max(left + side + bar, PAD + width(line, 20)) + PAD
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
    rgb = ramp(np.where(known, _nearness(np.where(known, matrix, _ends(matrix)[0]), distance), 0), SCALE)
    rgb[~known] = ramp(np.zeros(1), (EMPTY, EMPTY))
    side = len(matrix) * cell
    if cell < 9:
        whole = Image.fromarray(rgb).resize((2 * side, 2 * side), Image.Resampling.NEAREST)
        canvas.image.paste(whole, (2 * left, 2 * top))
        return
    gap, radius = (2, min(6, cell / 12)) if cell > 24 else (1, 1)
    written = known & (len(matrix) <= MOST_NUMBERS)
    widest = max((width(_said(value), 0.3 * cell) for value in matrix[written].tolist()), default=0)
    size = min(18.0, 0.3 * cell, 0.3 * cell * (cell - 10) / max(widest, 1))
    for i, j in np.ndindex(matrix.shape):
        colour = hex_of(rgb[i, j])
        x, y = left + j * cell, top + i * cell
        canvas.box((x + gap / 2, y + gap / 2, cell - gap, cell - gap), colour, radius=radius)
        if written[i, j]:
            canvas.text(
                (x + cell / 2, y + cell / 2), _said(float(matrix[i, j])), size=size, colour=readable(colour), side="m"
            )


def _said(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # never -0.00


def _bar(canvas: Canvas, ends: tuple[float, float], left: int, top: int, side: int, distance: bool) -> None:
    """What the colours say, near at the top."""
    high = min(side, 420)
    strip = Image.fromarray(ramp(np.linspace(1, 0, 2 * high), SCALE)[:, None])
    canvas.paste(strip.resize((28, 2 * high)), (left, top, 14, high), radius=4)
    ticks = 5 if high > 160 else 3
    for step in range(ticks):
        share = step / (ticks - 1)
        value = ends[0] + (share if distance else 1 - share) * (ends[1] - ends[0])
        note = {0: "  near", ticks - 1: "  far"}.get(step, "")
        at = top + 6 + share * (high - 12)
        canvas.text((left + BAR, at), _said(value), size=12)
        canvas.text((left + BAR + width(_said(value), 12), at), note, size=12, colour=FAINT)


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
