"""``onespace search``, as it is typed."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

import onespace
from onespace.cli import search as command
from onespace.cli.filters import read_filters
from onespace.cli.main import main
from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.families import mini
from onespace.store import Store


@pytest.fixture(scope="module")
def model(model_folder: str) -> Encoder:
    return onespace.load(Path(model_folder))


@pytest.fixture
def store(tmp_path: Path, model: Encoder, pictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three texts, two pictures and a pair, in a folder that is also the working one."""
    monkeypatch.chdir(tmp_path)
    paths = [Path("one.png"), Path("two.png")]
    for path, picture in zip(paths, pictures, strict=False):
        picture.save(path)
    items = ["a whale swims in the sea", "the red dragon", "house by the lake", *paths]
    items.append(onespace.Pair("the red house", paths[1]))
    metadata = [{"kind": "text", "year": 2019 + i} for i in range(3)]
    metadata += [{"kind": "image", "tags": ["red", "sea"]}, {"kind": "image"}, {"kind": "pair"}]
    with Store.open("pictures.db", model) as opened:
        opened.add(items, ids=["whale", "dragon", "house", "one.png", "two.png", "pair"], metadata=metadata)
    return tmp_path / "pictures.db"


@pytest.fixture
def ask(store, model_folder, capsys):
    """Runs a search, and gives what it printed as JSON."""

    def ask_(*argv: str) -> dict:
        assert main(["search", *argv, "--model", model_folder, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return ask_


def ids(said: dict) -> list[str]:
    return [hit["id"] for hit in said["results"][0]["hits"]]


def test_json_holds_what_the_store_gives(ask, store, model):
    said = ask("the red whale", "-k", "4")
    with Store.open(store, model) as opened:
        hits = opened.search("the red whale", k=4, explain=True)
    assert (said["store"], said["model"], said["items"]) == ("pictures.db", "tiny", 6)
    assert said["results"][0]["text"] == "the red whale"
    told = said["results"][0]["hits"]
    assert [(hit["id"], hit["score"]) for hit in told] == [(hit.id, pytest.approx(hit.score)) for hit in hits]
    for hit in told:
        assert sum(hit["parts"].values()) == pytest.approx(hit["score"], abs=1e-5)
        assert "why" not in hit


def test_pages_follow_each_other(ask):
    whole = ids(ask("red"))
    assert len(whole) == 6
    assert ids(ask("red", "-k", "2")) + ids(ask("red", "-k", "4", "--offset", "2")) == whole


def test_pictures_and_pairs_are_asked_for(ask, store, model):
    assert ids(ask("--image", "one.png", "--metric", "cosine"))[0] == "one.png"
    said = ask("the red house", "--image", "two.png", "--metric", "cosine")
    assert ids(said)[0] == "pair"
    assert (said["results"][0]["text"], said["results"][0]["images"]) == ("the red house", ["two.png"])
    assert set(ask("--image", "two.png", "--blend", "1", "0", "1")["results"][0]["hits"][0]["parts"]) == {
        "dense",
        "multi",
    }
    assert set(ask("--image", "two.png", "--blend", "1", "1", "1")["results"][0]["hits"][0]["parts"]) > {"sparse"}


def test_filters_are_read_and_hold(ask):
    assert set(ids(ask("red", "--filter", "kind=text", "--filter", "year=2020.."))) == {"dragon", "house"}
    assert ids(ask("red", "--filter", "tags=red,blue")) == ["one.png"]
    assert ids(ask("red", "--filter", "kind=none")) == []


def test_the_engine_and_a_look_at_everything_agree(ask, monkeypatch):
    exact = ids(ask("the red sea", "--exact"))
    monkeypatch.setattr(command, "ENOUGH", 0)
    assert ids(ask("the red sea")) == exact


@pytest.mark.parametrize(
    ("place", "package"), [("milvus:lite.db", "milvus_lite"), ("qdrant::memory:", "qdrant_client")]
)
def test_the_same_calls_in_every_home(ask, store, model, monkeypatch, place, package):
    """What is in memory is filled anew from its log; a pipe through all three engines gives the same hits."""
    pytest.importorskip(package)
    with Store.open(store, model) as embedded, Store.open(place, model) as other:
        kept = list(embedded.iterate())
        names = [item.id for item in kept]
        told = [item.metadata for item in kept]
        other.add_encoded(embedded.vectors(names), references=[i.reference for i in kept], ids=names, metadata=told)
    monkeypatch.setattr(command, "ENOUGH", 0)
    for argv in (
        ["the red sea"],
        ["--image", "two.png"],
        ["red", "--filter", "year=2020..", "-k", "1", "--offset", "1"],
    ):
        for exact in ([], ["--exact"]):
            assert ids(ask(*argv, "--store", place, *exact)) == ids(ask(*argv, *exact))


def test_a_store_that_is_open_elsewhere_is_searched(ask, store, model, monkeypatch, model_folder, capsys):
    monkeypatch.setattr(command, "ENOUGH", 0)
    with Store.open(store, model):
        assert main(["search", "red", "--model", model_folder, "-k", "1"]) == 0
    said = capsys.readouterr()
    assert "every item is looked at" in said.err
    assert said.out.startswith("  1  ")


@pytest.mark.parametrize("metric", ["cosine", "lexical", "maxsim", "blend"])
def test_metrics_and_fusions(ask, metric):
    assert len(ids(ask("the red sea", "--metric", metric))) == 6
    ranked = ask("the red sea", "--fusion", "rrf")["results"][0]["hits"]
    assert all(hit["score"] < 0.1 and not hit["parts"] for hit in ranked)


def test_explanations_are_told_in_words(ask, store, model_folder, capsys):
    why = ask("whale", "--explain")["results"][0]["hits"][0]["why"]
    assert sum(part["score"] for part in why["parts"]) == pytest.approx(why["score"], abs=1e-5)
    assert main(["search", "whale", "--explain", "-k", "1", "--model", model_folder]) == 0
    said = capsys.readouterr().out
    assert "whole vectors +" in said
    assert "best matches: whale → " in said or "→" in said


def test_many_queries_come_from_a_file_or_a_pipe(store, model_folder, capsys, monkeypatch):
    Path("asked.txt").write_text("whale\nthe lake\n", "utf-8")
    rows = [{"text": "whale"}, {"image": "one.png"}, {"text": "the red house", "image": "two.png"}]
    Path("asked.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert main(["search", "--queries", "asked.jsonl", "--model", model_folder, "--json", "-k", "1"]) == 0
    told = json.loads(capsys.readouterr().out)["results"]
    assert [(one["text"], one["images"]) for one in told] == [
        ("whale", []),
        (None, ["one.png"]),
        ("the red house", ["two.png"]),
    ]
    assert told[1]["hits"][0]["id"] == "one.png"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"whale\nthe lake\n")))
    for source in ("asked.txt", "-"):
        assert main(["search", "--queries", source, "--model", model_folder, "-k", "1"]) == 0
        said = capsys.readouterr().out
        assert "\nwhale\n  1  " in said
        assert "\nthe lake\n  1  " in said


def test_a_contact_sheet_is_written(store, model_folder, capsys):
    argv = ["search", "<red>", "--image", "one.png", "--html", "found.html", "--model", model_folder]
    assert main(argv) == 0
    html = Path("found.html").read_text("utf-8")
    assert html.count("<figure>") == 3
    assert html.count('class="box"') == 3
    assert "&lt;red&gt;" in html
    assert "contact sheet: found.html" in capsys.readouterr().err


def test_nothing_found_is_said(store, model_folder, capsys):
    assert main(["search", "red", "--filter", "kind=none", "--model", model_folder]) == 0
    assert capsys.readouterr().out == "nothing was found\n"


def test_pipes_get_text_alone_and_terminals_pictures(store, model_folder, capsys, monkeypatch):
    argv = ["search", "red", "--model", model_folder]
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("TMUX", "KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    assert main(argv) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert main([*argv, "--thumbnails", "always"]) == 0
    assert "▀" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(argv) == 0
    assert "▀" in capsys.readouterr().out
    assert main([*argv, "--thumbnails", "never"]) == 0
    said = capsys.readouterr().out
    assert "▀" not in said
    assert said.startswith("\x1b[1m  1  ")


def test_another_model_is_refused_with_the_measured_difference(store, tmp_path, capsys, tiny_encoder):
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    other = str(mini.save(mini.tiny(), tmp_path / "other"))
    assert main(["search", "red", "--model", other]) == 2
    said = capsys.readouterr().err
    assert "the model is 'tiny-mini', not 'tiny'" in said
    assert "16 canary items" in said
    assert "onespace migrate" in said
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_changed_weights_are_refused_with_the_measured_difference(store, tmp_path, model_folder, capsys):
    changed = Path(shutil.copytree(model_folder, tmp_path / "changed"))
    weights = load_file(changed / "model.safetensors")
    name = next(name for name in weights if weights[name].ndim > 1)
    save_file(weights | {name: weights[name] * 1.5}, changed / "model.safetensors")
    assert main(["search", "red", "--model", str(changed)]) == 2
    said = capsys.readouterr().err
    assert "the weights have the digest" in said
    assert "the largest distance is 0." in said or "the largest distance is 1." in said


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "nothing to look for"),
        (["red", "--queries", "a.txt"], "--queries goes with neither"),
        (["--queries", "gone.txt"], "gone.txt"),
        (["red", "--store", "none.db"], "none.db holds no store. Make one: onespace index"),
        (["red", "--filter", "kind"], "--filter 'kind' can't be read"),
        (["red", "-k", "0"], "k=0 must be"),
        (["--image", "gone.png"], "gone.png"),
        (["red", "--fusion", "rrf", "--fair"], "fusion='rrf'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(store, model_folder, capsys, argv, message):
    assert main(["search", *argv, "--model", model_folder]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not Path("none.db").exists()


def test_words_become_filters():
    assert read_filters([]) is None
    assert read_filters(["a=1..", "b=..2.5", "day=2026-01-01..2026-02-01", "path=../x"]) == {
        "a": {"gte": 1},
        "b": {"lte": 2.5},
        "day": {"gte": "2026-01-01", "lte": "2026-02-01"},
        "path": ["../x"],
    }
    assert read_filters(["name>=b", "fine=true", "x=nan", 'y="1,2"']) == {
        "name": {"gte": "b"},
        "fine": [True, "true"],
        "x": ["nan"],
        "y": ["1,2"],
    }
    for word in ("kind=", "=x", "kind", ">=3"):
        with pytest.raises(InputError, match="can't be read"):
            read_filters([word])
    with pytest.raises(InputError, match="has a condition already"):
        read_filters(["a=1", "a=2"])
