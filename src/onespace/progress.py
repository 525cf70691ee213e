"""A progress bar on standard error, for a person who waits."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Bar

PATIENCE = 2.0
"""Seconds of work before a bar that nobody asked for appears."""


class Progress:
    """Counts items. ``shown=True`` draws a bar, ``False`` none, ``None`` only for long work in a terminal.

    ``total`` may be set anew while it is being found out.
    """

    def __init__(self, total: int | None, *, shown: bool | None, label: str = "encoding") -> None:
        self.total = total
        self.label = label
        self.done = 0
        self._bar: Bar | None = None
        self._from = 0.0 if shown else monotonic() + PATIENCE
        self._possible = shown or (shown is None and sys.stderr.isatty())

    def advance(self, n: int) -> None:
        """Says that n more items are done."""
        self.done += n
        if self._bar is None and self._possible and monotonic() >= self._from:
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task(self.label, total=self.total, completed=self.done)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, total=self.total)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.1f}/s", style="progress.data.speed")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True), transient=True)
