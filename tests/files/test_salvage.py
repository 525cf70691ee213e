from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.compare import compare, loss, name
from onespace.encoder import Encoder
from onespace.errors import ImageError, InputError
from onespace.files.salvage import reason, salvage
from onespace.types import Image, Pair, PictureReceipt, Receipt


def test_what_is_whole_is_encoded_and_the_rest_is_named(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    items = ["whale", Path("gone.png"), pictures[0], b"junk", Pair("sea", pictures[1]), Pair("sea", Path("no (1).png"))]
    result = salvage(tiny_encoder, items)
    assert result.kept == (0, 2, 4)
    assert [b.index for b in result.broken] == [1, 3, 5]
    assert result.broken[0].reason.startswith("doesn't exist")
    assert result.broken[1].reason.startswith("isn't a picture")
    assert result.broken[2].reason.startswith("doesn't exist")
    alone = tiny_encoder.encode([items[i] for i in result.kept])
    assert np.allclose(result.embeddings.dense, alone.dense, atol=1e-6)


def test_nothing_whole(tiny_encoder: Encoder) -> None:
    result = salvage(tiny_encoder, [b"junk"])
    assert len(result.embeddings) == 0
    assert result.embeddings.dense is not None
    assert result.embeddings.dense.shape == (0, 32)


def test_a_wrong_argument_is_not_blamed_on_the_items(tiny_encoder: Encoder) -> None:
    with pytest.raises(InputError, match="heads="):
        salvage(tiny_encoder, ["whale"], heads=("sprase",))  # type: ignore[arg-type]


def test_a_loss_may_count_as_broken(tiny_encoder: Encoder) -> None:
    result = salvage(tiny_encoder, ["whale " * 200, "whale"], on_loss="error")
    assert result.kept == (1,)


def test_one_of_several_pictures_is_named() -> None:
    pair = Pair("x", [Path("a.png"), Path("b.png")])
    assert reason(ImageError("item 0, picture 1 (b.png) is empty."), pair) == "picture 1 is empty."


def test_compare_stops_at_a_broken_item_or_leaves_it_out(tiny_encoder: Encoder) -> None:
    items = ["whale", Path("gone.png"), "sea"]
    with pytest.raises(InputError, match=r"^gone\.png: doesn't exist"):
        compare(tiny_encoder, items)
    result = compare(tiny_encoder, items, skip_broken=True)
    assert result.labels == ("whale", "sea")
    assert result.matrix.shape == (2, 2)
    assert result.broken[0][0] == "gone.png"


def test_a_loss_in_words() -> None:
    half = PictureReceipt(width=100, height=50, used=(25, 0, 75, 50), scale=1)
    told = loss(Receipt("pair", 3, tokens_dropped=2, pictures=(half,)))
    assert told == "the last 2 of 5 tokens were cut off; 50% of the 100x50 picture was cropped away"


def test_names_of_odd_items(pictures: list[PILImage.Image]) -> None:
    assert name(pictures[0]) == name(b"x") == name(Image("data:image/png;base64,AA")) == "picture"
    assert name(Image("a/b.png")) == "b.png"
