from __future__ import annotations

import json
from math import fsum
from pathlib import Path

import pytest
from PIL import Image as PILImage

from onespace.cli.main import main
from onespace.families import clip, mini


@pytest.fixture
def picture(tmp_path: Path, pictures: list[PILImage.Image]) -> str:
    path = tmp_path / "noise.png"
    pictures[0].save(path)
    return str(path)


def test_parts_as_json_add_up(model_folder: str, picture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", picture, "--query", "a whale", "--model", model_folder, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["metric"] == "blend"
    assert fsum(part["score"] for part in said["parts"]) == pytest.approx(said["score"], abs=1e-5)
    assert any(part.get("box") for part in said["parts"]) or said["best_box"]


def test_a_picture_is_drawn_and_a_page_is_written(
    model_folder: str, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    png, html = tmp_path / "why.png", tmp_path / "why.html"
    argv = ["explain", picture, "--text", "the <sea>", "--query", "a whale", "--model", model_folder]
    assert main([*argv, "--plot", str(png), "--html", str(html)]) == 0
    with PILImage.open(png) as image:
        assert image.width > 300
    assert "&lt;sea&gt;" in html.read_text("utf-8")
    said = capsys.readouterr()
    assert "nearest in the picture" in said.out
    assert str(png) in said.err


def test_a_text_is_explained_by_its_words(model_folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "the red whale", "--query", "a whale", "--model", model_folder, "--metric", "maxsim"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("maxsim: ")
    assert "[end] → [end]" in out
    assert "whale → " in out


def test_a_model_of_one_vector_is_explained_by_leaving_out(
    tmp_path: Path, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(mini.save(clip.tiny(), tmp_path / "clip"))
    assert main(["explain", picture, "--query", "a whale", "--model", folder, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {part["kind"] for part in said["parts"]} == {"cell", "rest"}
    assert fsum(part["score"] for part in said["parts"]) == pytest.approx(said["score"], abs=1e-5)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["gone.png"], "gone.png"),
        (["a text", "--plot", "x.png"], "--plot draws on a picture"),
        (["a text", "--text", "b"], "--text belongs to a picture"),
    ],
)
def test_what_cannot_be_done_is_said(
    argv: list[str], message: str, model_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *argv, "--query", "a whale", "--model", model_folder]) == 2
    assert message in capsys.readouterr().err
