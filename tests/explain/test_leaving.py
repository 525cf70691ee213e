from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.errors import InputError
from onespace.explain.leaving import border_colour, grid, without_each
from onespace.spec import PixelSpec
from onespace.types import Pair


@pytest.mark.parametrize("size", [(30, 30), (200, 50), (7, 100), (1, 1), (3, 2)])
def test_cells_tile_the_picture(size: tuple[int, int]) -> None:
    covered = np.zeros(size[::-1], int)
    for left, top, right, bottom in grid(*size, 36):
        assert left < right
        assert top < bottom
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


def test_one_cell_is_painted_over_in_the_colour_of_the_border() -> None:
    picture = PILImage.new("RGB", (20, 10), "white")
    picture.paste("black", (4, 4, 8, 8))
    changed, places = without_each(picture, PixelSpec(size=8), 2)
    assert [place.box for place in places] == [(0, 0, 10, 10), (10, 0, 20, 10)]
    first, second = (np.asarray(image) for image in changed)
    assert (first == 255).all()
    assert (second == np.asarray(picture)).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16", "CMYK"])
@pytest.mark.parametrize("order", ["rgb-first", "resize-first"])
def test_pictures_of_any_mode(mode: str, order: str) -> None:
    source = PILImage.new("L", (8, 8), 200)
    picture = PILImage.new("I;16", (8, 8), 900) if mode == "I;16" else source.convert(mode)
    changed, _ = without_each(picture, PixelSpec(size=8, order=order), 4)  # type: ignore[arg-type]
    assert len(changed) == 4
    assert all(isinstance(image, PILImage.Image) for image in changed)


def test_a_pair_loses_one_word_or_one_cell_at_a_time() -> None:
    one, two = (PILImage.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    changed, places = without_each(Pair("a b", [one, two]), PixelSpec(size=8), 1)
    assert [(place.kind, place.text, place.picture) for place in places] == [
        ("word", "a", 0), ("word", "b", 0), ("cell", "", 0), ("cell", "", 1),
    ]  # fmt: skip
    assert [item.text for item in changed if isinstance(item, Pair)] == [" b", "a ", "a b", "a b"]


def test_the_border_of_a_grey_picture_is_one_number() -> None:
    assert border_colour(PILImage.new("L", (3, 3), 7)) == 7
    assert border_colour(PILImage.new("RGBA", (3, 3), (1, 2, 3, 4))) == (1, 2, 3, 4)


def test_a_model_without_pictures_says_so() -> None:
    with pytest.raises(InputError, match="takes no pictures"):
        without_each(PILImage.new("RGB", (8, 8)), None, 4)
