"""Every spelling of an item becomes one form; everything else is refused by its index, with a remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

import onespace
from onespace.errors import ImageError, InputError
from onespace.prepare.items import normalise

PICTURE = PILImage.new("RGB", (2, 2))
ARRAY = np.zeros((2, 2, 3), dtype=np.uint8)


def test_a_string_is_text_even_when_it_looks_like_a_path():
    item = normalise("logo.png", 4)
    assert (item.index, item.modality, item.text, item.images) == (4, "text", "logo.png", ())


def test_numpy_strings_become_plain_ones():
    assert type(normalise(np.str_("a"), 0).text) is str


@pytest.mark.parametrize(
    "picture",
    [Path("a.png"), b"\x89PNG", PICTURE, ARRAY, onespace.Image("a.png"), onespace.Image(b"x")],
    ids=lambda p: type(p).__name__,
)
def test_pictures_alone_and_in_pairs(picture):
    alone, pair = normalise(picture, 0), normalise(onespace.Pair("", picture), 0)
    assert (alone.modality, alone.text, len(alone.images)) == ("image", "", 1)
    assert (pair.modality, pair.text) == ("pair", "")
    assert alone.images[0] is picture
    assert pair.images[0] is picture


def test_a_pair_with_several_pictures_keeps_their_order():
    pictures = [Path("b.png"), Path("a.png"), PICTURE]
    assert normalise(onespace.Pair("two", pictures), 0).images == tuple(pictures)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (None, "item 3 is a None.*empty text"),
        (7, "item 3 is a int.*onespace.Pair"),
        (1.5, "item 3 is a float"),
        ({"text": "a"}, r"item 3 is a dict.*Pair\(text="),
        (["a"], "item 3 is a list.*flatten"),
        (("a", Path("b.png")), "item 3 is a tuple.*Pair"),
        (bytearray(b"a"), r"item 3 is a bytearray.*bytes\("),
        (np.float32(1), "item 3 is a float32.*numpy array"),
        (onespace.Pair("a", []), "item 3 is a Pair without a picture"),
        (onespace.Pair("a", None), "item 3 is a None"),
        (onespace.Pair(None, PICTURE), "item 3: the text of a Pair is a None"),
        (onespace.Pair("a", "logo.png"), r"item 3: the picture of a Pair is a str.*onespace.Image\('logo.png'\)"),
        (onespace.Pair("a", [PICTURE, 5]), "item 3, picture 1 is a int"),
        (onespace.Image(ARRAY), "item 3: onespace.Image holds a ndarray"),
    ],
)
def test_what_is_no_item_is_named_with_a_remedy(item, message):
    with pytest.raises(InputError, match=message):
        normalise(item, 3)


def test_remote_addresses_need_permission_and_https():
    with pytest.raises(ImageError, match=r"item 0: https://x.org/a.png is a remote address.*allow_remote=True"):
        normalise(onespace.Image("https://x.org/a.png"), 0)
    with pytest.raises(ImageError, match="isn't https"):
        normalise(onespace.Image("http://x.org/a.png", allow_remote=True), 0)
    assert normalise(onespace.Image("https://x.org/a.png", allow_remote=True), 0).modality == "image"
