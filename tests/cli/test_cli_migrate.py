"""``onespace migrate``, as it is typed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from mover import other_model

import onespace
from onespace.cli.main import main
from onespace.families import mini
from onespace.index import Indexer
from onespace.store import Store


@pytest.fixture(autouse=True)
def no_lower_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command lets other processes go first; the tests' own process stays as it is."""
    monkeypatch.setattr("onespace.cli.migrate._politely", lambda: None)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another model as a folder."""
    return str(mini.save(other_model(), tmp_path_factory.mktemp("other") / "other"))


@pytest.fixture
def store(tmp_path: Path, model_folder: str, pictures, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    pictures[0].save("one.png")
    with Store.open("pictures.db", onespace.load(Path(model_folder))) as opened:
        opened.add(["a whale", Path("one.png")], ids=["whale", "one"])
    return "pictures.db"


def test_a_store_moves_and_says_so(store, other, model_folder, capsys):
    assert main(["migrate", store, "--model", other]) == 0
    assert capsys.readouterr().out.startswith("pictures.db: 2 items with other (2 encoded now, ")
    assert main(["search", "whale", "--model", other, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"][0]["hits"]) == 2
    assert main(["search", "whale", "--model", model_folder]) == 2
    assert "the model is 'tiny', not 'other'" in capsys.readouterr().err
    assert main(["migrate", store, "--model", other, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["switched"], said["encoded"], said["finished"]) == (True, 0, True)


def test_lost_items_are_named_and_what_to_do(store, other, capsys):
    Path("one.png").unlink()
    assert main(["migrate", store, "--model", other]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("pictures.db: 1 item ready for other")
    assert "lost: one: " in said.err
    assert "one.png" in said.err
    assert "--lost drop" in said.err
    assert main(["migrate", store, "--model", other, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["lost"][0]["id"] == "one"
    assert main(["migrate", store, "--model", other, "--lost", "thumbnail"]) == 0
    assert "2 items with other (1 encoded now" in capsys.readouterr().out


def test_whoever_holds_the_store_is_named(store, other, model_folder, capsys):
    with Store.open(store, onespace.load(Path(model_folder))):
        assert main(["migrate", store, "--model", other]) == 2
    said = capsys.readouterr().err
    assert "not switched yet: " in said
    assert "open in process" in said
    assert "--wait" in said
    assert main(["migrate", store, "--model", other]) == 0


@pytest.mark.parametrize("argv", [["none.db"], ["pictures.db", "--out", "pictures.db"]])
def test_what_cannot_be_moved_is_said_in_one_line(store, other, capsys, argv):
    assert main(["migrate", *argv, "--model", other]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(find_spec("pypdfium2") is None, reason="pypdfium2 isn't installed")
def test_what_was_indexed_stays_in_step(store, other, model_folder, pictures, capsys):
    """Pages are drawn again, and the next run of ``onespace index`` knows every file."""
    Path("files").mkdir()
    pictures[0].save("files/a.png")
    pictures[1].save("files/b.pdf", save_all=True, append_images=[pictures[2]])
    Path("files/c.txt").write_text("house by the lake", "utf-8")
    with Store.open("files.db", onespace.load(Path(model_folder))) as opened, Indexer(opened) as indexer:
        assert indexer.run(["files"]).added == 4
        ids = [item.id for item in opened.iterate()]
    for argv, place in (["--out", "elsewhere/new.db"], "elsewhere/new.db"), ([], "files.db"):
        assert main(["migrate", "files.db", "--model", other, *argv]) == 0
        with Store.open(place, onespace.load(Path(other))) as moved, Indexer(moved) as indexer:
            assert [item.id for item in moved.iterate()] == ids
            plan = indexer.plan(["files"])
            assert (plan.nothing, plan.items) == (True, 4)
            page = moved.get(["files/b.pdf#page=2"])[0]
            assert page is not None
            assert page.reference.modality == "image"
