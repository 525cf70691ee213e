"""What was indexed: the files of which all is acknowledged that can be, kept as tables in the store's own log.

A file is noted as pending before the store is changed for it, and as done once the store has acknowledged all of its
items. Whatever happens in between, the next run looks at a pending file again, item by item. A copy or a backup of the
log has both, so they can't disagree.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from onespace.errors import InputError, StoreError
from onespace.index.documents import HASH, PATH, Broken
from onespace.index.pictures import Seen
from onespace.index.walk import Base
from onespace.store.log import Log
from onespace.store.places import Place
from onespace.types import OnLoss

TABLES = """
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, sha256 TEXT, reading TEXT,
    items INTEGER, broken TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file_pictures (file TEXT, path TEXT, size INTEGER, mtime INTEGER, sha256 TEXT,
    PRIMARY KEY (file, path)) WITHOUT ROWID
"""
BASE, ON_LOSS = "base", "on_loss"
"""What the log says besides: where names are seen from (as seen from the store), and how losses are met."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """One file as it was when it was indexed; ``sha256`` is empty while it is pending."""

    size: int
    mtime: int
    sha256: str
    reading: str
    """How it was read: another way gives other items."""
    items: int
    broken: tuple[Broken, ...] = ()
    """What of it can't be indexed, as long as it stays as it is."""

    @property
    def pending(self) -> bool:
        """Whether the store may hold only some of its items, or items of an earlier version."""
        return not self.sha256


class Manifest:
    """The manifest of one store. ``files`` is all of it, by name, and what is written is written there too."""

    def __init__(self, log: Log | None, place: Place) -> None:
        """Use `read` or `open`."""
        self._log = log
        self.place = place
        self.files: dict[str, Indexed] = {}
        folder = place.folder.absolute()
        self.base = Base(Path(os.path.normpath(folder / base)) if (base := self.meta(BASE)) else Path.cwd())
        if self._select("SELECT 1 FROM sqlite_schema WHERE name = 'files'"):
            sql = "SELECT name, size, mtime, sha256, reading, items, broken FROM files"
            for name, size, mtime, sha256, reading, items, broken in self._select(sql):
                told = tuple(Broken(*one) for one in json.loads(broken))
                self.files[name] = Indexed(size, mtime, sha256, reading, items, told)

    @classmethod
    def read(cls, place: Place) -> Manifest:
        """That of a store that needn't be open, to be read only; an empty one where there is no store."""
        return cls(Log.found(place.log), place)

    @classmethod
    def open(cls, place: Place) -> Manifest:
        """That of a store that is open for writing; made where there is none, from what the store holds."""
        manifest = cls(Log(place.log), place)
        if not manifest.meta(BASE):
            with manifest._writing() as db:
                for statement in TABLES.split(";"):
                    db.execute(statement)
            sql = "SELECT DISTINCT value FROM facts WHERE name = ? AND item IN (SELECT item FROM facts WHERE name = ?)"
            manifest.begin({name: "" for (name,) in manifest._select(sql, PATH, HASH)})
            manifest.set_meta(base=manifest.base.seen_from(place.folder))
        return manifest

    def meta(self, name: str) -> str:
        """A value that is kept beside the files; empty when it isn't there."""
        return "" if self._log is None else self._log.meta(name)

    def set_meta(self, **values: str) -> None:
        """Keeps a few values together."""
        self._there().set_meta(**values)

    def agree(self, on_loss: OnLoss | None) -> OnLoss:
        """How the store's items lose what a model can't take; without a wish, as before.

        Raises:
            InputError: another way than before, by which the store's vectors would be mixed.
        """
        before = cast("OnLoss | None", self.meta(ON_LOSS) or None)
        if on_loss and before and on_loss != before:
            raise InputError(
                f"{self.place.name} was indexed with on_loss={before!r}, not {on_loss!r}. Give the same again, or "
                "index into another store."
            )
        return on_loss or before or "warn"

    def begin(self, readings: Mapping[str, str]) -> None:
        """Notes files as pending, by their names and how they are read."""
        pending = {name: Indexed(-1, -1, "", reading, 0) for name, reading in readings.items()}
        news = [(name, indexed) for name, indexed in pending.items() if self.files.get(name) != indexed]
        if news:
            self._write(news)

    def finish(self, files: Mapping[str, tuple[Indexed, Iterable[Seen]]]) -> None:
        """Notes files as done, with the pictures that the rows of each name."""
        if files:
            pictures = [(name, s.path, s.size, s.mtime, s.sha256) for name, (_, seen) in files.items() for s in seen]
            self._write([(name, indexed) for name, (indexed, _) in files.items()], pictures)

    def forget(self, names: Sequence[str]) -> None:
        """Takes files out, once the store has none of their items."""
        with self._writing() as db:
            for table, column in (("files", "name"), ("file_pictures", "file")):
                db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(name,) for name in names])
        for name in names:
            self.files.pop(name, None)

    def pictures(self, name: str) -> list[Seen]:
        """The pictures that a table named when it was last read."""
        if name not in self.files:
            return []
        sql = "SELECT path, size, mtime, sha256 FROM file_pictures WHERE file = ?"
        return [Seen(*row) for row in self._select(sql, name)]

    def close(self) -> None:
        """Lets go of the log."""
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, files: Sequence[tuple[str, Indexed]], pictures: Sequence[tuple[object, ...]] = ()) -> None:
        rows = [
            (name, i.size, i.mtime, i.sha256, i.reading, i.items, json.dumps([[b.name, b.reason] for b in i.broken]))
            for name, i in files
        ]
        with self._writing() as db:
            db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            if any(not i.pending for _, i in files):
                db.executemany("DELETE FROM file_pictures WHERE file = ?", [(name,) for name, _ in files])
            db.executemany("INSERT OR REPLACE INTO file_pictures VALUES (?, ?, ?, ?, ?)", pictures)
        self.files.update(files)

    def _select(self, sql: str, *values: object) -> list[Any]:
        return [] if self._log is None else self._log.select(sql, *values)

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._there().writing()

    def _there(self) -> Log:
        if self._log is None:
            raise StoreError(f"{self.place.name} holds no store. Open one first.")
        return self._log
