"""The reference's preprocessing to the bit; ours with right receipts, for the strangest shapes too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from onespace.errors import ImageError, ModelError
from onespace.prepare.images import open_image
from onespace.prepare.pixels import Placement, boxes, place, to_pixels
from onespace.spec import PixelSpec, Spec
from onespace.types import PictureReceipt

GOLDEN = Path(__file__).parents[1] / "golden" / "visualized-base-tiny"
REFERENCE = PixelSpec(size=224, fit="crop", order="resize-first", alpha="drop", exif=False)
BARE = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def noise(width: int, height: int) -> PILImage.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PILImage.fromarray(values)


def spec_of(fit: str, size: int = 32, **more: object) -> PixelSpec:
    return replace(PixelSpec(size=size, **BARE), fit=fit, **more)


@pytest.fixture(scope="module")
def expected():
    with np.load(GOLDEN / "expected.npz") as arrays:
        return {key: arrays[key] for key in arrays.files if key.startswith("preprocess/")}


@pytest.mark.parametrize("path", sorted((GOLDEN / "images").iterdir()), ids=lambda p: p.name)
def test_the_reference_to_the_bit(path, expected):
    opened = open_image(path, where="item 0", pixels=REFERENCE)
    pixels, receipt = to_pixels(opened.picture, REFERENCE, notes=opened.notes)
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, expected[f"preprocess/{path.name}"])
    short, long = sorted((receipt.width, receipt.height))
    assert abs(receipt.cropped - short * (long - short)) <= short, "off by more than the rounding of the long side"
    assert receipt.notes == ()


def test_a_crop_says_what_it_uses():
    _, receipt = to_pixels(noise(100, 50), spec_of("crop"))
    assert receipt == PictureReceipt(100, 50, used=(25.0, 0.0, 75.0, 50.0), scale=0.64)
    assert receipt.cropped == 2500


def test_padding_loses_nothing_and_fills_the_border():
    pixels, receipt = to_pixels(noise(100, 50), spec_of("pad", fill=(0, 255, 0)))
    assert receipt == PictureReceipt(100, 50, used=(0.0, 0.0, 100.0, 50.0), scale=0.32)
    assert receipt.cropped == 0
    green = np.array([0, 1, 0], np.float32)[:, None, None]
    assert (pixels[:, :8] == green).all()
    assert (pixels[:, 24:] == green).all()
    assert not (pixels[:, 8:24] == green).all(axis=0).any()


def test_squashing_fills_the_square_and_a_tiled_picture_gets_its_overview():
    picture = noise(100, 50)
    squashed, receipt = to_pixels(picture, spec_of("squash"))
    want = np.asarray(picture.resize((32, 32), PILImage.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal(squashed, want.astype(np.float32) / np.float32(255))
    assert (receipt.used, receipt.scale, receipt.cropped) == ((0.0, 0.0, 100.0, 50.0), 0.32, 0)
    assert np.array_equal(to_pixels(picture, spec_of("tile"))[0], to_pixels(picture, spec_of("pad"))[0])


def test_mean_and_deviation_are_per_channel():
    picture = PILImage.new("RGB", (32, 32), (255, 0, 51))
    pixels, _ = to_pixels(picture, PixelSpec(size=32, mean=(0.5, 0.25, 0.1), std=(0.5, 0.25, 0.2)))
    assert np.allclose(pixels[:, 0, 0], [1.0, -1.0, 0.5])


def test_filters_differ():
    results = [to_pixels(noise(90, 90), spec_of("pad", resample=f))[0] for f in ("bicubic", "bilinear", "lanczos")]
    assert not np.allclose(results[0], results[1])
    assert not np.allclose(results[0], results[2])


def test_transparency_when_resizing_comes_first():
    clear = PILImage.new("RGBA", (40, 40), (255, 0, 0, 0))
    white, receipt = to_pixels(clear, spec_of("crop", order="resize-first", alpha="white"))
    assert (white == 1).all()
    assert receipt.notes == ("alpha over white",)
    dropped, receipt = to_pixels(clear, spec_of("crop", order="resize-first", alpha="drop"))
    assert receipt.notes == ()
    assert not (dropped == 1).all()


def test_notes_are_handed_on():
    assert to_pixels(noise(4, 4), spec_of("pad"), notes=("rotated by EXIF",))[1].notes == ("rotated by EXIF",)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash", "tile"])
@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (3, 70_000), (31, 33)])
def test_strange_shapes(fit, size):
    pixels, receipt = to_pixels(noise(*size), spec_of(fit, size=224))
    assert pixels.shape == (3, 224, 224)
    assert np.isfinite(pixels).all()
    assert (receipt.width, receipt.height) == size
    left, top, right, bottom = receipt.used
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    assert (receipt.cropped == 0) == (fit != "crop" or size[0] == size[1])


def test_the_window_on_a_long_strip_shows_what_cutting_would():
    strip = noise(820, 40)  # beyond the ratio at which the window is used
    window, receipt = to_pixels(strip, spec_of("crop"))
    cut, same = to_pixels(strip, spec_of("crop", order="resize-first"))
    assert np.abs(window - cut).max() <= 1.01 / 255
    assert receipt == same


def test_the_reference_refuses_a_strip_whose_resized_form_would_be_huge():
    with pytest.raises(ImageError, match=r"item 5 has 1 x 5000 pixels.*224 x 1120000.*fit='pad'"):
        to_pixels(noise(1, 5000), REFERENCE, where="item 5")


def test_boxes_row_by_row():
    _, receipt = to_pixels(noise(100, 50), spec_of("crop"))
    assert boxes(receipt, spec_of("crop"), 2).tolist() == [
        [25, 0, 50, 25],
        [50, 0, 75, 25],
        [25, 25, 50, 50],
        [50, 25, 75, 50],
    ]


def test_boxes_in_the_border_are_nan():
    _, receipt = to_pixels(noise(100, 50), spec_of("pad"))
    rows = boxes(receipt, spec_of("pad"), 4).reshape(4, 4, 4)
    assert np.isnan(rows[[0, 3]]).all()
    assert rows[1, 0].tolist() == [0, 0, 25, 25]
    assert rows[2, 3].tolist() == [75, 25, 100, 50]


def test_boxes_of_a_grid_that_leaves_a_rest():
    """384 pixels hold 27 patches of 14; the last 6 pixels belong to no patch."""
    receipt = PictureReceipt(384, 384, used=(0, 0, 384, 384), scale=1)
    assert boxes(receipt, spec_of("squash", size=384), 27)[-1].tolist() == [364, 364, 378, 378]


# -- the margin of fit="pad" ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "margin", "expected"),
    [
        ((128, 128), 0.0, Placement(128, 128, 0, 0)),
        ((128, 128), 0.08, Placement(108, 108, 10, 10)),
        ((64, 64), 0.08, Placement(108, 108, 10, 10)),  # a small picture is enlarged to the same room
        ((400, 200), 0.25, Placement(64, 32, 32, 48)),
        ((200, 400), 0.25, Placement(32, 64, 48, 32)),
        ((5000, 1), 0.49, Placement(3, 1, 62, 63)),
    ],
)
def test_a_margin_leaves_its_share_free_on_every_side(size, margin, expected):
    assert place(*size, spec_of("pad", size=128, margin=margin)) == expected
    assert place(*size, spec_of("tile", size=128, margin=margin)) == expected


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_only_padding_has_a_margin(fit):
    assert place(90, 40, spec_of(fit, margin=0.2)) == place(90, 40, spec_of(fit))


def test_a_margin_has_the_colour_of_the_border_and_the_picture_is_whole_within():
    picture, spec = noise(100, 50), spec_of("pad", fill=(0, 255, 0), margin=0.125)
    pixels, receipt = to_pixels(picture, spec)
    assert receipt == PictureReceipt(100, 50, used=(0.0, 0.0, 100.0, 50.0), scale=0.24)
    assert receipt.cropped == 0
    within = np.asarray(picture.resize((24, 12), PILImage.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal(pixels[:, 10:22, 4:28], within.astype(np.float32) / np.float32(255))
    border = np.ones((32, 32), bool)
    border[10:22, 4:28] = False
    assert (pixels[:, border] == np.array([[0], [1], [0]], np.float32)).all()


def test_boxes_behind_a_margin():
    """A picture of 64 x 64 stands on a quarter of the square: 4 of 16 patches, or the inner part of 4 patches."""
    receipt = PictureReceipt(64, 64, used=(0, 0, 64, 64), scale=0.25)
    rows = boxes(receipt, spec_of("pad", margin=0.25), 4).reshape(4, 4, 4)
    assert np.isnan(rows[[0, 3]]).all()
    assert np.isnan(rows[:, [0, 3]]).all()
    assert rows[1:3, 1:3].reshape(-1, 4).tolist() == [
        [0, 0, 32, 32],
        [32, 0, 64, 32],
        [0, 32, 32, 64],
        [32, 32, 64, 64],
    ]
    few = boxes(receipt, spec_of("pad", margin=0.25), 2)
    assert few.tolist() == rows[1:3, 1:3].reshape(-1, 4).tolist()


@pytest.mark.parametrize("margin", [-0.01, 0.5, 3, float("nan"), "0.1", None])
def test_a_margin_that_leaves_no_room_is_refused(margin):
    with pytest.raises(ModelError, match=r"pixels\.margin is .*from 0 to less than 0\.5"):
        PixelSpec(size=32, margin=margin)
    spec = {"name": "m", "family": "mini", "text": None, "image": None, "heads": {"dense": 4}, "max_tokens": 8}
    assert Spec.from_dict(spec | {"pixels": {"size": 32, "margin": 0.49}}).pixels == PixelSpec(size=32, margin=0.49)
    with pytest.raises(ModelError, match=r"pixels\.margin is"):
        Spec.from_dict(spec | {"pixels": {"size": 32, "margin": margin}})


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.sampled_from(["crop", "pad", "squash"]),
    st.sampled_from([1, 2, 7, 14, 16]),
    st.sampled_from([0.0, 0.08, 0.3]),
)
def test_boxes_tile_the_used_part(width, height, fit, grid, margin):
    spec = spec_of(fit, size=112, margin=margin)
    if fit == "pad" and max(width, height) > 112 * (1 - 2 * margin) * min(width, height):
        return
    used = to_pixels(PILImage.new("L", (width, height)), spec)[1].used if width * height < 10**5 else None
    receipt = PictureReceipt(width, height, used=used or (0, 0, width, height), scale=1)
    found = boxes(receipt, spec, grid)
    assert found.shape == (grid * grid, 4)
    seen = found[~np.isnan(found).any(axis=1)].astype(np.float64)
    area = ((seen[:, 2] - seen[:, 0]) * (seen[:, 3] - seen[:, 1])).sum()
    assert len(seen) > 0
    if used is not None:
        assert np.isclose(area, (used[2] - used[0]) * (used[3] - used[1]), rtol=1e-3)
        assert np.allclose([*seen[:, :2].min(0), *seen[:, 2:].max(0)], used, rtol=1e-4, atol=1e-2)
