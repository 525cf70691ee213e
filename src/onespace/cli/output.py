"""How results are printed: a rich table on a terminal, aligned plain text in a pipe, or JSON."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def emit_json(data: Any) -> None:
    """Prints one JSON document."""
    print(json.dumps(data, ensure_ascii=False, indent=2))


def note(message: str) -> None:
    """One line for the person at the terminal, on stderr, so that stdout stays data."""
    print(message, file=sys.stderr)


@contextmanager
def losses_told_here() -> Iterator[None]:
    """Keeps the encoder from logging what was cut off, where the command says it line by line."""
    logger = logging.getLogger("onespace")

    def hide(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(hide)
    try:
        yield
    finally:
        logger.removeFilter(hide)


def counted(n: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "item"), counted(2000, "item")
    ('1 item', '2,000 items')
    """
    return f"{n:,} {thing}{'s' * (n != 1)}"


def width(text: str) -> int:
    """Columns that a text takes on a terminal: a Chinese character takes two.

    >>> width("whale"), width("鲸鱼")
    (5, 4)
    """
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text with spaces up to that many terminal columns.

    >>> pad("鲸", 4) + "|"
    '鲸  |'
    """
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0) -> str:
    """Aligned columns as text; the last `numbers` columns are set to the right.

    >>> print(plain_table(["", "a"], [["鲸", "1.00"]], numbers=1))
           a
    鲸  1.00
    """
    table = [list(header), *map(list, rows)]
    columns = [max(width(cell) for cell in column) for column in zip(*table, strict=True)]
    first = len(columns) - numbers
    lines = (
        "  ".join(pad(cell, w, right=i >= first) for i, (cell, w) in enumerate(zip(row, columns, strict=True)))
        for row in table
    )
    return "\n".join(line.rstrip() for line in lines)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0, title: str = "") -> None:
    """A table for people; the last `numbers` columns are numbers."""
    if not sys.stdout.isatty():
        if title:
            print(title)
        print(plain_table(header, rows, numbers=numbers))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i >= len(header) - numbers else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
