from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from onespace.errors import InputError
from onespace.prepare.cells import Picture, Square, Tiling, grid, look
from onespace.prepare.pixels import to_pixels
from onespace.spec import PixelSpec

SPEC = PixelSpec(size=32)
CROP = PixelSpec(size=32, fit="crop")
DRAWINGS = Path(__file__).parents[1] / "data" / "drawings"


def noise(width: int, height: int, seed: int = 0) -> PILImage.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PILImage.fromarray(values)


def covered(size: tuple[int, int], squares: list[Square]) -> np.ndarray:
    seen = np.zeros(size[::-1], bool)
    for left, top, right, bottom in squares:
        seen[top:bottom, left:right] = True
    return seen


def cells(picture: PILImage.Image, spec: PixelSpec = SPEC, tiling: Tiling | None = None) -> list[Square]:
    receipt = to_pixels(picture, spec)[1]
    return grid(picture, tiling or Tiling(), spec=spec, receipt=receipt)


def boxes(pictures: tuple[Picture, ...]) -> list[tuple[float, ...]]:
    return [p.part.box for p in pictures]


sides = st.integers(1, 260)


@settings(deadline=None, max_examples=60)
@given(
    sides, sides, st.sampled_from(["crop", "pad", "squash"]), st.sampled_from([0.0, 0.3, 0.5, 0.8]), st.integers(1, 40)
)
def test_cells_cover_every_pixel_and_stay_within_their_number(
    width: int, height: int, fit: str, overlap: float, most: int
) -> None:
    spec = PixelSpec(size=32, fit=fit)  # type: ignore[arg-type]
    overview, *rest = look(noise(width, height), spec, tiling=Tiling(overlap=overlap, max_cells=most))
    assert len(rest) <= most
    assert all(p.receipt.tiles == 1 + len(rest) for p in (overview, *rest))
    if rest or overview.own.cropped:
        squares: list[Square] = [tuple(map(int, p.part.box)) for p in rest]  # type: ignore[misc]
        assert covered((width, height), squares).all()
    assert overview.receipt.cropped == 0
    assert all(p.receipt.cropped == p.own.cropped == 0 for p in rest)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_what_no_cell_shows_is_blank(data: st.DataObject) -> None:
    board = PILImage.new("RGB", (data.draw(st.integers(60, 300)), data.draw(st.integers(60, 300))), (240, 240, 255))
    for seed in range(data.draw(st.integers(0, 4))):
        spot = noise(data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40)), seed)
        board.paste(spot, (data.draw(st.integers(1, 250)), data.draw(st.integers(1, 250))))
    found = look(board, CROP, tiling=Tiling())[1:]
    squares: list[Square] = [tuple(map(int, p.part.box)) for p in found]  # type: ignore[misc]
    hidden = np.asarray(board)[~covered(board.size, squares)]
    assert np.abs(hidden.astype(int) - (240, 240, 255)).max(initial=0) <= 12


def test_the_shape_of_the_grid_follows_the_picture() -> None:
    one = Tiling(scales=(1.0,))
    assert cells(noise(1000, 200), tiling=one) == [(x, 0, x + 200, 200) for x in range(0, 801, 100)]
    assert cells(noise(200, 1000), tiling=one) == [(0, y, 200, y + 200) for y in range(0, 801, 100)]
    wide = cells(noise(2000, 20), tiling=Tiling(max_cells=5))
    assert len(wide) == 5
    assert all(bottom == 20 and right - left > 20 for left, _, right, bottom in wide)


def test_finer_scales_add_smaller_cells_while_there_is_room() -> None:
    found = cells(noise(300, 200), tiling=Tiling(scales=(1.0, 2.0), max_cells=32))
    assert sorted({right - left for left, _, right, _ in found}) == [100, 200]
    few = cells(noise(300, 200), tiling=Tiling(scales=(1.0, 2.0), max_cells=3))
    assert {right - left for left, _, right, _ in few} == {200}


def test_small_pictures_stay_whole() -> None:
    assert len(look(noise(32, 20), SPEC, tiling=Tiling())) == 1
    assert len(look(noise(60, 60), SPEC, tiling=Tiling(), enlarge=2.0)) == 1
    assert len(look(noise(32, 20), CROP, tiling=Tiling(), enlarge=2.0)) > 1  # it would lose its ends
    assert len(look(noise(60, 60), SPEC)) == 1


def test_a_cell_lies_close_around_a_thing_on_a_plain_ground() -> None:
    board = PILImage.new("RGB", (400, 300), "white")
    board.paste(noise(50, 40), (120, 90))
    assert (120.0, 90.0, 170.0, 130.0) in boxes(look(board, SPEC, tiling=Tiling(scales=(1.0,))))
    assert look(PILImage.new("RGB", (400, 300), "white"), SPEC, tiling=Tiling())[1:] == ()


def test_cells_that_repeat_others_are_left_out() -> None:
    tile = np.asarray(noise(64, 64))
    board = PILImage.fromarray(np.tile(tile, (2, 4, 1)))  # every second cell is the same
    squares = cells(board, tiling=Tiling(scales=(1.0,), overlap=0.5))
    assert len(squares) < 5
    assert covered(board.size, squares).all()


def test_patches_of_a_cell_know_their_place_in_the_original() -> None:
    picture = noise(200, 100)
    _, *found = look(picture, SPEC, tiling=Tiling(scales=(1.0,)))
    last = found[-1]
    assert last.part.box == (100.0, 0.0, 200.0, 100.0)
    places = last.boxes(4)
    assert places[0].tolist() == [100, 0, 125, 25]
    assert places[-1].tolist() == [175, 75, 200, 100]
    np.testing.assert_array_equal(last.pixels, to_pixels(picture.crop((100, 0, 200, 100)), SPEC)[0])
    assert last.receipt.scale == pytest.approx(0.32)
    assert found[0].boxes(4)[0].tolist() == [0, 0, 25, 25]


def test_a_margin_lies_around_the_overview_and_around_every_cell() -> None:
    picture, spec = noise(200, 100), replace(SPEC, margin=0.25, fill=(0, 0, 0))
    overview, *found = look(picture, spec, tiling=Tiling(scales=(1.0,)))
    assert boxes((overview, *found)) == boxes(look(picture, SPEC, tiling=Tiling(scales=(1.0,))))
    last = found[-1]
    np.testing.assert_array_equal(last.pixels, to_pixels(picture.crop((100, 0, 200, 100)), spec)[0])
    assert last.receipt.scale == pytest.approx(0.16)
    places = last.boxes(4).reshape(4, 4, 4)
    assert places[1, 1].tolist() == [100, 0, 150, 50]
    assert places[2, 2].tolist() == [150, 50, 200, 100]
    assert np.isnan(places[0]).all()
    assert np.isnan(places[:, 3]).all()
    for place in (overview, *found):
        assert (place.pixels[:, :8] == place.pixels[:, :1, :1]).all(), "the margin is of one colour"


def test_large_pictures_are_judged_small_and_cut_in_their_own_pixels() -> None:
    board = PILImage.new("RGB", (5000, 300), "white")
    board.paste(noise(300, 200), (4000, 60))
    (left, top, right, bottom), *_ = cells(board)
    assert left <= 4000
    assert top <= 60
    assert right >= 4300
    assert bottom >= 260


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "1", "I;16", "CMYK"])
def test_any_mode_is_cut_in_its_own(mode: str) -> None:
    values = np.random.default_rng(0).integers(0, 255, (40, 100), dtype=np.uint8)
    grey = PILImage.fromarray(values)
    picture = PILImage.fromarray(values.astype(np.uint16) * 200) if mode == "I;16" else grey.convert(mode)
    assert len(look(picture, PixelSpec(size=32, order="resize-first"), tiling=Tiling())) > 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": ()}, r"scales=\(\)"),
        ({"scales": (2.0, 1.0)}, "must rise"),
        ({"scales": (0.5,)}, "from 1 or more"),
        ({"overlap": 1.0}, "overlap=1.0"),
        ({"max_cells": 0}, "max_cells=0"),
    ],
)
def test_a_tiling_that_makes_no_sense_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tiling(**arguments)  # type: ignore[arg-type]


def test_the_drawings_of_the_tests_are_complete() -> None:
    names = json.loads((DRAWINGS / "names.json").read_text("utf-8"))
    assert {f"{code}.png" for code in names} == {p.name for p in DRAWINGS.glob("*.png")}
    assert all(set(said) == {"en", "zh", "es", "sw", "hi"} for said in names.values())
    assert "CC-BY" in (DRAWINGS / "ATTRIBUTION.md").read_text("utf-8")
