"""Pictures in a terminal: each protocol is read back as a terminal would read it."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.results.thumbnails import (
    COLUMNS,
    PROTOCOLS,
    ROWS,
    beside,
    blocks,
    iterm2,
    kitty,
    protocol,
    sixel,
    square,
)
from onespace.results.view import Shown

ESCAPES = re.compile(r"\x1b_G.*?\x1b\\|\x1bP.*?\x1b\\|\x1b\].*?\a|\x1b\[[0-9;]*[A-Za-z]|\x1b[78]", re.DOTALL)


@pytest.fixture
def shown() -> Shown:
    """Red over blue, twice as wide as high."""
    picture = PILImage.new("RGB", (80, 40), (0, 0, 255))
    picture.paste((255, 0, 0), (0, 0, 80, 20))
    return Shown(picture, box=(40.0, 0.0, 80.0, 40.0))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm", "TERM_PROGRAM": "mintty"}, "sixel"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "blocks"),
        ({"WT_SESSION": "1"}, "blocks"),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, None),
        ({}, None),
    ],
)
def test_terminals_are_told_by_their_environment(environment, expected):
    assert protocol(environment) == expected


def test_a_picture_keeps_its_shape_and_its_best_part_is_framed(shown):
    image = np.asarray(square(shown, 48))
    assert image.shape == (48, 48, 4)
    assert (image[:, :, 3] > 0).any(1).sum() == 24
    framed = np.asarray(square(shown, 48, framed=False)) != image
    assert framed.any()
    assert not framed[:, :23].any()


def test_a_box_around_the_whole_picture_is_not_drawn(shown):
    whole = Shown(shown.picture, box=(0.0, 0.0, 80.0, 40.0))
    assert np.array_equal(np.asarray(square(whole, 48)), np.asarray(square(whole, 48, framed=False)))


def test_blocks_are_two_pixels_a_letter(shown):
    lines = list(blocks(square(shown, 12, framed=False)))
    assert len(lines) == 6
    assert all(len(ESCAPES.sub("", line)) == 12 for line in lines)
    assert "38;2;255;0;0" in lines[2]
    assert ESCAPES.sub("", lines[0]).strip() == ""  # nothing where there is no picture


def test_kitty_gets_the_png_in_pieces(shown):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    PILImage.fromarray(noise).save(buffer, "PNG")
    told = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(buffer.getvalue()))
    assert base64.b64decode("".join(piece for _, piece in told)) == buffer.getvalue()
    assert all(len(piece) <= 4096 for _, piece in told)
    assert [control[-3:] for control, _ in told] == [*["m=1"] * (len(told) - 1), "m=0"] or told[0][0].endswith("m=1")
    assert told[-1][0] == "m=0"
    assert f"c={COLUMNS},r={ROWS}" in told[0][0]


def test_iterm2_gets_the_file():
    said = iterm2(b"png")
    assert said == f"\x1b]1337;File=inline=1;size=3;width={COLUMNS};height={ROWS};preserveAspectRatio=1:cG5n\a"


def read_sixels(text: str) -> np.ndarray:
    """What a terminal draws: (H, W, 4)."""
    found = re.fullmatch(r'\x1bP0;1;0q"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL)
    assert found is not None
    wide, high = int(found[1]), int(found[2])
    colours = {
        int(n): [int(x) * 255 // 100 for x in (r, g, b)]
        for n, r, g, b in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", text)
    }
    body = re.sub(r"#\d+;2;\d+;\d+;\d+", "", found[3])
    drawn = np.zeros((high + 6, wide, 4), np.uint8)
    for band, rows in enumerate(body.split("-")):
        for row in filter(None, rows.split("$")):
            colour, letters = re.fullmatch(r"#(\d+)(.*)", row).groups()  # type: ignore[union-attr]
            plain = re.sub(r"!(\d+)(.)", lambda m: m[2] * int(m[1]), letters)
            for x, letter in enumerate(plain):
                for y in range(6):
                    if (ord(letter) - 63) >> y & 1:
                        drawn[6 * band + y, x] = [*colours[int(colour)], 255]
    return drawn[:high]


def test_sixels_draw_the_picture(shown):
    picture = square(shown, 50, framed=False)
    drawn, asked = read_sixels(sixel(picture)), np.asarray(picture)
    assert drawn.shape == asked.shape
    assert np.array_equal(drawn[..., 3] > 0, asked[..., 3] > 127)
    seen = drawn[..., 3] > 0
    assert np.abs(drawn[seen].astype(int) - asked[seen]).mean() < 4


@pytest.mark.parametrize("told", PROTOCOLS)
@pytest.mark.parametrize("count", [1, 9])
def test_the_words_stand_beside(shown, told, count):
    lines = [f"line {i}" for i in range(count)]
    said = beside(shown, lines, told)
    words = [line.strip("▀▄ ") for line in ESCAPES.sub("", said).splitlines()]
    assert [word for word in words if word] == lines
    assert said.endswith("\n")
    rows = max(ROWS, count)
    assert said.count("\n") == (rows if told == "blocks" else 2 * rows + 1)


def test_without_a_picture_the_words_stand_where_they_would(shown):
    assert beside(None, ["a"], "kitty").splitlines()[0] == " " * (COLUMNS + 2) + "a"
