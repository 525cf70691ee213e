from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from onespace.cli.live import View
from onespace.cli.main import main

Run = pytest.CaptureFixture[str]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    names = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("whale", "dragon", "lake")]
    lines = [{"query": f"the {name}", "pos": name, "neg": f"no {name}"} for name in names]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return str(tmp_path / "rows.jsonl")


def test_a_run_its_second_start_and_its_model(rows: str, model_folder: str, tmp_path: Path, capsys: Run) -> None:
    out = str(tmp_path / "run")
    command = ["train", rows, "--model", model_folder, "--out", out, "--steps", "2", "--batch", "4", "--log-every", "1"]
    command += [
        "--hold-out",
        "0.4",
        "--evaluate-every",
        "2",
        "--losses",
        "dense,multi",
        "--dims",
        "8,16",
        "--lora",
        "2",
    ]
    assert main(command) == 0
    told = capsys.readouterr()
    shown = [" ".join(line.split()[:3]) for line in told.err.splitlines()]
    assert shown == ["step 0 R@1", "step 1 loss", "step 2 loss", "step 2 R@1"]
    assert told.out.splitlines()[0].startswith(f"{out}/model: 2 steps, loss ")
    assert told.out.splitlines()[1].startswith("held-out rows: R@1 ")
    assert main([*command, "--json"]) == 0
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert (result["steps"], result["stopped_early"], told.err) == (2, False, "")
    assert set(result["before"]) == set(result["measured"]) == {"step", "R@1", "R@10", "MRR"}
    assert main(["compare", "--text", "a", "--text", "b", "--model", result["model"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "run"


def test_errors_are_one_line(rows: str, model_folder: str, tmp_path: Path, capsys: Run) -> None:
    base = ["train", rows, "--model", model_folder, "--out", str(tmp_path / "run"), "--batch", "4"]
    for more, words in (
        (["--steps", "1", "--mine", "--mine-ranks", "9"], "must be two ranks"),
        (["--steps", "1", "--losses", "dense,sparce"], "sparce isn't known"),
        (["--steps", "1", "--stop-after", "2"], "Set evaluate_every"),
        (["--batch", "64"], "rows are fewer than batch=64"),
    ):
        assert main([*base, *more]) == 2
        told = capsys.readouterr().err
        assert told.startswith("onespace: error: ")
        assert told.count("\n") == 1
        assert words in told
    assert main([*base[:1], "none.jsonl", *base[2:]]) == 2
    assert "none.jsonl: there is no such file" in capsys.readouterr().err


def test_the_view_draws_progress_curves_and_measurements() -> None:
    view = View(terminal=True)
    view({"step": 0, "R@1": 0.05, "steps": 90})
    for step in (10, 20, 30):
        view({"step": step, "loss": 40 / step, "seconds": 20.0, "hit": 0.5, "steps": 90})
    view({"step": 30, "R@1": 0.75, "steps": 90})
    console = Console(width=100)
    with console.capture() as drawn:
        console.print(view.drawn())
    text = drawn.get()
    assert "step 30 of 90" in text
    assert "2.00 s a step  2 min left" in text
    assert [line.split() for line in text.splitlines() if "R@1" in line] == [["R@1", "0.75", "▁█"]]
    assert [line.split()[2] for line in text.splitlines() if line.startswith("loss")] == ["█▂▁"]
