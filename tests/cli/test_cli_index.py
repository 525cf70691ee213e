from __future__ import annotations

import json
from pathlib import Path

import pytest
from index_cases import IDS, draw, fill_folder

from onespace.cli.main import main

Run = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return fill_folder(Path("data"))


def test_a_folder_is_indexed_and_found_unchanged_without_the_model(folder, model_folder, capsys, monkeypatch):
    argv = ["index", "data", "--model", model_folder]
    assert main(argv) == 0
    assert capsys.readouterr().out.startswith(f"pictures.db: {len(IDS)} added, 0 changed, 0 removed, 0 unchanged, ")
    monkeypatch.setattr("onespace.cli.index.load_model", None)
    assert main(argv) == 0
    assert capsys.readouterr().out == f"pictures.db: 0 added, 0 changed, 0 removed, {len(IDS)} unchanged, 0.0 s\n"


def test_another_model_is_refused_and_nothing_is_written(folder, model_folder, capsys):
    assert main(["index", "data/pics", "--model", model_folder]) == 0
    before = {p: p.read_bytes() for p in Path("pictures.db").rglob("*") if p.is_file() and p.name != "lock"}
    capsys.readouterr()
    assert main(["index", "data", "--model", model_folder, "--fit", "crop"]) == 2
    told = capsys.readouterr().err
    assert "pixels.fit is 'crop', not 'pad'" in told
    assert "Nothing was written" in told
    assert {p: p.read_bytes() for p in Path("pictures.db").rglob("*") if p.is_file() and p.name != "lock"} == before


def test_broken_files_are_told_of_together(folder, model_folder, capsys):
    for i in range(3):
        Path(f"data/pics/bad{i}.png").write_bytes(b"junk")
    Path("data/notes/latin.txt").write_bytes(b"caf\xe9")
    assert main(["index", "data", "--model", model_folder]) == 0
    told = capsys.readouterr()
    assert f"{len(IDS)} added, 0 changed, 0 removed, 0 unchanged, 4 broken, " in told.out
    lines = told.err.splitlines()
    assert "left out: data/notes/latin.txt: isn't utf-8 (byte 3). Save the file as UTF-8." in lines
    assert any(line.startswith("left out: data/pics/bad0.png and 2 more: isn't a picture") for line in lines)


def test_json(folder, model_folder, capsys):
    Path("data/pics/bad.png").write_bytes(b"junk")
    for added in (len(IDS), 0):
        assert main(["index", "data", "--model", model_folder, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["added"], told["added"] + told["unchanged"]) == (added, len(IDS))
        assert [b["name"] for b in told["broken"]] == ["data/pics/bad.png"]


def test_a_dry_run_does_nothing(folder, model_folder, capsys):
    argv = ["index", "data", "--model", model_folder]
    assert main([*argv, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("pictures.db: files: 12 new, 0 changed, 0 gone, 0 unchanged, 1 of other kinds\n")
    assert "  new     data/notes/a.md\n" in told
    assert not Path("pictures.db").exists()
    assert main(argv) == 0
    draw(Path("data/pics/0.png"), 60)
    Path("data/pics/1.png").unlink()
    Path("data/pics/2.png").touch()
    capsys.readouterr()
    assert main([*argv, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changed"] == ["data/things.csv", "data/pics/0.png"]
    assert (told["gone"], told["touched"], told["new"]) == (["data/pics/1.png"], ["data/pics/2.png"], [])


def test_columns_globs_and_losses(folder, model_folder, capsys):
    Path("shop.csv").write_text("sku,title\na1,red\n", "utf-8")
    argv = ["index", "shop.csv", "data", "--glob", "*.txt", "--columns", "text=title,id=sku", "--model", model_folder]
    assert main([*argv, "--on-loss", "chunk"]) == 0
    assert capsys.readouterr().out.startswith("pictures.db: 2 added")
    assert main([*argv, "--on-loss", "error"]) == 2
    assert "was indexed with on_loss='chunk', not 'error'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["none"], "none isn't there. Check the path"),
        (["data/program.py"], "the ending '.py' isn't known"),
        (["data", "--columns", "x"], "write ROLE=COLUMN"),
        (["data", "--store", "http://host/name"], "isn't a place for a store"),
        (["data", "--exclude", "*"], "there is nothing to index"),
        (["data", "--store", "data/program.py"], "can't be made"),
    ],
)
def test_what_cannot_be_done_is_one_line(folder, model_folder, capsys, argv, said):
    assert main(["index", *argv, "--model", model_folder]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_graph_is_built_before_the_command_ends(folder, model_folder, capsys, monkeypatch):
    monkeypatch.setattr("onespace.store.keeper.GROWTH", 5)
    assert main(["index", "data", "--model", model_folder]) == 0
    assert "building the graph by which searches are fast" in capsys.readouterr().err
    assert [path.name for path in Path("pictures.db").glob("engine-*")] != ["engine-first"]
