"""Which model fits: candidates are run on searches made of a user's own files, and compared query by query."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from onespace.choose.candidates import Candidate, distinct, installed
from onespace.choose.choice import Choice, Limits, Measured, compare
from onespace.choose.weak import Weak
from onespace.errors import InputError
from onespace.evaluate.beir import write_beir
from onespace.evaluate.tasks import Retrieval
from onespace.types import Head

K = (1, 10)


def choose(
    weak: Weak,
    candidates: Sequence[Candidate] = (),
    *,
    heads: Sequence[Head] | None = ("dense",),
    limits: Limits | None = None,
    seed: int = 0,
    told: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Runs every candidate on this machine, each in a process of its own and one after the other, and compares them.

    Args:
        weak: searches, from `weak_queries`.
        candidates: by default the shipped model and what of the registry is on this machine (`installed`).
        heads: what is compared of each model; None for all that it has, and their blend.
        limits: what an option must keep to be called the best.
        seed: of the bootstrap.
        told: is called with a line before each candidate.

    Raises:
        InputError: no head is asked for.
    """
    if heads is not None and not heads:
        raise InputError("no head is asked for. Name some of dense, sparse and multi, or pass None for all.")
    tried = distinct(candidates or installed())
    measured, failures = [], []
    with TemporaryDirectory(prefix="onespace-choose-") as scratch:
        folders = [write_beir(task, Path(scratch, f"{i}")) for i, task in enumerate(weak.tasks)]
        for number, candidate in enumerate(tried, 1):
            told(f"{number}/{len(tried)}: {candidate.label} ...")
            facts = _measure(candidate, folders, heads, Path(scratch))
            if "error" in facts:
                failures.append((candidate.label, str(facts["error"]).removeprefix(f"{candidate.label}: ")))
                continue
            measured.append((candidate.label, facts))
    limits, notes = limits or Limits(), list(weak.notes)
    tasks, results = _aligned(weak.tasks, [str(folder) for folder in folders], measured)
    for label, facts in measured:
        notes += [f"{label}: {name} was left out: {why}" for name, why in facts["broken"]]
    lists = [task.documents for task in tasks]
    options = compare(tasks, results, limits=limits, seed=seed) if results and tasks else []
    return Choice(
        options=tuple(options),
        best=next((o for o in options if not limits.broken_by(o)), None),
        limits=limits,
        tasks={task.name: len(task.queries) for task in tasks},
        documents=sum(len(some) for i, some in enumerate(lists) if some not in lists[:i]),
        failures=tuple(failures),
        notes=tuple(notes),
    )


def _aligned(
    tasks: Sequence[Retrieval], folders: Sequence[str], measured: Sequence[tuple[str, dict[str, Any]]]
) -> tuple[list[Retrieval], list[Measured]]:
    """Tasks with the queries that every candidate could be asked, and the values of these."""
    kept: list[Retrieval] = []
    values: list[dict[str, Any]] = [{} for _ in measured]
    for task, folder in zip(tasks, folders, strict=True):
        places = [{name: i for i, name in enumerate(facts["queries"][folder])} for _, facts in measured]
        rows = [i for i, name in enumerate(task.names[1]) if all(name in place for place in places)]
        if not rows:
            continue
        kept.append(task.only(range(len(task.documents)), rows))
        names = kept[-1].names[1]
        for (_, facts), place, some in zip(measured, places, values, strict=True):
            picked = [place[name] for name in names]
            some[task.name] = {
                way: {measure: np.array(x)[picked] for measure, x in found.items()}
                for way, found in facts["values"][folder].items()
            }
    return kept, [Measured(label, facts, some) for (label, facts), some in zip(measured, values, strict=True)]


def _measure(
    candidate: Candidate, folders: Sequence[Path], heads: Sequence[Head] | None, scratch: Path
) -> dict[str, Any]:
    """What the candidate's process writes, or {"error": why there is nothing}."""
    request, result = scratch / "request.json", scratch / "result.json"
    result.unlink(missing_ok=True)
    asked = {
        "source": _absolute(candidate.source),
        "weights": _absolute(candidate.weights),
        "tasks": [str(folder) for folder in folders],
        "heads": list(heads) if heads else None,
        "k": K,
    }
    request.write_text(json.dumps(asked), "utf-8")
    path = os.pathsep.join(os.path.abspath(place) for place in sys.path)  # the child finds what this process finds
    done = subprocess.run(
        [sys.executable, "-m", "onespace.choose.child", str(request), str(result)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=scratch,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    if result.is_file():
        return dict(json.loads(result.read_text("utf-8")))
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        why = " (the system ran out of memory, most likely)" if name == "SIGKILL" else ""
        return {"error": f"its process was ended by {name}{why}."}
    said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    return {"error": f"its process failed: {said[-1]}"}


def _absolute(name: str | None) -> str | None:
    return str(Path(name).resolve()) if name and Path(name).exists() else name
