from __future__ import annotations

import json
from pathlib import Path

import pytest

from onespace.cli.main import main

Run = pytest.CaptureFixture[str]


@pytest.fixture
def table(tmp_path: Path) -> str:
    words = [f"{a} {b}" for a in ("red", "blue", "old") for b in ("whale", "lake", "house", "snow")]
    lines = [json.dumps({"text": f"on the {w}", "query": w}) for w in words]
    (tmp_path / "notes.jsonl").write_text("\n".join(lines))
    return str(tmp_path / "notes.jsonl")


def test_the_table_the_verdict_the_plot_and_the_searches(
    table: str, model_folder: str, tmp_path: Path, capsys: Run
) -> None:
    plot, keep = tmp_path / "models.png", tmp_path / "searches"
    models = ["--model", model_folder, "--model", model_folder]
    assert main(["choose", table, *models, "--plot", str(plot), "--keep", str(keep), "--speed", "0.001"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0] == "12 items; queries from 12 queries to texts"
    assert lines[1].split()[:3] == ["model", "by", "nDCG@10"]
    assert lines[2].split()[:2] == ["tiny", "dense"]
    assert "the best" in lines[2]
    assert lines[3].split()[:3] == ["tiny", "(2)", "dense"]
    assert "too close to call" in lines[3]
    assert lines[5].split() == ["model", "licence", "languages"]
    assert "Too close to call between it and tiny (2) on 12 queries" in lines[-1]
    assert plot.is_file()
    assert f"plot: {plot}" in told.err
    assert main(["evaluate", str(keep / "queries-to-texts"), "--model", model_folder, "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["results"][0]["measures"]["ndcg@10"]
    assert f"{measured['mean']:.3f} [{measured['low']:.3f}" in lines[2]  # the same searches, the same numbers


def test_json_and_limits(table: str, model_folder: str, capsys: Run) -> None:
    argv = ["choose", table, "--model", model_folder, "--heads", "all", "--bytes", "200", "--json"]
    assert main([*argv, "--queries", "queries, titles"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {option["by"] for option in told["options"]} == {"dense", "sparse", "multi", "blend"}
    assert told["best"]["by"] in ("dense", "sparse")
    assert {o["by"] for o in told["options"] if o["limits_broken"] == ["bytes an item"]} >= {"multi", "blend"}


def test_errors_are_one_line(table: str, model_folder: str, tmp_path: Path, capsys: Run) -> None:
    for argv, words in (
        ([table, "--queries", "colours"], "--queries colours: choose some of captions"),
        ([table, "--plot", "a.svg"], "a plot is written as .png"),
        ([table, "--memory", "much"], "isn't a size"),
        ([table, "--model", "a,b,c"], "isn't a model"),
        ([str(tmp_path / "none")], "isn't there"),
        ([str(tmp_path), "--queries", "titles"], "no queries could be made"),
    ):
        assert main(["choose", *argv]) == 2
        told = capsys.readouterr().err
        assert told.startswith("onespace: error: ")
        assert words in told
        assert told.count("\n") == 1


def test_nothing_measured_is_a_failure(table: str, tmp_path: Path, capsys: Run) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["choose", table, "--model", str(tmp_path / "empty")]) == 2
    told = capsys.readouterr()
    assert "No candidate could be measured." in told.out
    assert "left out: empty: the layout is unknown" in told.err
