from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onespace.cli.compare import name_files
from onespace.cli.main import main

Run = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two good pictures in the working directory."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    for name in ("a.png", "b.png"):
        Image.fromarray(random.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(name)
    return tmp_path


def compared(model: str, *argv: str, capsys: Run) -> dict:
    assert main(["compare", *argv, "--model", model, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_the_order_is_as_typed(folder: Path, model_folder: str, capsys: Run) -> None:
    words = ["--text", "a whale", "b.png", "--pair", "a.png", "sea", "--text=lake", "a.png"]
    result = compared(model_folder, *words, capsys=capsys)
    assert result["labels"] == ["a whale", "b.png", "a.png + sea", "lake", "a.png"]
    matrix = np.array(result["matrix"])
    assert matrix.shape == (5, 5)
    assert np.allclose(np.diag(matrix), 1, atol=1e-5)
    assert np.allclose(matrix, matrix.T, atol=1e-5)
    assert matrix[0, 1] < 0.999


def test_a_value_that_looks_like_a_file_stays_a_value(folder: Path, model_folder: str, capsys: Run) -> None:
    assert compared(model_folder, "--text", "a.png", capsys=capsys)["receipts"][0]["modality"] == "text"


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean", "lexical", "maxsim", "blend"])
def test_every_metric(metric: str, folder: Path, model_folder: str, capsys: Run) -> None:
    result = compared(model_folder, "a.png", "--text", "a whale swims", "--metric", metric, capsys=capsys)
    assert result["metric"] == metric
    assert np.isfinite(result["matrix"]).all()
    assert (result["matrix"][0][0] < 1e-3) == (metric == "euclidean")


def test_the_readable_table_and_the_plot(folder: Path, model_folder: str, capsys: Run) -> None:
    long = "whale sea " * 60
    argv = [
        "compare",
        "a.png",
        "--text",
        long,
        "--pair",
        "b.png",
        "一只蓝鲸",
        "--plot",
        "out.png",
        "--model",
        model_folder,
    ]
    assert main(argv) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "cosine, tiny"
    assert len(told.out.splitlines()) == 5
    assert "1.0000" in told.out
    assert "tokens were cut off" in told.err
    with Image.open("out.png") as plot:
        assert plot.size > (200, 200)


def test_fit_crop_is_told(folder: Path, model_folder: str, capsys: Run) -> None:
    assert main(["compare", "a.png", "--fit", "crop", "--model", model_folder]) == 0
    assert "33% of the 60x40 picture was cropped away" in capsys.readouterr().err


def test_nothing_to_compare(model_folder: str, capsys: Run) -> None:
    assert main(["compare", "--model", model_folder]) == 2
    assert "nothing to compare" in capsys.readouterr().err


def test_a_broken_file_stops_unless_skipped(folder: Path, model_folder: str, capsys: Run) -> None:
    Path("bad.png").write_bytes(b"")
    argv = ["compare", "a.png", "bad.png", "b.png", "--model", model_folder]
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("onespace: error: bad.png: ")
    assert told.err.count("\n") == 1
    assert main([*argv, "--skip-broken", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["labels"] == ["a.png", "b.png"]
    assert [b["item"] for b in result["broken"]] == ["bad.png"]


def test_all_broken_is_a_failure_even_when_skipped(folder: Path, model_folder: str, capsys: Run) -> None:
    assert main(["compare", "gone.png", "--skip-broken", "--model", model_folder]) == 2
    assert "left out: gone.png: doesn't exist" in capsys.readouterr().err


def png(width: int, height: int) -> bytes:
    """A PNG header that promises so many pixels, and holds one row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def awkward() -> dict[str, bytes | None]:
    """Files by name; None is made by the test itself."""
    random = np.random.default_rng(0)
    rgb = Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    frames = [Image.new("P", (20, 20), i) for i in range(3)]
    turned = Image.Exif()
    turned[0x0112] = 6
    palette = rgb.quantize(8)
    return {
        "empty.png": b"",
        "text.png": b"this is no picture\n",
        "cut.jpg": saved(rgb, "JPEG")[:400],
        "huge.png": png(60_000, 60_000),
        "promise.png": png(64, 64),
        "moving.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG"),
        "palette.png": saved(palette, "PNG", transparency=0),
        "bilevel.png": saved(rgb.convert("1"), "PNG"),
        "grey16.png": saved(Image.fromarray(random.integers(0, 65536, (30, 30), dtype=np.uint16)), "PNG"),
        "la.png": saved(rgb.convert("LA"), "PNG"),
        "turned.jpg": saved(rgb, "JPEG", exif=turned),
        "one.png": saved(Image.new("RGB", (1, 1), "red"), "PNG"),
        "tall.png": saved(Image.new("RGB", (1, 3000), "red"), "PNG"),
        "small.webp": saved(rgb, "WEBP"),
        "plain.bmp": saved(rgb, "BMP"),
        "pages.tiff": saved(rgb, "TIFF", save_all=True, append_images=[rgb]),
        "icon.ico": saved(rgb.resize((32, 32)), "ICO"),
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "figure.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "鲸 (1).png": saved(rgb, "PNG"),
        "坏 (1).png": b"GIF89a",
        "spaces and 'quotes'.png": saved(rgb, "PNG"),
        "no-ending": saved(rgb, "PNG"),
        "wrong-ending.jpg": saved(rgb, "PNG"),
        "folder.png": None,
        "missing.png": None,
        "locked.png": None,
        "loop.png": None,
    }


BROKEN = {
    "empty.png", "text.png", "cut.jpg", "huge.png", "promise.png", "drawing.svg", "figure.eps", "坏 (1).png",
    "folder.png",     "missing.png", "loop.png",
}  # fmt: skip


@pytest.mark.parametrize("name", awkward())
def test_an_awkward_file_gives_a_number_or_one_line(name: str, folder: Path, model_folder: str, capsys: Run) -> None:
    data, path = awkward()[name], Path(name)
    if data is not None:
        path.write_bytes(data)
    elif name == "folder.png":
        path.mkdir()
    elif name == "loop.png":
        os.symlink(name, name)
    elif name == "locked.png":
        path.write_bytes(Path("a.png").read_bytes())
        path.chmod(0)
    code = main(["compare", name, "a.png", "--model", model_folder])
    told = capsys.readouterr()
    unreadable = name in BROKEN or (name == "locked.png" and not os.access(path, os.R_OK))
    assert code == (2 if unreadable else 0), told.err
    if unreadable:
        assert told.out == ""
        assert told.err.count("\n") == 1
        assert told.err.startswith(f"onespace: error: {name}: ")
        assert "item " not in told.err
    else:
        assert told.out.splitlines()[2].split()[-2] == "1.0000"


def test_words_after_two_dashes_are_files() -> None:
    assert name_files(["compare", "--text", "x", "--", "--odd.png"]) == ["compare", "--text", "x", "--image=--odd.png"]


def test_other_commands_are_left_alone() -> None:
    assert name_files(["encode", "a.png"]) == ["encode", "a.png"]
