"""An `Explanation` for the eye: a heat map over the picture (PNG), and highlighted text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image as PILImage

from onespace.canvas import FAINT, GROUND, INK, Canvas, cut, legible, mix, ramp, width
from onespace.errors import InputError
from onespace.explain.explanation import Explanation, Field, Part, Share

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
COLUMN, MARGIN, GAP = 520, 48, 64
"""Pixels: how wide the column beside the picture is, what is left free around both, and between them."""
ROW = 35
"""Pixels from one line of the column to the next."""
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
    strength = np.clip(heat(field, size), 0, 1)
    levels, colours = [level for level, _ in HEAT], [colour for _, colour in HEAT]
    rgb = ramp(np.interp(strength, levels, np.linspace(0, 1, len(HEAT))), colours)
    alpha = np.rint(255 * 0.8 * strength**0.8).astype(np.uint8)
    picture = PILImage.fromarray(np.dstack([rgb, alpha]))
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
    image = overlay(picture, field)
    high = max(image.height, round(0.8 * SIDE))
    canvas = Canvas(2 * MARGIN + image.width + GAP + COLUMN, 2 * MARGIN + high)
    canvas.paste(image, (MARGIN, MARGIN, image.width, image.height), radius=10)
    _frame(canvas, field, image.width / picture.width)
    _column(canvas, explanation, query, left=MARGIN + image.width + GAP, bottom=MARGIN + high)
    return canvas.save(path)


def _frame(canvas: Canvas, field: Field, scale: float) -> None:
    """A line around the best region, white outside and dark inside, so that it stands out on every ground."""
    left, top, right, bottom = (MARGIN + scale * x for x in field.best)
    wide, high = max(16, right - left), max(16, bottom - top)
    canvas.box((left, top, wide, high), None, edge=GROUND, line=7, radius=10)
    canvas.box((left + 2, top + 2, wide - 4, high - 4), None, edge=INK, line=3, radius=8)


def _column(canvas: Canvas, explanation: Explanation, query: str, *, left: int, bottom: int) -> None:
    """Query, score, shares and the largest parts, from the top down."""
    down = MARGIN + 12
    if query:
        canvas.text((left, down), cut(legible(query, "query")[0], 32, COLUMN), size=32)
        down += 66
    score = f"{explanation.score:.4f}"
    canvas.text((left, down), score, size=54)
    canvas.text((left + width(score, 54) + 16, down + 13), f"{explanation.metric} score", size=18, colour=FAINT)
    down = _shares(canvas, explanation, left, down + 58)
    for head, parts in listed(explanation).items():
        room = min(LISTED, (bottom - down) // ROW)
        if room < 2:
            return
        canvas.text((left, down), NAMES[head].upper(), size=15, colour=COLOURS[head])
        for part, length in list(zip(parts, meters(parts), strict=True))[:room]:
            down += ROW
            _row(canvas, part, length, left, down)
        down += ROW + 20


def _row(canvas: Canvas, part: Part, length: float, left: int, down: int) -> None:
    """What the part is about, its bar, and its score; a bar is pale where the part takes from the score."""
    asked, met = sides(part)
    canvas.text((left, down), cut(legible(asked, part.kind)[0], 19, 104 if met else 208), size=19)
    if met:
        canvas.text((left + 112, down), cut(legible(met, "match")[0], 17, 98), size=17, colour=FAINT)
    colour = COLOURS[part.head] if part.score >= 0 else mix(GROUND, COLOURS[part.head], 0.35)
    if length:
        canvas.box((left + 222, down - 7, max(4, 196 * length), 14), colour, radius=3)
    canvas.text((left + COLUMN, down), f"{part.score:+.4f}", size=17, side="r")


def _shares(canvas: Canvas, explanation: Explanation, left: int, down: int) -> int:
    """One bar for all the shares; nothing where there is but one. Returns where the next line goes."""
    shares = {head: share for head, share in explanation.shares.items() if share > 0}
    if len(explanation.shares) < 2 or not shares:
        return down + 14
    gap = 4
    start, unit = float(left), (COLUMN - gap * (len(shares) - 1)) / sum(shares.values())
    for head, share in shares.items():
        canvas.box((start, down - 11, max(3, unit * share), 22), COLOURS[head], radius=4)
        start += unit * share + gap
    for place, (head, share) in enumerate(explanation.shares.items()):
        at = left + place * COLUMN / len(explanation.shares)
        canvas.text((at, down + 36), NAMES[head], size=15, colour=COLOURS[head])
        canvas.text((at, down + 60), f"{share:+.4f}", size=17)
    return down + 116


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
    return " → ".join(filter(None, sides(part)))


def sides(part: Part) -> tuple[str, str]:
    """What a part is about: of a match what was asked for and what met it, else one thing and nothing.

    >>> sides(Part("multi", "match", 0.5, "whale", query_token=2, token=7)), sides(Part("sparse", "term", 0.5, "sea"))
    (('whale', 'token 7'), ('sea', ''))
    """
    fixed = {"vector": "the whole", "rest": "the rest", "offset": "chance"}
    if part.kind in fixed:
        return fixed[part.kind], ""
    if part.kind == "cell":
        return _place(part), ""
    if part.kind != "match":
        return part.text, ""
    if part.query_token < 0:
        return "no tokens to match", ""
    asked = part.text or ("picture" if part.query_box else f"token {part.query_token}")
    return asked, part.found or _place(part)


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
