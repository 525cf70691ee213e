"""A model whose pictures stand within a margin: kept, exported, explained, cut into cells and served alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from tiny_model import TEXTS, tiny_fused, tiny_spec

import onespace
from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.explain import explain
from onespace.explain.explanation import leave_one_out
from onespace.explain.view import heat
from onespace.export import export_onnx
from onespace.families.mini import save
from onespace.prepare.pixels import to_pixels
from onespace.spec import PixelSpec
from onespace.types import Fit, Item, Pair

PIXELS = PixelSpec(size=32, margin=0.125)


@pytest.fixture(scope="module")
def model() -> Encoder:
    return tiny_fused(tiny_spec(pixels=PIXELS))


@pytest.fixture
def items(pictures: list[PILImage.Image]) -> list[Item]:
    return [*pictures, Pair(TEXTS[0], pictures[0]), Pair(TEXTS[1], pictures[:2])]


def same(a: Embeddings, b: Embeddings) -> None:
    np.testing.assert_allclose(a.dense, b.dense, atol=1e-5)
    assert a.multi is not None
    assert b.multi is not None
    np.testing.assert_allclose(a.multi.values, b.multi.values, atol=1e-5)
    np.testing.assert_array_equal(a.multi.places, b.multi.places)


def test_a_margin_changes_pictures_alone(model: Encoder, tiny_encoder: Encoder, items: list[Item]) -> None:
    got, without = model.encode([TEXTS[0], *items]), tiny_encoder.encode([TEXTS[0], *items])
    distances = np.linalg.norm(np.asarray(got.dense) - np.asarray(without.dense), axis=1)
    assert distances[0] == 0
    assert (distances[1:] > 1e-3).all()


def test_it_is_saved_and_loaded(model: Encoder, items: list[Item], tmp_path: Path) -> None:
    save(model, tmp_path)
    assert json.loads((tmp_path / "onespace.json").read_text("utf-8"))["pixels"]["margin"] == 0.125
    loaded = onespace.load(tmp_path)
    assert loaded.spec == model.spec
    same(loaded.encode(items), model.encode(items))


def test_it_is_exported_and_loaded(model: Encoder, items: list[Item], tmp_path: Path) -> None:
    export_onnx(model, tmp_path, precision="fp32")
    assert json.loads((tmp_path / "onespace.json").read_text("utf-8"))["pixels"]["margin"] == 0.125
    loaded = onespace.load(tmp_path)
    assert loaded.spec.pixels == PIXELS
    same(loaded.encode(items), model.encode(items))


def test_a_heat_map_covers_the_picture_and_no_margin(model: Encoder) -> None:
    picture = PILImage.new("RGB", (96, 48), "white")
    picture.paste("red", (60, 10, 90, 40))
    asked, found = model.encode([TEXTS[1]], role="query"), model.encode([picture])
    field = explain(asked, 0, found, 0, metric="maxsim").field
    assert field is not None
    # on the square it is a quarter of its size, 24 x 12, from (4, 10) on: it reaches into 4 x 2 patches of 8 pixels
    assert field.boxes.tolist() == [
        [left, top, right, bottom]
        for top, bottom in ((0, 24), (24, 48))
        for left, right in ((0, 16), (16, 48), (48, 80), (80, 96))
    ]
    surface = heat(field, picture.size)
    assert surface.shape == (48, 96)
    assert np.isfinite(surface).all()
    left, top, right, bottom = field.best
    assert 0 <= left < right <= 96
    assert 0 <= top < bottom <= 48


def test_cells_and_what_is_left_out_are_boxes_of_the_original(model: Encoder) -> None:
    picture = PILImage.fromarray(np.random.default_rng(0).integers(0, 256, (40, 120, 3), dtype=np.uint8))
    e = model.with_fit("tile").encode([picture])
    assert e.parts is not None
    assert e.multi is not None
    assert e.parts.boxes[0].tolist() == [0, 0, 120, 40]
    for row, (left, top, right, bottom) in enumerate(e.parts.boxes.tolist()):
        seen = e.multi.boxes(row)
        seen = seen[np.isfinite(seen).all(1)]
        assert [*seen[:, :2].min(0), *seen[:, 2:].max(0)] == [left, top, right, bottom]
    lost = leave_one_out(model, model.encode([TEXTS[0]], role="query"), 0, picture, cells=3)
    places = sorted(part.box for part in lost.parts if part.kind == "cell" and part.box)
    assert places == [(0, 0, 40, 40), (40, 0, 80, 40), (80, 0, 120, 40)]


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_another_fit_fills_the_square(model: Encoder, tiny_encoder: Encoder, fit: Fit, items: list[Item]) -> None:
    same(model.with_fit(fit).encode(items), tiny_encoder.with_fit(fit).encode(items))


@pytest.mark.parametrize(("border", "free"), [((20, 30, 90), (20, 30, 90)), (None, (255, 255, 255))])
def test_what_is_free_takes_the_colour_of_a_plain_border(
    border: tuple[int, int, int] | None, free: tuple[int, int, int]
) -> None:
    stripes = np.arange(40, dtype=np.uint8).repeat(40).reshape(40, 40, 1).repeat(3, 2) * 6
    picture = PILImage.fromarray(stripes) if border is None else PILImage.new("RGB", (40, 40), border)
    spec = PixelSpec(size=20, margin=0.1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    pixels, _ = to_pixels(picture, spec)
    assert (255 * pixels[:, 0, 0]).round().tolist() == list(free)
    assert (255 * pixels[:, -1, 10]).round().tolist() == list(free)


def test_the_margin_of_a_transparent_picture_is_white(model: Encoder) -> None:
    picture = PILImage.new("RGBA", (40, 40), (200, 20, 20, 255))
    opaque = picture.convert("RGB")
    picture.putpixel((0, 0), (0, 0, 0, 0))
    spec = PixelSpec(size=20, margin=0.1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    pixels, receipt = to_pixels(picture, spec)
    assert receipt.notes == ("alpha over white",)
    assert (255 * pixels[:, 0, 10]).round().tolist() == [255, 255, 255]
    assert (255 * to_pixels(opaque, spec)[0][:, 0, 10]).round().tolist() == [200, 20, 20]
    seen, plain = model.encode([picture]), model.encode([opaque])  # the encoder lays it over white before that
    assert np.linalg.norm(seen.dense - plain.dense) > 1e-2
