"""What quality costs, as a picture: quality against speed, and against bytes an item. Drawn with Pillow alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil, floor, log10
from pathlib import Path
from typing import TypeAlias

import numpy as np

from onespace.canvas import FAINT, GROUND, INK, Canvas, cut, legible, width
from onespace.choose.choice import Choice, Option
from onespace.errors import InputError

WIDE, HIGH, LEFT, TOP, GAP = 420, 320, 76, 74, 96
DOT = 7.0
NEAR, STEP, BAR, GRID = "#00699c", "#80b4cd", "#80b4cd", "#e3e8ec"
LONGEST = 150
"""Pixels of a name; a longer one is cut."""

Point: TypeAlias = tuple[float, float, Option]


def pareto_plot(choice: Choice, path: str | Path) -> Path:
    """Draws every option in two panels and writes it as PNG: full dots are those that no other beats.

    Raises:
        InputError: there is no option, or the path doesn't end in .png.
    """
    path = Path(path)
    if path.suffix.lower() != ".png" or not choice.options:
        raise InputError(f"{path}: a plot of {len(choice.options)} options needs one at least, and a name in .png.")
    canvas = Canvas(2 * (LEFT + WIDE) + GAP, TOP + HIGH + 62)
    canvas.text((LEFT, 24), f"nDCG@10 on {choice.queries} queries of your own", size=18)
    canvas.text(
        (LEFT, 48), "bars are 95% intervals; full dots: no other is better in both respects", size=12, colour=FAINT
    )
    _panel(canvas, choice, "items a second (more is better)", lambda o: o.items_per_s, left=LEFT, sign=1)
    left = LEFT + WIDE + GAP
    _panel(canvas, choice, "bytes an item (less is better)", lambda o: o.bytes_per_item, left=left, sign=-1)
    return canvas.save(path)


def _panel(
    canvas: Canvas, choice: Choice, name: str, cost: Callable[[Option], float], *, left: float, sign: int
) -> None:
    costs = [max(cost(option), 1e-9) for option in choice.options]
    first, last = _decades(costs)
    low = max(0, floor(10 * min(o.quality.low for o in choice.options))) / 10
    high = max(low + 0.1, ceil(10 * max(o.quality.high for o in choice.options)) / 10)

    def x(value: float) -> float:
        return left + WIDE * (log10(value) - first) / (last - first)

    def y(value: float) -> float:
        return TOP + HIGH * (high - value) / (high - low)

    for tenth in np.arange(low, high + 0.05, 0.1 if high - low < 0.65 else 0.2).tolist():
        canvas.box((left, y(tenth), WIDE, 1), GRID)
        canvas.text((left - 8, y(tenth)), f"{abs(tenth):.1f}", size=12, colour=FAINT, side="r")
    for decade in range(first, last + 1):
        canvas.box((x(10.0**decade), TOP, 1, HIGH), GRID)
        canvas.text((x(10.0**decade), TOP + HIGH + 14), f"{10.0**decade:,g}", size=12, colour=FAINT, side="m")
    canvas.text((left + WIDE / 2, TOP + HIGH + 38), name, size=13, side="m")
    points = [(x(spent), y(o.quality.mean), o) for spent, o in zip(costs, choice.options, strict=True)]
    front = _front(points, faster=sign)
    for (x0, y0, _), (x1, y1, _) in pairwise(front):  # a step at the better one's cost, on the worse one's level
        canvas.box((x1 if y1 < y0 else x0, min(y0, y1), 1, abs(y1 - y0)), STEP)
        canvas.box((x0, max(y0, y1), x1 - x0, 1), STEP)
    taken = [(at - DOT, at + DOT, middle) for at, middle, _ in points]
    for at, middle, option in sorted(points, key=lambda point: point in front):
        canvas.box((at - 1, y(option.quality.high), 2, y(option.quality.low) - y(option.quality.high)), BAR)
        fill = NEAR if (at, middle, option) in front else GROUND
        canvas.box((at - DOT, middle - DOT, 2 * DOT, 2 * DOT), fill, edge=NEAR, line=2, radius=DOT)
    for at, middle, option in points:
        _label(canvas, option, at, middle, left + WIDE, taken)


def _front(points: Sequence[Point], *, faster: int) -> list[Point]:
    """From left to right the points that none beats in height and on the good side (1: the right, -1: the left).

    Pixels grow downwards: the least y is the best quality.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (-faster * p[0], p[1])):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return sorted(front, key=lambda p: p[0])


def _label(
    canvas: Canvas, option: Option, x: float, y: float, right: float, taken: list[tuple[float, float, float]]
) -> None:
    """The name beside its dot, a little above, and moved down where a name or a dot stands already."""
    said = option.label if option.way == "dense" else f"{option.label}, {option.way}"
    name = cut(legible(said, "a model")[0], 13, LONGEST)
    wide = width(name, 13)
    start = x + DOT + 6 if x + DOT + 6 + wide <= right else x - DOT - 6 - wide
    y -= 11
    while any(abs(y - other) < 15 and start < end and begin < start + wide for begin, end, other in taken):
        y += 15
    taken.append((start, start + wide, y))
    canvas.box((start - 2, y - 7, wide + 4, 14), GROUND)
    canvas.text((start, y), name, size=13, colour=INK)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten around the values.

    >>> _decades([30.0, 400.0]), _decades([100.0])
    ((1, 3), (2, 3))
    """
    first, last = floor(log10(min(values))), ceil(log10(max(values)))
    return first, max(first + 1, last)
