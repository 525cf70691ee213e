"""Draws a run's log: one small panel for each number, so that a part that stands still is seen."""

from __future__ import annotations

from pathlib import Path

from onespace.errors import InputError, MissingExtra
from onespace.train.loop import read_log

SKIPPED = ("step", "seconds")


def plot_log(folder: Path, target: Path) -> Path:
    """Writes a PNG of all curves in ``folder/log.jsonl`` over the steps.

    Raises:
        InputError: there is no log, or it has no row yet.
        MissingExtra: matplotlib isn't installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("drawing curves", "matplotlib", "train") from error

    rows = read_log(folder)
    if not rows:
        raise InputError(f"{folder}: no log.jsonl with rows. Train for a few steps first.")
    names = [name for name in rows[-1] if name not in SKIPPED]
    columns = 4
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3 * columns, 2 * lines), layout="constrained")
    for index, name in enumerate(names):
        panel = figure.add_subplot(lines, columns, index + 1)
        known = [(row["step"], row[name]) for row in rows if name in row]
        panel.plot(*zip(*known, strict=True), linewidth=1)
        panel.set_title(name, fontsize=9)
        panel.tick_params(labelsize=7)
    figure.savefig(target, dpi=110)
    return target
