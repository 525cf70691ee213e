from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onespace import plot
from onespace.canvas import Canvas, contrast, hex_of, ramp, readable
from onespace.errors import InputError
from onespace.plot import SCALE, Mark, heat_map

RED, BLUE = (np.full((8, 8, 3), colour, np.uint8) for colour in ((220, 0, 0), (0, 0, 220)))
WHOLE = ramp(np.linspace(0, 1, 400), SCALE)


def drawn(tmp_path: Path, matrix: np.ndarray, marks: list[Mark], **options: object) -> np.ndarray:
    path = heat_map(matrix, marks, tmp_path / "map.png", **options)  # type: ignore[arg-type]
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def near(pixels: np.ndarray, colour: tuple[int, ...] | np.ndarray) -> np.ndarray:
    return np.asarray((np.abs(pixels.astype(int) - colour) <= 2).all(-1))


def test_thumbnails_stand_on_both_axes(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, np.eye(2), [Mark("a", RED), Mark("b", BLUE, text=True)], title="two")
    rows, columns = np.nonzero((pixels == (220, 0, 0)).all(-1))
    left, top = columns.min(), rows.min()
    far = (columns > left + 60).sum(), (rows > top + 60).sum()
    assert min(far) > 500, "the red thumbnail stands once at the left and once at the top"


def test_a_text_is_a_sheet_and_a_pair_has_one_in_its_corner(tmp_path: Path) -> None:
    paper = (255, 253, 245)
    count = {
        name: near(drawn(tmp_path, np.ones((1, 1)), [Mark("a", picture, text=text)]), paper).sum()
        for name, picture, text in (("image", RED, False), ("text", None, True), ("pair", RED, True))
    }
    assert count["image"] == 0
    assert count["text"] > count["pair"] > 500


def test_near_is_dark_also_for_distances(tmp_path: Path) -> None:
    marks = [Mark(str(i)) for i in range(30)]  # without numbers in the cells
    similar = drawn(tmp_path, np.eye(30), marks)
    distant = drawn(tmp_path, 1 - np.eye(30), marks, distance=True)
    assert np.abs(similar.astype(int) - distant).mean() < 1
    assert near(similar, ramp(np.ones(1), SCALE)[0]).sum() < near(similar, ramp(np.zeros(1), SCALE)[0]).sum() / 10, (
        "29 of 30 are far"
    )


@pytest.mark.parametrize("n", [2, 19])
def test_a_number_stands_in_each_cell(n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    write = Canvas.text

    def listen(self: Canvas, at: tuple[float, float], text: str, **style: object) -> None:
        said.append(text)
        write(self, at, text, **style)  # type: ignore[arg-type]

    monkeypatch.setattr(Canvas, "text", listen)
    matrix = 2 + np.arange(n * n).reshape(n, n) / 100
    matrix[0, 1] = np.nan
    drawn(tmp_path, matrix, [Mark(f"m{i}") for i in range(n)], title="all")
    told = [f"{value:.2f}" for value in matrix[np.isfinite(matrix)]]
    assert set(told) <= set(said)
    assert "nan" not in said
    assert {"all", "m1", "  near", "  far"} <= set(said)


def test_numbers_that_round_to_zero_have_no_sign() -> None:
    assert plot._said(-0.001) == "0.00"


def test_equal_steps_look_equal_and_near_is_darker() -> None:
    hexes = [hex_of(rgb) for rgb in ramp(np.linspace(0, 1, 29), SCALE)]
    luminance = np.array([1.05 / contrast("#ffffff", colour) - 0.05 for colour in hexes])
    steps = -np.diff(116 * np.cbrt(luminance) - 16)  # CIE L*
    assert steps.min() > 0.6 * steps.mean()
    assert steps.max() < 1.5 * steps.mean()


def test_numbers_are_readable_on_every_colour() -> None:
    assert min(contrast(readable(c), c) for c in (hex_of(rgb) for rgb in WHOLE)) >= 4
    assert {readable(SCALE[0]), readable(SCALE[-1])} == {"#05080c", "#ffffff"}


def test_the_bar_shows_the_whole_scale(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, np.eye(2), [Mark("a"), Mark("b")])
    there = [bool(near(pixels, colour).any()) for colour in WHOLE[20:-20:40]]
    assert all(there), "the cells have the two ends only, so what lies between is the bar's"


@pytest.mark.parametrize("n", [1, 5, 24, 60, 200])
def test_any_number_of_items_fits(n: int, tmp_path: Path) -> None:
    marks = [Mark("a name that is much too long to stand whole beside its row " * 3)] * n
    pixels = drawn(tmp_path, np.eye(n), marks, title="a title that is longer than a small matrix is wide")
    for edge in (pixels[:8], pixels[-8:], pixels[:, :8], pixels[:, -8:]):
        assert (edge == 255).all(), "nothing is cut off at an edge"
    assert max(pixels.shape) < 2000


def test_matplotlib_is_not_needed(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy as np; from onespace.plot import Mark, heat_map\n"
        "heat_map(np.eye(2), [Mark('a'), Mark('b')], sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize(("shape", "name"), [((2, 2), "a.jpg"), ((2, 3), "a.png"), ((0, 0), "a.png")])
def test_what_cannot_be_drawn_is_refused(shape: tuple[int, int], name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="heat map"):
        heat_map(np.zeros(shape), [Mark("x")] * shape[0], tmp_path / name)
