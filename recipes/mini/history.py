"""The runs that a checkpoint has behind it, as ``training.json`` beside its weights tells them: {"runs": [...]}."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from onespace.errors import InputError
from onespace.train.loop import read_log

FILE = "training.json"
WATTS = (3, 12)
"""Watts that a core is taken to draw, least and most: the rated power of common server processors over their cores."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run. ``hours`` are those of its steps; measuring between them isn't counted."""

    steps: int
    batch: int
    seed: int
    hours: float
    cores: int
    on: str
    """The machine, in words."""
    note: str = ""
    """What changed since the run before it."""

    @property
    def core_hours(self) -> float:
        """Hours times cores."""
        return self.hours * self.cores


def read_runs(checkpoint: Path) -> tuple[Run, ...]:
    """The runs behind a checkpoint, the first one first.

    Raises:
        InputError: there is no list of runs beside the weights, or it has other keys than a `Run`.
    """
    file = checkpoint / FILE
    try:
        return tuple(Run(**run) for run in json.loads(file.read_text("utf-8"))["runs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        keys = ", ".join(Run.__dataclass_fields__)
        raise InputError(f'{file} isn\'t {{"runs": [{{{keys}}}, ...]}} ({error!r}). Write it by hand.') from error


def write_runs(checkpoint: Path, runs: tuple[Run, ...]) -> None:
    """The inverse of `read_runs`."""
    text = json.dumps({"runs": [asdict(run) for run in runs]}, ensure_ascii=False, indent=1)
    (checkpoint / FILE).write_text(text + "\n", "utf-8")


def history(*folders: Path, cores: int, on: str, notes: Sequence[str] = ()) -> tuple[Run, ...]:
    """The runs behind the checkpoint that the runs in ``folders`` started from, and those runs themselves.

    A folder holds what `recipes.mini.train` writes: ``log.jsonl``, and ``options.json``, whose ``start`` names the
    checkpoint (null for a run from random weights). ``notes`` are in the order of the folders.

    Raises:
        InputError: the runs started from different checkpoints.
    """
    starts = {started_from(folder) for folder in folders}
    if len(starts) > 1:
        raise InputError(f"{', '.join(map(str, folders))} started from different checkpoints. Ship them one by one.")
    (start,) = starts
    own = [_run(*each, cores=cores, on=on) for each in zip_longest(folders, notes[: len(folders)], fillvalue="")]
    return (*(read_runs(start) if start else ()), *own)


def _run(folder: Path, note: str, *, cores: int, on: str) -> Run:
    options, rows = _options(folder), read_log(folder)
    return Run(
        steps=int(rows[-1]["step"]),
        batch=options["batch"],
        seed=options["seed"],
        hours=round(sum(row["seconds"] for row in rows) / 3600, 3),
        cores=cores,
        on=on,
        note=note,
    )


def started_from(folder: Path) -> Path | None:
    """The checkpoint from which the run in ``folder`` goes on; None for one from random weights."""
    start = _options(folder)["start"]
    return Path(start) if start else None


def _options(folder: Path) -> dict[str, Any]:
    options: dict[str, Any] = json.loads((folder / "options.json").read_text("utf-8"))
    return options


def energy(runs: tuple[Run, ...]) -> tuple[float, float]:
    """Least and most kilowatt-hours of the processor cores, by `WATTS`; nobody metered them.

    >>> run = Run(steps=1, batch=1, seed=0, hours=50, cores=2, on="a laptop")
    >>> energy((run,))
    (0.3, 1.2)
    """
    hours = sum(run.core_hours for run in runs)
    low, high = (hours * watts / 1000 for watts in WATTS)
    return low, high
