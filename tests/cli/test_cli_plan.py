from __future__ import annotations

import json
from pathlib import Path

import pytest

from onespace.cli.main import main

Run = pytest.CaptureFixture[str]


@pytest.fixture
def things(tmp_path: Path) -> str:
    names = [f"{thing} {i}" for i in range(8) for thing in ("whale", "dragon", "lake", "house", "snow")]
    lines = [{"text": name, "query": name[:-1]} for name in names]
    (tmp_path / "things.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return str(tmp_path / "things.jsonl")


def test_the_table_and_the_verdict(things: str, model_folder: str, capsys: Run) -> None:
    assert main(["plan", "--budget", "120", "--sample", things, "--model", model_folder]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "within 120 bytes an item: k=10, 40 items, 5 queries, tiny"
    assert told[1].split() == ["form", "bytes", "of", "float", "GB", "a", "million", "recall", "agreement"]
    assert any(" * " in line for line in told[2:-2])
    assert told[-2].startswith("everything, float32")
    assert "bytes an item" in told[-1]


def test_json(things: str, model_folder: str, capsys: Run) -> None:
    assert main(["plan", "--budget", "0.1KB", "--k", "5", "--sample", things, "--model", model_folder, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["budget"], result["k"], result["queries"]) == ("tiny", 100, 5, 5)
    assert result["best"]["bytes_per_item"] <= 100
    assert set(result["best"]["recall"]) == {"mean", "low", "high"}


def test_errors_are_one_line(things: str, model_folder: str, capsys: Run) -> None:
    for budget, words in (("much", "isn't a size"), ("1", "no form fits 1 bytes an item")):
        assert main(["plan", "--budget", budget, "--sample", things, "--model", model_folder]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.startswith("onespace: error: ")
