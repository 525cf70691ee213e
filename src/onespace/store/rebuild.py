"""Builds an embedded engine from a log, in a process of its own: ``python -m onespace.store.rebuild``.

Its arguments are the log, the folder to make, the last key to take, the width D and the size of the vocabulary.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from onespace.store.edge import EdgeEngine
from onespace.store.engine import Layout
from onespace.store.log import Log

ROWS = 1000


def build(path: Path, folder: Path, last: int, layout: Layout) -> None:
    """Writes all rows up to a key into a new engine, and builds its graph."""
    log, engine = Log(path, read_only=True), EdgeEngine(folder, layout)
    key = 0
    while rows := [row for row in log.after(key, most=ROWS) if row.key <= last]:
        engine.upsert(rows)
        key = rows[-1].key
    engine.optimise()
    engine.close()
    log.close()


def main(argv: Sequence[str]) -> None:
    """Runs politely: searches go first."""
    path, folder, last, dense, vocab = argv
    if hasattr(os, "nice"):
        os.nice(10)
    build(Path(path), Path(folder), int(last), Layout(int(dense), int(vocab)))


if __name__ == "__main__":
    main(sys.argv[1:])
