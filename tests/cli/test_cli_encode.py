from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onespace.cli.main import main
from onespace.embeddings import Embeddings

Run = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("pics/deep").mkdir(parents=True)
    for name in ("pics/a.png", "pics/deep/b.jpg"):
        Image.new("RGB", (9, 9), "red").save(name)
    Path("pics/bad.png").write_bytes(b"junk")
    Path("rows.jsonl").write_text('{"text": "sea", "image": "pics/a.png", "id": "one"}\n{"text": "whale"}\n', "utf-8")
    Path("lines.txt").write_text("a whale\n一只蓝鲸\n", "utf-8")
    return tmp_path


def test_files_folders_and_rows_go_into_one_file(folder: Path, model_folder: str, capsys: Run) -> None:
    argv = ["encode", "pics", "rows.jsonl", "lines.txt", "pics/a.png", "--out", "v.npz", "--model", model_folder]
    assert main(argv) == 0
    told = capsys.readouterr()
    assert told.out == "v.npz: 7 rows\n"
    assert told.err.startswith("left out: pics/bad.png: isn't a picture")
    assert len(Embeddings.open("v.npz")) == 7
    with np.load("v.npz") as file:
        ids = ["pics/a.png", "pics/deep/b.jpg", "one", "rows.jsonl:2", "lines.txt:1", "lines.txt:2", "pics/a.png"]
        assert [i.replace("\\", "/") for i in file["ids"].tolist()] == ids


def test_json_says_what_was_written(folder: Path, model_folder: str, capsys: Run) -> None:
    argv = ["encode", "pics", "--out", "v.jsonl", "--heads", "dense,multi", "--model", model_folder, "--json"]
    assert main(argv) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["rows"], result["resumed"]) == (2, 0)
    assert [b["id"] for b in result["broken"]] == ["pics/bad.png"]
    assert {"dense", "multi"} <= set(json.loads(Path("v.jsonl").read_text().splitlines()[0]))


def test_a_pipe(folder: Path, model_folder: str, capsys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("鲸\nwhale\n".encode())))
    assert main(["encode", "-", "--out", "v.npz", "--model", model_folder]) == 0
    assert len(Embeddings.open("v.npz")) == 2


def test_strict_and_wrong_heads_are_one_line(folder: Path, model_folder: str, capsys: Run) -> None:
    for extra, words in ((["--strict"], "pics/bad.png: isn't"), (["--heads", "dense,sprase"], "sprase")):
        assert main(["encode", "pics", "--out", f"{words[0]}.npz", "--model", model_folder, *extra]) == 2
        told = capsys.readouterr().err
        assert told.startswith("onespace: error: ")
        assert words in told
        assert told.count("\n") == 1
