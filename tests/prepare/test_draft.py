"""Large JPEGs read as drafts: nearly the same pixels, and the receipt still tells of the original."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.encoder import Encoder
from onespace.prepare.images import open_image
from onespace.spec import PixelSpec

SPEC = PixelSpec(size=32)


def photo(width: int, height: int, kind: str = "JPEG", *, turned: bool = False) -> bytes:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    exif = PILImage.Exif()
    if turned:
        exif[0x0112] = 6
    out = io.BytesIO()
    picture = PILImage.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))
    picture.save(out, kind, exif=exif)
    return out.getvalue()


def test_a_large_jpeg_is_read_at_a_fraction_of_its_size() -> None:
    opened = open_image(photo(1024, 600), where="item 0", pixels=SPEC, draft=64)
    assert opened.picture.size == (128, 75)
    assert opened.full == (1024, 600)


@pytest.mark.parametrize("data", [photo(100, 90), photo(1024, 600, "PNG")], ids=["small", "png"])
def test_others_are_read_whole(data: bytes) -> None:
    opened = open_image(data, where="item 0", pixels=SPEC, draft=64)
    assert opened.full == (0, 0)
    assert min(opened.picture.size) >= 90


def test_a_turned_draft_knows_its_upright_size() -> None:
    opened = open_image(photo(1024, 600, turned=True), where="item 0", pixels=SPEC, draft=64)
    assert opened.picture.size == (75, 128)
    assert opened.full == (600, 1024)


def test_an_encoder_with_drafts_gives_nearly_the_same(tiny_encoder: Encoder) -> None:
    data = photo(1024, 600, turned=True)
    whole, draft = tiny_encoder.encode(data), tiny_encoder.with_draft().encode(data)
    assert whole.dense is not None
    assert draft.dense is not None
    assert (whole.dense * draft.dense).sum() > 0.999
    before, after = whole.receipts[0].pictures[0], draft.receipts[0].pictures[0]
    assert (after.width, after.height) == (before.width, before.height) == (600, 1024)
    assert after.scale == pytest.approx(before.scale, rel=0.05)
    assert after.used == pytest.approx(before.used)
    assert "read as a draft of 75 x 128" in after.notes
    assert whole.multi is not None
    assert draft.multi is not None
    assert np.allclose(whole.multi.boxes(0), draft.multi.boxes(0), atol=16, equal_nan=True)


def test_tiled_pictures_are_read_whole(tiny_encoder: Encoder) -> None:
    data = photo(1024, 600)
    plain, draft = (e.with_fit("tile").encode(data) for e in (tiny_encoder, tiny_encoder.with_draft()))
    assert plain.dense is not None
    assert draft.dense is not None
    assert np.array_equal(plain.dense, draft.dense)
