from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onespace import plot
from onespace.errors import InputError
from onespace.plot import Mark, heat_map, legible

RED, BLUE = (np.full((8, 8, 3), colour, np.uint8) for colour in ((220, 0, 0), (0, 0, 220)))


def drawn(tmp_path: Path, matrix: np.ndarray, marks: list[Mark], **options: object) -> np.ndarray:
    path = heat_map(matrix, marks, tmp_path / "map.png", **options)  # type: ignore[arg-type]
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_thumbnails_stand_on_both_axes(tmp_path: Path) -> None:
    pixels = drawn(tmp_path, np.eye(2), [Mark("a", RED), Mark("b", BLUE, text=True)], title="two")
    rows, columns = np.nonzero((pixels == (220, 0, 0)).all(-1))
    left, top = columns.min(), rows.min()
    far = (columns > left + 60).sum(), (rows > top + 60).sum()
    assert min(far) > 500, "the red thumbnail stands once at the left and once at the top"


def test_near_is_dark_also_for_distances(tmp_path: Path) -> None:
    marks = [Mark(str(i)) for i in range(30)]  # without numbers in the cells
    near = np.eye(30)
    similar = drawn(tmp_path, near, marks)
    distant = drawn(tmp_path, 1 - near, marks, distance=True)
    assert np.abs(similar.astype(int) - distant).mean() < 1


def test_letters_without_a_font_never_become_boxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(plot, "_cjk_files", lambda: ())
    assert legible("一只蓝鲸", "item 1")[0] == "item 1"
    assert legible("logo.png + 一只蓝鲸", "item 1")[0] == "logo.png"
    assert legible("größe", "item 1")[0] == "größe"
    drawn(tmp_path, np.ones((1, 1)), [Mark("一只蓝鲸")], title="鲸")
    assert not list(recwarn)


@pytest.mark.parametrize(("shape", "name"), [((2, 2), "a.jpg"), ((2, 3), "a.png"), ((0, 0), "a.png")])
def test_what_cannot_be_drawn_is_refused(shape: tuple[int, int], name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="heat map"):
        heat_map(np.zeros(shape), [Mark("x")] * shape[0], tmp_path / name)
