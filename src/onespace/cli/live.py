"""What a person sees while a model is trained: a bar, the curves and the measurements; in a pipe, a line at a time."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from onespace.cli.output import note

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve in one line of text, its newest point at the right; long ones are thinned out by means.

    >>> sparkline([1, 2, 3, 8])
    '▁▂▃█'
    >>> sparkline([5.0])
    '▁'
    """
    size = -(-len(values) // width) or 1
    means = [sum(values[i : i + size]) / len(values[i : i + size]) for i in range(0, len(values), size)]
    low, high = min(means), max(means)
    return "".join(BARS[int((v - low) / ((high - low) or 1) * (len(BARS) - 1))] for v in means)


class View:
    """Is told each row of a run. It draws on a terminal, and prints plain lines on standard error anywhere else."""

    def __init__(self, *, terminal: bool | None = None) -> None:
        self.rows: list[dict[str, float]] = []
        self.measured: list[dict[str, float]] = []
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._live: Live | None = None

    def __call__(self, row: Mapping[str, float]) -> None:
        """Shows a row of the log, or a measurement, which has no loss."""
        (self.rows if "loss" in row else self.measured).append(dict(row))
        if not self._terminal:
            note(line({k: v for k, v in row.items() if k != "steps"}))
        elif self._live is not None:
            self._live.update(self.drawn())

    def __enter__(self) -> View:
        if self._terminal:
            from rich.console import Console
            from rich.live import Live

            self._live = Live("reading the data", console=Console(stderr=True), refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def drawn(self) -> Group:
        """The whole view: progress, a curve for each number, and what was measured."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        curves = Table.grid(padding=(0, 2))
        for rows in (self.rows, self.measured):
            for name in (n for n in (rows[-1] if rows else ()) if n not in ("step", "steps", "seconds")):
                values = [row[name] for row in rows]
                curves.add_row(Text(name, "bold"), f"{values[-1]:.4g}", Text(sparkline(values), "cyan"))
        step, steps = (int((self.rows or self.measured)[-1][name]) for name in ("step", "steps"))
        head = Table.grid(padding=(0, 2))
        head.add_row(f"step {step} of {steps}", *self._time(steps - step))
        bar = Table.grid()
        bar.add_row(ProgressBar(steps, step, width=WIDTH))
        return Group(head, bar, curves)

    def _time(self, more: int) -> tuple[str, ...]:
        """Seconds a step, lately, and how long so many more take."""
        if len(self.rows) < 2:
            return ()
        seconds = self.rows[-1]["seconds"] / (self.rows[-1]["step"] - self.rows[-2]["step"])
        left = more * seconds
        return (f"{seconds:.2f} s a step", f"{left / 60:.0f} min left" if left >= 60 else f"{left:.0f} s left")


def line(row: Mapping[str, float]) -> str:
    """One row as a line.

    >>> line({"step": 10, "loss": 1.23456, "seconds": 2.0})
    'step 10  loss 1.235  seconds 2'
    """
    return "  ".join(f"{name} {value:.4g}" if name != "step" else f"step {int(value)}" for name, value in row.items())
