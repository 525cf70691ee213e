"""An `Explanation` for the eye: a heat map over the picture (PNG), and highlighted text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image as PILImage

from onespace.errors import InputError
from onespace.explain.explanation import Explanation, Field, Part, Share
from onespace.plot import FAINT, GROUND, INK, legible

if TYPE_CHECKING:
    from rich.text import Text

COLOURS: dict[Share, str] = {"dense": "#3f6fb5", "sparse": "#c98a1b", "multi": "#c2463d", "blend": "#6b5b95"}
NAMES: dict[Share, str] = {
    "dense": "whole vectors",
    "sparse": "common terms",
    "multi": "best matches",
    "blend": "all three",
}
HEAT = ((0.0, "#fff3c4"), (0.35, "#ffc75f"), (0.65, "#f9703e"), (1.0, "#a8123e"))
"""From what hardly matters to what matters most."""
SIDE = 720
"""Longest side, in pixels, of a drawn picture."""
LISTED = 8
"""Parts of one kind that a figure lists."""
REMAINDERS = ("rest", "offset")
"""Kinds of part that nothing in the document stands for."""


# -- pictures --------------------------------------------------------------------------------------------------------


def heat(field: Field, size: tuple[int, int]) -> np.ndarray:
    """The field as a smooth surface: (H, W) from 0 (no more than the median) to 1 (the best place).

    ``size`` is the (width, height) of the original picture; the surface has its shape, and 192 pixels at most.
    """
    scale = min(1.0, 192 / max(size))
    wide, high = (max(1, round(side * scale)) for side in size)
    low, most = float(np.median(field.values)), float(field.values.max())
    sums, weights = np.zeros((high, wide)), np.full((high, wide), 1e-9)
    for box, value in zip(field.boxes * scale, field.values, strict=True):
        left, top, right, bottom = np.rint(box).astype(int)
        rows, columns = slice(top, max(top + 1, bottom)), slice(left, max(left + 1, right))
        sums[rows, columns] += np.clip((value - low) / max(most - low, 1e-9), 0, 1)
        weights[rows, columns] += 1
    radius = 0.45 * float((field.boxes[:, 2:] - field.boxes[:, :2]).mean()) * scale
    smooth = _blur(sums, radius) / _blur(weights, radius)
    return np.asarray(smooth / max(float(smooth.max()), 1e-9))


def _blur(values: np.ndarray, radius: float) -> np.ndarray:
    reach = np.arange(-int(3 * radius) - 1, int(3 * radius) + 2)
    kernel = np.exp(-0.5 * (reach / max(radius, 0.3)) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (len(reach) // 2, len(reach) // 2)
        wide = np.pad(values, pad, mode="edge")
        values = np.apply_along_axis(np.convolve, axis, wide, kernel, mode="valid")
    return values


def veil(field: Field, size: tuple[int, int]) -> PILImage.Image:
    """The heat as a picture that lets through what lies under it: RGBA, of the given size."""
    from matplotlib.colors import LinearSegmentedColormap

    strength = np.clip(heat(field, size), 0, 1)
    rgba = LinearSegmentedColormap.from_list("heat", HEAT)(strength)
    rgba[..., 3] = 0.8 * strength**0.8
    picture = PILImage.fromarray((rgba * 255).astype(np.uint8), "RGBA")
    return picture.resize(size, PILImage.Resampling.BICUBIC)


def overlay(picture: PILImage.Image, field: Field) -> PILImage.Image:
    """The picture, paled, under its heat: RGB, `SIDE` pixels at most."""
    size = fitted(picture.size)
    scale = size[0] / picture.width
    ground = over_white(picture).resize(size, PILImage.Resampling.LANCZOS)
    grey = PILImage.blend(ground, ground.convert("L").convert("RGB"), 0.75)
    pale = PILImage.blend(grey, PILImage.new("RGB", size, "white"), 0.3).convert("RGBA")
    return PILImage.alpha_composite(pale, veil(Field(field.boxes * scale, field.values), size)).convert("RGB")


def fitted(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which a picture is drawn."""
    scale = SIDE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def over_white(picture: PILImage.Image) -> PILImage.Image:
    """RGB, without transparency."""
    rgba = picture.convert("RGBA")
    return PILImage.alpha_composite(PILImage.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def draw(explanation: Explanation, picture: PILImage.Image, path: str | Path, *, query: str = "") -> Path:
    """Writes the picture, where it is near to the query, and the parts of the score, as PNG.

    Args:
        explanation: of this picture.
        picture: as `onespace.prepare.images.open_image` opens it; of several, number ``explanation.field.picture``.
        path: ends in .png.
        query: the query's text, for the title.

    Raises:
        InputError: the explanation has no places, or the path doesn't end in .png.
    """
    path, field = Path(path), explanation.field
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: the heat map is written as .png. Choose a name that ends in .png.")
    if field is None:
        raise InputError(
            f"this {explanation.metric} score of the document has no places in a picture. Use leave_one_out, or a "
            "model with a multi head for pictures."
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panel, column, margin, gap = 4.9, 3.7, 0.35, 0.45
    shown = picture.size[0] / max(picture.size), picture.size[1] / max(picture.size)
    high = panel * max(shown[1], 0.8)
    wide = panel * shown[0]
    figure = Figure(figsize=(2 * margin + wide + gap + column, high + 2 * margin), dpi=140, facecolor=GROUND)
    FigureCanvasAgg(figure)
    total_wide, total_high = figure.get_size_inches()
    tall = panel * shown[1]
    axes = figure.add_axes(
        (margin / total_wide, (total_high - margin - tall) / total_high, wide / total_wide, tall / total_high)
    )
    _panel(axes, overlay(picture, field), field, picture.width)
    side = figure.add_axes(
        ((margin + wide + gap) / total_wide, margin / total_high, column / total_wide, high / total_high)
    )
    side.set(xlim=(0, 1), ylim=(high, 0))
    side.set_axis_off()
    _column(side, explanation, query, high)
    figure.savefig(path, facecolor=GROUND, pil_kwargs={"optimize": True})
    return path


def _panel(axes: Any, image: PILImage.Image, field: Field, width: int) -> None:
    """The picture with the box of its best region."""
    from matplotlib.patches import FancyBboxPatch

    axes.imshow(np.asarray(image), interpolation="antialiased")
    axes.set_axis_off()
    scale = image.width / width
    left, top, right, bottom = (x * scale for x in field.best)
    for colour, line in (("white", 5.0), (INK, 2.0)):
        axes.add_patch(
            FancyBboxPatch(
                (left + 5, top + 5), right - left - 10, bottom - top - 10, fill=False, edgecolor=colour, linewidth=line,
                boxstyle="round,pad=0,rounding_size=9",
            )
        )  # fmt: skip


def _column(axes: Any, explanation: Explanation, query: str, high: float) -> None:
    """Query, score, shares and the largest parts, from the top down; one unit is an inch."""
    down = 0.22
    if query:
        line, font = legible(query if len(query) <= 34 else query[:33] + "…", "query")
        axes.text(0, down, line, fontproperties=font, fontsize=16, color=INK, va="center")
        down += 0.42
    axes.text(0, down, f"{explanation.score:.4f}", fontsize=25, color=INK, va="center", fontweight="light")
    axes.text(0.37, down + 0.06, f"{explanation.metric} score", fontsize=9, color=FAINT, va="center")
    down = _shares(axes, explanation, down + 0.38)
    room = max(1, int((high - down - 0.3) / 0.27))
    for head, parts in listed(explanation).items():
        if room < 3:
            return
        axes.text(0, down, NAMES[head].upper(), fontsize=7.5, color=COLOURS[head], va="center", fontweight="bold")
        down += 0.25
        for part, length in list(zip(parts, meters(parts), strict=True))[: min(LISTED, room - 1)]:
            told, font = legible(label(part), part.kind)
            axes.text(0, down, told[:22], fontproperties=font, fontsize=9.5, color=INK, va="center")
            _bar(axes, 0.42, down, 0.36 * length, COLOURS[head], alpha=1 if part.score >= 0 else 0.35)
            axes.text(1, down, f"{part.score:+.4f}", fontsize=8.5, color=INK, va="center", ha="right")
            down += 0.25
        room -= min(LISTED, len(parts)) + 2
        down += 0.12


def _shares(axes: Any, explanation: Explanation, down: float) -> float:
    """One bar for all the shares; nothing where there is but one."""
    shares = {head: share for head, share in explanation.shares.items() if share > 0}
    if len(explanation.shares) < 2 or not shares:
        return down + 0.1
    start, total = 0.0, sum(shares.values())
    for head, share in shares.items():
        wide = share / total
        _bar(axes, start, down, max(0.004, wide - 0.008), COLOURS[head], height=0.15)
        start += wide
    down += 0.26
    start = 0.0
    for head, share in explanation.shares.items():
        axes.text(start, down, f"{NAMES[head]}", fontsize=7.5, color=COLOURS[head], va="center")
        axes.text(start, down + 0.17, f"{share:+.4f}", fontsize=8.5, color=INK, va="center")
        start += 1 / len(explanation.shares)
    return down + 0.56


def _bar(axes: Any, x: float, y: float, wide: float, colour: str, *, height: float = 0.1, alpha: float = 1) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, y - height / 2), wide, height, color=colour, linewidth=0, alpha=alpha))


# -- text ------------------------------------------------------------------------------------------------------------


def runs(explanation: Explanation, text: str, *, side: Literal["query", "document"]) -> Iterator[tuple[str, float]]:
    """Cuts a text where its weight changes: (piece, from -1 to 1), in the text's order; spans are from `name_tokens`.

    >>> part = Part("sparse", "term", 2.0, "whale", span=(2, 7))
    >>> list(runs(Explanation(2.0, "lexical", (part,)), "a whale!", side="document"))
    [('a ', 0.0), ('whale', 1.0), ('!', 0.0)]
    """
    weight = np.zeros(len(text) + 1)
    for part in explanation.parts:
        span = part.span if side == "document" else part.query_span
        if span is not None:
            weight[slice(*span)] += part.score
    weight /= max(float(np.abs(weight).max()), 1e-9)
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or weight[end] != weight[start]:
            yield text[start:end], float(weight[start])
            start = end


def highlighted(explanation: Explanation, text: str, *, side: Literal["query", "document"]) -> Text:
    """The text for a terminal, what matters on a coloured ground."""
    from rich.text import Text

    out = Text()
    for piece, weight in runs(explanation, text, side=side):
        out.append(piece, style=f"#1b2733 on {_tint(weight)}" if abs(weight) > 0.04 else "")
    return out


def _tint(weight: float) -> str:
    """From white to amber for what adds to the score, to blue for what takes from it."""
    full = np.array([255, 176, 46] if weight > 0 else [120, 170, 240])
    red, green, blue = np.rint(255 + (full - 255) * min(1.0, abs(weight))).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def label(part: Part) -> str:
    """What a part is about, in few words.

    >>> label(Part("multi", "match", 0.5, query_token=2, token=7)), label(Part("dense", "rest", 0.1))
    ('token 2 → token 7', 'the rest')
    """
    fixed = {"vector": "the whole", "rest": "the rest", "offset": "chance"}
    if part.kind in fixed:
        return fixed[part.kind]
    if part.kind == "cell":
        return _place(part)
    if part.kind != "match":
        return part.text
    if part.query_token < 0:
        return "no tokens to match"
    asked = part.text or ("picture" if part.query_box else f"token {part.query_token}")
    return f"{asked} → {part.found or _place(part)}"


def _place(part: Part) -> str:
    if part.box is None:
        return f"token {part.token}"
    left, top, right, bottom = part.box
    return f"at {(left + right) / 2:.0f}, {(top + bottom) / 2:.0f}"


def listed(explanation: Explanation) -> dict[Share, list[Part]]:
    """Parts under their heads, largest first, what is left over last; a whole vector is said by its share."""
    out: dict[Share, list[Part]] = {}
    for part in sorted(explanation.parts, key=lambda part: (part.kind in REMAINDERS, -abs(part.score))):
        if part.kind != "vector":
            out.setdefault(part.head, []).append(part)
    return out


def meters(parts: list[Part]) -> list[float]:
    """How long the bar of each part is, from 0 to 1; a remainder has none.

    >>> meters([Part("dense", "cell", 0.25), Part("dense", "cell", -0.5), Part("dense", "rest", 9.0)])
    [0.5, 1.0, 0.0]
    """
    sizes = [0.0 if part.kind in REMAINDERS else abs(part.score) for part in parts]
    most = max(sizes, default=0.0) or 1.0
    return [size / most for size in sizes]


def rows(explanation: Explanation) -> list[tuple[str, str, str]]:
    """Head, label and score of every part: a table for people."""
    return [(NAMES[part.head], label(part), f"{part.score:+.5f}") for part in explanation.parts]
