"""Every mode that Pillow knows becomes RGB, or one error names it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.errors import ImageError
from onespace.prepare.colour import plain_rgb, to_rgb

MODES = ("1", "L", "P", "PA", "LA", "La", "I", "F", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I;16")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("alpha", ["white", "drop"])
def test_every_mode_becomes_rgb(mode, alpha):
    rgb, notes = to_rgb(PILImage.new(mode, (3, 2)), alpha=alpha, where="item 0")
    assert rgb.mode == "RGB"
    assert rgb.size == (3, 2)
    assert all(isinstance(note, str) for note in notes)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("La",)])
def test_plain_conversion_is_pillows_own(mode):
    picture = PILImage.new(mode, (3, 2), 1)
    assert np.array_equal(np.asarray(plain_rgb(picture, where="item 0")), np.asarray(picture.convert("RGB")))


def test_plain_conversion_ignores_transparency_without_a_warning():
    picture = PILImage.new("P", (3, 2))
    picture.info["transparency"] = bytes(256)
    assert plain_rgb(picture, where="item 0").getpixel((0, 0)) == (0, 0, 0)
    assert "transparency" in picture.info, "the caller's picture was changed"


def test_a_mode_without_an_rgb_form_is_one_error():
    with pytest.raises(ImageError, match=r"item 4 has the colour mode La.*Save it as RGB"):
        plain_rgb(PILImage.new("La", (3, 2)), where="item 4")
