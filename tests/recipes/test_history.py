"""What is told of the runs behind a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onespace.errors import InputError
from recipes.mini.card import run_table
from recipes.mini.history import Run, energy, history, read_runs, write_runs
from recipes.mini.ship import CHECKPOINT


def ran(folder: Path, start: Path | None, *, steps: int = 20) -> Path:
    """The files that a run of ``steps`` steps leaves, each ten of which took an hour."""
    folder.mkdir()
    options = {"batch": 192, "seed": 3, "steps": 99, "start": start and str(start)}
    (folder / "options.json").write_text(json.dumps(options), "utf-8")
    rows = [{"step": step, "loss": 1.0, "seconds": 3600.0} for step in range(10, steps + 1, 10)]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


def test_a_run_is_told_after_those_it_started_from(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    first = history(ran(tmp_path / "first", None), cores=2, on="a laptop", notes=["From nothing."])
    assert first == (Run(steps=20, batch=192, seed=3, hours=2.0, cores=2, on="a laptop", note="From nothing."),)
    write_runs(checkpoint, first)
    second = history(ran(tmp_path / "second", checkpoint, steps=50), cores=8, on="a server", notes=["More names."])
    write_runs(checkpoint, second)  # where the run started from
    third = history(ran(tmp_path / "third", checkpoint), cores=2, on="a laptop")
    assert [(run.steps, run.core_hours, run.note) for run in third] == [
        (20, 4.0, "From nothing."),
        (50, 40.0, "More names."),
        (20, 4.0, ""),
    ]
    write_runs(checkpoint, third)
    assert read_runs(checkpoint) == third
    two = ran(tmp_path / "eyes", checkpoint, steps=10), ran(tmp_path / "words", checkpoint, steps=30)
    assert [(run.steps, run.note) for run in history(*two, cores=1, on="a laptop", notes=["Eyes."])[3:]] == [
        (10, "Eyes."),
        (30, ""),
    ]
    with pytest.raises(InputError, match="started from different checkpoints"):
        history(two[0], tmp_path / "first", cores=1, on="a laptop")
    assert energy(third) == (0.144, 0.576)
    lines = run_table(third).splitlines()
    assert lines[0].startswith("| run | steps |")
    assert lines[3] == "| v1 | 50 | 192 | 5.0 | 8 | a server | 3 | More names. |"
    assert len(lines) == 2 + 3


@pytest.mark.parametrize("text", [None, "{}", "not JSON", '{"runs": [{"steps": 1}]}', '{"runs": 3}'])
def test_a_checkpoint_without_a_list_of_runs_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "training.json").write_text(text, "utf-8")
    folder = ran(tmp_path / "run", tmp_path)
    with pytest.raises(InputError, match=r'training\.json isn\'t {"runs": \[{steps, batch, seed, .*Write it by hand'):
        history(folder, cores=2, on="a laptop")


def test_the_shipped_checkpoint_tells_its_runs() -> None:
    runs = read_runs(CHECKPOINT)
    assert all(run.steps > 0 and run.hours > 0 and run.cores > 0 and run.on for run in runs)
    assert all(run.note for run in runs), "the card says what changed"
