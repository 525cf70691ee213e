"""The end of a move to another model (see `onespace.store.migrate`): one small file says which log counts."""

from __future__ import annotations

import os
import shutil
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

from onespace.errors import LockedError
from onespace.store.lock import Lock
from onespace.store.log import Log
from onespace.store.places import CURRENT, Place
from onespace.store.store import Store

BEFORE = "before"
"""What the new log says of the one that it took the place of."""


def switch(place: Place, new: Store, notes: Log) -> None:
    """Makes the new log the one that counts. Whatever happens in between, one of the two is the store, whole."""
    before, path, generation = place.log, notes.path, uuid4().hex[:12]
    built = new.place.engine_folder(notes.meta("generation"))
    new.close()
    was = before.relative_to(place.folder).as_posix()
    notes.set_meta(generation=generation, place=place.collection, **{BEFORE: was})
    notes.close()
    os.replace(built, place.engine_folder(generation))
    pointer = place.folder / f"{CURRENT}.part"
    with pointer.open("w", encoding="utf-8") as file:
        file.write(path.relative_to(place.folder).as_posix())
        file.flush()
        os.fsync(file.fileno())
    os.replace(pointer, place.folder / CURRENT)
    _sync(place.folder)
    _clear(place, before)


def finish(place: Place) -> None:
    """Does what a kill after the switch left undone."""
    with closing(Log(place.log, read_only=True)) as now:
        before = now.meta(BEFORE)
    if before and (place.folder / before) != place.log and (place.folder / before).exists():
        with suppress(LockedError):
            lock = Lock(place.folder)
            _clear(place, place.folder / before)
            lock.release()


def _clear(place: Place, before: Path) -> None:
    """Takes away what the store was, and moves to yet other models; whoever searches it goes on with what is open."""
    for path in (before, Path(f"{before}-wal"), Path(f"{before}-shm")):
        with suppress(OSError):
            path.unlink()
    with closing(Log(place.log, read_only=True)) as now:
        engine = place.engine_folder(now.meta("generation"))
    for folder in (*place.folder.glob("model-*"), *place.folder.glob("engine-*")):
        if folder not in (place.log.parent, engine):
            shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Makes the names in a folder outlast the machine, where folders can be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
