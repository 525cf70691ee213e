"""Pictures in a terminal, beside lines of text: by the protocols that terminals have for it, or in coloured blocks."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal, TypeAlias, get_args

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from onespace.results.view import Shown

Protocol: TypeAlias = Literal["kitty", "iterm2", "sixel", "blocks"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

ROWS, COLUMNS = 6, 12
"""Lines and columns that a picture takes: square, where a cell is twice as high as wide."""
CELL = 10, 20
"""Pixels of a cell, where the terminal doesn't say: only sixels need them."""
CHUNK = 4096
"""Bytes that one command of kitty's may carry."""
COLOURS = 128
FRAME = "#e0245e"


def protocol(environment: Mapping[str, str]) -> Protocol | None:
    """What the terminal that an environment describes can show; None for nothing.

    Inside tmux and screen, which don't pass pictures on, only blocks are left.

    >>> protocol({"TERM": "xterm-kitty"}), protocol({"TERM": "xterm-256color", "COLORTERM": "truecolor"})
    ('kitty', 'blocks')
    >>> protocol({"TERM": "dumb"}), protocol({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux", "COLORTERM": "24bit"})
    (None, 'blocks')
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if term == "dumb":
        return None
    if "TMUX" not in environment and not term.startswith(("screen", "tmux")):
        if "KITTY_WINDOW_ID" in environment or "kitty" in term or "ghostty" in (program, term.removeprefix("xterm-")):
            return "kitty"
        if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
            return "iterm2"
        if "sixel" in term or term.startswith(("foot", "mlterm", "contour")) or program == "mintty":
            return "sixel"
    return "blocks" if environment.get("COLORTERM") in ("truecolor", "24bit") or "WT_SESSION" in environment else None


def beside(shown: Shown | None, lines: Sequence[str], protocol: Protocol, *, cell: tuple[int, int] = CELL) -> str:
    """A picture and, to its right, lines of text, as one string for a terminal; it ends with a new line.

    The room is made first, so that nothing scrolls while the picture is drawn.
    """
    rows = max(ROWS, len(lines))
    lines = [*lines, *[""] * (rows - len(lines))]
    if shown is None or protocol == "blocks":
        left = [] if shown is None else list(blocks(square(shown, 2 * ROWS, framed=False)))
        left += [" " * COLUMNS] * (rows - len(left))
        return "".join(f"{picture}  {line}".rstrip() + "\n" for picture, line in zip(left, lines, strict=True))
    if protocol == "sixel":
        drawn = sixel(square(shown, min(COLUMNS * cell[0], ROWS * cell[1])))
    else:
        drawn = (kitty if protocol == "kitty" else iterm2)(_png(square(shown, 2 * ROWS * CELL[0])))
    words = "".join(f"\x1b[{COLUMNS + 3}G{line}\n" for line in lines)
    return "\n" * (rows + 1) + f"\x1b[{rows + 1}A\x1b7{drawn}\x1b8{words}"


def square(shown: Shown, side: int, *, framed: bool = True) -> PILImage.Image:
    """The picture in the middle of a square, RGBA, its best part framed where that is less than the whole."""
    picture = shown.picture
    scale = side / max(picture.size)
    small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))).convert(
        "RGBA"
    )
    if framed and shown.box is not None:
        left, top, right, bottom = (edge * scale for edge in shown.box)
        if (right - left) * (bottom - top) < 0.9 * small.width * small.height:
            ImageDraw.Draw(small).rectangle(
                (left, top, max(left, right - 1), max(top, bottom - 1)), outline=FRAME, width=2
            )
    sheet = PILImage.new("RGBA", (side, side))
    sheet.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return sheet


def blocks(picture: PILImage.Image) -> Iterator[str]:
    """Lines of half blocks: each character is two pixels, one above the other, and what is transparent stays so."""
    pixels = np.asarray(picture.convert("RGBA"))
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=False):
        yield (
            "".join(_half(tuple(a), tuple(b)) for a, b in zip(upper.tolist(), lower.tolist(), strict=True)) + "\x1b[0m"
        )


def _half(above: tuple[int, ...], below: tuple[int, ...]) -> str:
    if above[3] < 128 and below[3] < 128:
        return "\x1b[0m "
    if below[3] < 128:
        return "\x1b[0;38;2;{};{};{}m▀".format(*above)
    if above[3] < 128:
        return "\x1b[0;38;2;{};{};{}m▄".format(*below)
    return "\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*above[:3], *below[:3])


def kitty(png: bytes) -> str:
    """Kitty's graphics protocol; the cursor stays. Source: sw.kovidgoyal.net/kitty/graphics-protocol."""
    text = base64.b64encode(png).decode()
    pieces = [text[i : i + CHUNK] for i in range(0, len(text), CHUNK)]
    first = f"a=T,f=100,q=2,C=1,c={COLUMNS},r={ROWS},"
    return "".join(
        f"\x1b_G{first if i == 0 else ''}m={int(i + 1 < len(pieces))};{piece}\x1b\\" for i, piece in enumerate(pieces)
    )


def iterm2(png: bytes) -> str:
    """ITerm2's inline images. Source: iterm2.com/documentation-images.html."""
    told = f"inline=1;size={len(png)};width={COLUMNS};height={ROWS};preserveAspectRatio=1"
    return f"\x1b]1337;File={told}:{base64.b64encode(png).decode()}\a"


def sixel(picture: PILImage.Image) -> str:
    """DEC's sixels: bands of six lines, colour by colour; transparent pixels are left out. Source: VT330/340 manual."""
    rgba = picture.convert("RGBA")
    flat = rgba.convert("RGB").quantize(COLOURS)
    colours = np.array(flat.getpalette(), int).reshape(-1, 3)
    pixels = np.where(np.asarray(rgba)[..., 3] < 128, -1, np.asarray(flat, int))  # (H, W)
    used = sorted(set(pixels.ravel().tolist()) - {-1})
    palette = "".join(
        "#{};2;{};{};{}".format(colour, *(round(x / 2.55) for x in colours[colour].tolist())) for colour in used
    )
    bands = (_band(pixels[top : top + 6]) for top in range(0, len(pixels), 6))
    return f'\x1bP0;1;0q"1;1;{picture.width};{picture.height}{palette}{"-".join(bands)}\x1b\\'


def _band(pixels: np.ndarray) -> str:
    """Up to six lines (h, W): for each colour a row of characters, equal neighbours as a count."""
    bits = 1 << np.arange(len(pixels))[:, None]
    rows = []
    for colour in sorted(set(pixels.ravel().tolist()) - {-1}):
        letters = ((pixels == colour) * bits).sum(0) + 63  # (W,)
        runs = ((chr(letter), len(list(run))) for letter, run in groupby(letters.tolist()))
        rows.append(f"#{colour}" + "".join(f"!{n}{letter}" if n > 3 else letter * n for letter, n in runs))
    return "$".join(rows)


def _png(picture: PILImage.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
