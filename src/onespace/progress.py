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
    """Counts items. ``shown=True`` draws a bar, ``False`` none, ``None`` only for long work in a terminal."""

    def __init__(self, total: int | None, *, shown: bool | None) -> None:
        self.total = total
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
            self._bar.add_task("encoding", total=self.total)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True), transient=True)
