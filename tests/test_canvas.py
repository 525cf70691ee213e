from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from onespace import canvas
from onespace.canvas import Canvas, cut, legible, width


def written(text: str, path: Path) -> np.ndarray:
    """Where there is ink: (40, 300)."""
    sheet = Canvas(300, 40)
    sheet.text((10, 20), text, size=20)
    with Image.open(sheet.save(path)) as picture:
        return np.asarray(picture.convert("L")) < 128


def test_a_line_is_as_wide_as_it_says(tmp_path: Path) -> None:
    columns = np.nonzero(written("a blue whale", tmp_path / "a.png").any(0))[0]
    assert columns[0] == pytest.approx(10, abs=2)
    assert np.ptp(columns) == pytest.approx(width("a blue whale", 20), abs=4)


def test_a_line_is_cut_to_its_room() -> None:
    assert cut("whale", 20, 100) == "whale"
    short = cut("a whale that swims far away", 20, 100)
    assert "a whale that".startswith(short.removesuffix("..."))
    assert 80 < width(short, 20) <= 100


def test_an_edge_lies_inside_its_box(tmp_path: Path) -> None:
    sheet = Canvas(40, 40)
    sheet.box((10, 10, 20, 20), None, edge="#000000", line=3)
    with Image.open(sheet.save(tmp_path / "a.png")) as picture:
        dark = np.asarray(picture.convert("L")) < 128
    assert np.nonzero(dark[20])[0].tolist() == [10, 11, 12, 27, 28, 29]


def test_letters_without_a_font_never_become_boxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(canvas, "_machine_fonts", lambda: ())
    assert legible("一只蓝鲸", "item 1") == ("item 1", None)
    assert legible("logo.png + 一只蓝鲸", "item 1")[0] == "logo.png"
    assert legible("größe, café", "item 1")[0] == "grosse, cafe"
    assert legible("two\nlines", "item 1")[0] == "two lines"
    written("鲸", tmp_path / "a.png")
    assert not list(recwarn)


def test_a_font_of_the_machine_is_taken_where_it_has_the_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ImageFont.load_default(20)
    assert isinstance(own, ImageFont.FreeTypeFont)
    file = tmp_path / "font.ttf"
    file.write_bytes(own.font_bytes)
    monkeypatch.setattr(canvas, "_machine_fonts", lambda: (file,))
    monkeypatch.setattr(canvas, "_has", lambda font, text: font == file or text.isascii())
    assert legible("größe", "item 1") == ("größe", file)
    assert legible("plain", "item 1") == ("plain", None)
    assert written("größe", tmp_path / "a.png").any()
