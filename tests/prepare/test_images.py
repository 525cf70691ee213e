"""Awkward files: each becomes a picture, or one clear `ImageError`. Pillow's warnings would fail these tests."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import features

import onespace
from onespace.errors import ImageError
from onespace.prepare.images import MAX_PIXELS, measure, open_image
from onespace.spec import PixelSpec

OURS = PixelSpec(size=32)
REFERENCE = PixelSpec(size=32, fit="crop", order="resize-first", alpha="drop", exif=False)
PLAIN_DROP = PixelSpec(size=32, alpha="drop")


def saved(picture: PILImage.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def photo(mode: str = "RGB", size: tuple[int, int] = (20, 12)) -> PILImage.Image:
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    rgb = np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)
    return PILImage.fromarray(rgb).convert(mode)


def see_through() -> PILImage.Image:
    picture = photo("RGBA")
    picture.putalpha(PILImage.linear_gradient("L").resize(picture.size))
    return picture


def png(width: int, height: int, *, bits: int = 8, colour: int = 2, rows: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG written by hand, with any header; ``extra`` stands before the pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(extra)) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + head + text + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def icon(inner: bytes, stated: int = 16) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, stated, stated, 0, 0, 1, 32, len(inner), 22) + inner


def frames(kind: str) -> bytes:
    pictures = [PILImage.new("RGB", (20, 12), colour) for colour in ("red", "blue", "green")]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=50)


def exif(orientation: int) -> PILImage.Exif:
    tags = PILImage.Exif()
    tags[0x0112] = orientation
    return tags


def partly(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


GREY16 = np.linspace(0, 65535, 240).astype(">u2").reshape(12, 20)

PICTURES: dict[str, Callable[[], bytes]] = {
    "bilevel png": lambda: saved(photo("1"), "PNG"),
    "grey png": lambda: saved(photo("L"), "PNG"),
    "grey png with alpha": lambda: saved(see_through().convert("LA"), "PNG"),
    "grey png with one clear grey": lambda: saved(photo("L"), "PNG", transparency=7),
    "palette png": lambda: saved(photo("P"), "PNG"),
    "palette png with alpha": lambda: saved(photo("P"), "PNG", transparency=bytes(range(256))),
    "rgb png with one clear colour": lambda: saved(photo(), "PNG", transparency=(0, 0, 255)),
    "rgba png": lambda: saved(see_through(), "PNG"),
    "16-bit grey png": lambda: png(20, 12, bits=16, colour=0, rows=b"".join(b"\0" + r.tobytes() for r in GREY16)),
    "16-bit rgb png": lambda: png(20, 12, bits=16, colour=2, rows=(b"\0" + b"\x7f\xff" * 60) * 12),
    "gif": lambda: saved(photo(), "GIF"),
    "gif with a clear colour": lambda: saved(photo("P"), "GIF", transparency=3),
    "animated gif": lambda: frames("GIF"),
    "animated png": lambda: frames("PNG"),
    "animated webp": lambda: frames("WEBP"),
    "tiff of three pages": lambda: frames("TIFF"),
    "jpeg": lambda: saved(photo(), "JPEG"),
    "progressive jpeg": lambda: saved(photo(), "JPEG", progressive=True),
    "cmyk jpeg": lambda: saved(photo("CMYK"), "JPEG"),
    "grey jpeg": lambda: saved(photo("L"), "JPEG"),
    "jpeg with trailing rubbish": lambda: saved(photo(), "JPEG") + b"rubbish" * 100,
    "jpeg with damaged exif": lambda: saved(photo(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff rubbish"),
    "cmyk tiff": lambda: saved(photo("CMYK"), "TIFF"),
    "float tiff": lambda: saved(photo("L").convert("F"), "TIFF"),
    "32-bit tiff": lambda: saved(photo("L").convert("I"), "TIFF"),
    "16-bit tiff": lambda: saved(PILImage.fromarray(GREY16.astype("<u2")), "TIFF"),
    "compressed tiff": lambda: saved(photo(), "TIFF", compression="tiff_lzw"),
    "bmp": lambda: saved(photo(), "BMP"),
    "ppm": lambda: saved(photo(), "PPM"),
    "pgm": lambda: saved(photo("L"), "PPM"),
    "webp with alpha": lambda: saved(see_through(), "WEBP", lossless=True),
}
PICTURES |= {
    kind.lower(): (lambda kind=kind: saved(photo(), kind))  # type: ignore[misc]
    for kind, feature in (("AVIF", "avif"), ("JPEG2000", "jpg_2000"))
    if features.check(feature)
}
BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"this is no picture at all", "isn't a picture"),
    "svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "isn't a picture"),
    "postscript": (lambda: saved(photo(), "EPS"), "isn't a picture"),
    "pdf": (lambda: b"%PDF-1.4 rubbish", "isn't a picture"),
    "zeros": (lambda: bytes(1000), "isn't a picture"),
    "signature alone": (lambda: b"\x89PNG\r\n\x1a\n", "isn't a picture"),
    "half a png": (lambda: partly(saved(photo(size=(64, 64)), "PNG"), 0.5), "cut short"),
    "half a jpeg": (lambda: partly(saved(photo(size=(64, 64)), "JPEG"), 0.8), "cut short"),
    "half a webp": (lambda: partly(saved(photo(size=(64, 64)), "WEBP"), 0.5), "isn't a picture|cut short"),
    "half a bmp": (lambda: partly(saved(photo(), "BMP"), 0.5), "cut short"),
    "png without its pixels": (lambda: png(20, 12), "cut short"),
    "png of no width": (lambda: png(0, 12), "isn't a picture|no pixels"),
    "png that unfolds to 10^10 pixels": (lambda: png(100_000, 100_000), "100000 x 100000 pixels; at most"),
    "png just beyond the budget": (lambda: png(9460, 9460), "9460 x 9460 pixels; at most"),
    "png with a text that unfolds": (lambda: png(20, 12, extra=bytes(80_000_000)), "isn't a picture|cut short"),
    "icon that hides a giant": (lambda: icon(png(9460, 9460)), "9460 x 9460 pixels"),
    "icon that hides a giant bitmap": (
        lambda: icon(struct.pack("<IiiHHIIiiII", 40, 9460, 18920, 1, 32, 0, 0, 0, 0, 0, 0)),
        "9460 x 9460 pixels",
    ),
    "icon cut after its signature": (lambda: b"\0\0\1\0\1", "isn't a picture"),
    "tiff of numbers that aren't": (
        lambda: saved(PILImage.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"),
        "NaN",
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_an_awkward_file_is_a_picture(name):
    data = PICTURES[name]()
    for spec in (OURS, PLAIN_DROP):
        opened = open_image(data, where="item 0", pixels=spec)
        assert opened.picture.mode == "RGB"
        assert opened.picture.size == (20, 12)
    assert open_image(data, where="item 0", pixels=REFERENCE).picture.size == (20, 12)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_error_that_names_the_item(name):
    make, message = BROKEN[name]
    with pytest.raises(ImageError, match=message) as caught:
        open_image(make(), where="item 7", pixels=OURS)
    assert str(caught.value).startswith("item 7 (")
    assert str(caught.value).count(". ") >= 1, "no remedy"


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    with pytest.raises(ImageError, match=r"item 2 \(.*notes.png\) isn't a picture"):
        open_image(path, where="item 2", pixels=OURS)


def test_the_pixel_budget_is_a_parameter_and_pillows_own_limit_is_left_alone():
    data, before = PICTURES["jpeg"](), PILImage.MAX_IMAGE_PIXELS
    assert open_image(data, where="item 0", pixels=OURS, max_pixels=240).picture.size == (20, 12)
    for source in (data, photo(), np.zeros((12, 20), np.uint8)):
        with pytest.raises(ImageError, match="20 x 12 pixels; at most 239"):
            open_image(source, where="item 0", pixels=OURS, max_pixels=239)
    with pytest.raises(ImageError, match="at most 100 are read"):
        open_image(data, where="item 0", pixels=OURS, max_bytes=100)
    assert before == PILImage.MAX_IMAGE_PIXELS
    assert MAX_PIXELS >= 80_000_000


def test_sixteen_bits_are_scaled_and_dont_saturate():
    for name in ("16-bit grey png", "16-bit tiff"):
        opened = open_image(PICTURES[name](), where="item 0", pixels=OURS)
        grey = np.asarray(opened.picture)[:, :, 0]
        assert np.abs(grey.astype(int) - np.rint(GREY16 / 257.0)).max() == 0
        assert opened.notes == ("16 bits scaled to 8",)


def test_float_and_wide_greys_keep_their_range():
    ramp = np.linspace(0, 1, 240, dtype=np.float32).reshape(12, 20)
    cases = [(ramp, "0 to 1"), (ramp * 255, "0 to 255"), (ramp * 1000 - 300, "stretched")]
    for values, note in cases:
        opened = open_image(saved(PILImage.fromarray(values), "TIFF"), where="item 0", pixels=OURS)
        assert np.abs(np.asarray(opened.picture)[:, :, 0] - np.rint(ramp * 255)).max() <= 1
        assert note in opened.notes[0]
    constant = PILImage.fromarray(np.full((2, 2), 999.0, np.float32))
    assert open_image(constant, where="item 0", pixels=OURS).picture.mode == "RGB"


def test_transparency_over_white_or_ignored():
    clear = PILImage.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = PILImage.new("RGBA", (4, 4), (255, 0, 0, 128))
    over = open_image(clear, where="item 0", pixels=OURS)
    assert over.picture.getpixel((0, 0)) == (255, 255, 255)
    assert over.notes == ("alpha over white",)
    assert open_image(half, where="item 0", pixels=OURS).picture.getpixel((0, 0)) == (255, 127, 127)
    dropped = open_image(clear, where="item 0", pixels=PLAIN_DROP)
    assert dropped.picture.getpixel((0, 0)) == (255, 0, 0)
    assert dropped.notes == ("transparency ignored",)
    solid = PILImage.new("RGBA", (4, 4), (255, 0, 0, 255))
    assert open_image(solid, where="item 0", pixels=OURS).notes == ()
    assert open_image(clear, where="item 0", pixels=REFERENCE).picture.mode == "RGBA"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_upright_like_pillow(orientation):
    from PIL import ImageOps

    data = saved(photo(), "PNG", exif=exif(orientation))
    opened = open_image(data, where="item 0", pixels=OURS)
    with PILImage.open(io.BytesIO(data)) as picture:
        upright = ImageOps.exif_transpose(picture)
    assert np.array_equal(np.asarray(opened.picture), np.asarray(upright))
    assert opened.notes == (() if orientation == 1 else ("rotated by EXIF",))
    assert open_image(data, where="item 0", pixels=REFERENCE).picture.size == (20, 12)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_counts(kind):
    opened = open_image(frames(kind), where="item 0", pixels=OURS)
    assert opened.notes == ("first of 3 frames",)
    assert np.abs(np.array(opened.picture.getpixel((5, 5))) - (255, 0, 0)).max() < 16


def test_an_icon_and_a_pillow_picture():
    data = saved(photo("RGBA", (16, 16)), "ICO", sizes=[(16, 16)])
    assert open_image(data, where="item 0", pixels=OURS).picture.size == (16, 16)
    lazy = PILImage.open(io.BytesIO(PICTURES["jpeg"]()))
    assert open_image(lazy, where="item 0", pixels=OURS).picture.size == (20, 12)
    closed = PILImage.open(io.BytesIO(PICTURES["jpeg"]()))
    closed.fp.close()
    with pytest.raises(ImageError, match=r"item 0 \(JpegImageFile\) is damaged"):
        open_image(closed, where="item 0", pixels=OURS)


def test_a_remark_on_metadata_is_only_a_warning():
    data = PICTURES["jpeg with damaged exif"]()
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        assert open_image(data, where="item 0", pixels=OURS).picture.size == (20, 12)
    assert {remark.category for remark in remarks} <= {UserWarning}
    before = list(warnings.filters)
    assert open_image(data, where="item 0", pixels=OURS).picture.size == (20, 12)
    assert warnings.filters == before


def test_arrays_of_every_kind():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    rgb = np.stack([grey] * 3, axis=-1)
    clear = np.dstack([rgb, np.zeros_like(grey)])
    cases = [(grey, rgb), (grey[:, :, None], rgb), (rgb, rgb), (clear, np.full_like(rgb, 255)), (rgb[::-1], rgb[::-1])]
    cases += [(rgb / 255.0, rgb), ((rgb / 255.0).astype(np.float32), rgb), (grey > 3, np.where(rgb > 3, 255, 0))]
    for array, expected in cases:
        opened = open_image(array, where="item 0", pixels=OURS)
        assert np.array_equal(np.asarray(opened.picture), expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\).*Channels come last"),
        (np.zeros((8, 8, 2), np.uint8), r"shape \(8, 8, 2\)"),
        (np.zeros(8, np.uint8), r"shape \(8,\)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "shape"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
        (np.zeros((8, 8, 3), np.int64), "type int64"),
        (np.full((8, 8, 3), 255.0), "from 255 to 255; scale them to 0..1"),
        (np.full((8, 8), -0.5), "from -0.5"),
        (np.full((8, 8), np.nan), "from nan"),
        (np.array([["a"]]), "type <U1"),
    ],
)
def test_arrays_that_arent_pictures(array, message):
    with pytest.raises(ImageError, match=message):
        open_image(array, where="item 0", pixels=OURS)


def test_what_isnt_a_picture_at_all():
    with pytest.raises(ImageError, match=r"item 0 \(int\) isn't a picture"):
        open_image(5, where="item 0", pixels=OURS)


def test_one_lazy_picture_in_many_threads():
    data = saved(photo(size=(400, 300)), "PNG")
    expected = np.asarray(open_image(data, where="item 0", pixels=OURS).picture)
    for _ in range(5):
        lazy, out = PILImage.open(io.BytesIO(data)), []
        threads = [
            threading.Thread(target=lambda: out.append(open_image(lazy, where="item 0", pixels=OURS)))  # noqa: B023
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(out) == 4
        assert all(np.array_equal(np.asarray(opened.picture), expected) for opened in out)


SEEDS = [make() for name, make in PICTURES.items() if "three pages" not in name and "progressive" not in name]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), max_size=6)
)
def test_damage_anywhere_gives_a_picture_or_an_image_error(seed, damage):
    data = bytearray(seed)
    for at, value in damage:
        start = at % len(data)
        data[start : start + len(value)] = value
    try:
        opened = open_image(onespace.Image(bytes(data)), where="item 0", pixels=OURS, max_pixels=10**6)
    except ImageError:
        return
    assert opened.picture.mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "ICO"])
def test_a_picture_is_measured_by_its_header(kind):
    data = saved(photo(size=(32, 24)), kind)
    assert measure(data, where="item 0") == ((32, 24) if kind != "ICO" else PILImage.open(io.BytesIO(data)).size)
    with pytest.raises(ImageError, match="item 0 has"):
        measure(data, where="item 0", max_pixels=100)
    with pytest.raises(ImageError, match="isn't a picture"):
        measure(b"nothing", where="item 0")


def test_what_is_cut_short_is_measured_though_it_cannot_be_opened():
    data = png(32, 24)
    assert measure(data, where="item 0") == (32, 24)
    with pytest.raises(ImageError, match="cut short"):
        open_image(data, where="item 0", pixels=OURS)
