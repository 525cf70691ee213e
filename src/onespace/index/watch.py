"""Keeps a store in step with folders for as long as it is asked to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from onespace.errors import MissingExtra
from onespace.index.indexer import Indexer, Report

QUIET = 300
"""Milliseconds without a change after which changes are followed."""
PATIENCE = 500
"""Milliseconds after which the first run starts, and within which ``stop`` is noticed."""


def watch(
    indexer: Indexer, paths: Sequence[str | Path], *, stop: Event, progress: bool | None = False
) -> Iterator[Report]:
    """Indexes the paths, and again after every change below them, until ``stop`` is set; yields what each run did.

    Raises:
        MissingExtra: watchfiles isn't installed.
        InputError: a path that can't be indexed.
        StoreError: the store can't be written any more.
    """
    try:
        from watchfiles import watch as changes
    except ImportError as error:
        raise MissingExtra("watching a folder", "watchfiles", "watch") from error
    own = str(indexer.store.place.folder.absolute())
    folders = {str(path if path.is_dir() else path.parent) for path in map(Path, paths)}
    seen = changes(
        *sorted(folders),
        watch_filter=lambda _, path: not path.startswith(own),
        step=QUIET,
        stop_event=stop,
        rust_timeout=PATIENCE,
        yield_on_timeout=True,
        raise_interrupt=False,
        recursive=indexer.options.selection.recursive,
    )
    first = True  # it starts when changes are noted already, so that none is missed
    for changed in seen:
        if changed or first:
            first = False
            yield indexer.run([path for path in paths if os.path.exists(path)], stop=stop.is_set, progress=progress)
