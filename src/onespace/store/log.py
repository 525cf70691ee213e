"""The durable half of a store: one SQLite file with every item, its vectors and its metadata.

What `Log.put` or `Log.remove` returned from is on the disk. Engines are caught up from here, and can be built anew.

    items   id, reference, metadata        facts   metadata again, one value a row, indexed: what filters read
    rows    the vectors; the key of a row is never used twice, so that an engine can be told of it any number of times
    gone    keys that engines may still hold       meta, canaries   see `onespace.store.passport`
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from onespace.embeddings import Embeddings
from onespace.errors import InputError, StoreError
from onespace.parts import Part, Parts
from onespace.store.blobs import Blobs, Shape, terms, unpack
from onespace.store.engine import Metadata, Row
from onespace.store.filters import Filter, kind_of
from onespace.store.references import Picture, Reference
from onespace.types import HEADS, Modality

Id: TypeAlias = "str | int"

VERSION = 1
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE items (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, modality TEXT NOT NULL,
    text TEXT NOT NULL, pictures TEXT NOT NULL, metadata TEXT NOT NULL, thumbnail BLOB);
CREATE TABLE facts (name TEXT, kind TEXT, value, item INTEGER, PRIMARY KEY (name, kind, value, item)) WITHOUT ROWID;
CREATE INDEX facts_item ON facts (item);
CREATE TABLE rows (key INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL, modality TEXT NOT NULL,
    part TEXT NOT NULL, dense BLOB, sparse BLOB, boxes BLOB, multi BLOB);
CREATE INDEX rows_item ON rows (item);
CREATE TABLE gone (number INTEGER PRIMARY KEY AUTOINCREMENT, key INTEGER NOT NULL);
CREATE TABLE canaries (number INTEGER PRIMARY KEY, modality TEXT NOT NULL,
    dense BLOB, sparse BLOB, boxes BLOB, multi BLOB);
"""
WAIT = 30.0
"""Seconds that a write waits for another connection."""


@dataclass(frozen=True)
class Entry:
    """One item to be kept: a `Part` and `Blobs` for each of its rows."""

    id: Id
    reference: Reference
    metadata: Metadata
    rows: Sequence[tuple[Modality, Part, Blobs]]


@dataclass(frozen=True, slots=True)
class Stored:
    """One item as it is kept; ``number`` counts what was ever added."""

    number: int
    id: Id
    reference: Reference
    metadata: Metadata


class Log:
    """A log in a file; safe to share between threads, one of which writes at a time."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Opens or creates a file. Raises `StoreError` when it can't be read, or isn't a store of this version."""
        self.path = path
        self.read_only = read_only
        self._mutex = threading.RLock()
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._uri = f"{path.absolute().as_uri()}?{_mode(path) if read_only else 'mode=rwc'}"
        try:
            with self._told():
                self._writer = self._connect()
                self.new = not self._one("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'")
            if not self.new and self.meta("version") != str(VERSION):
                raise StoreError(
                    f"{path} has layout {self.meta('version')}; this onespace reads {VERSION}. Update onespace."
                )
        except BaseException:
            self.close()
            raise

    # -- writing -----------------------------------------------------------------------------------------------------

    def create(self, meta: Mapping[str, str], canaries: Sequence[tuple[Modality, Blobs]]) -> None:
        """Lays out a new log, whole or not at all."""
        with self._told():
            self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._writer.execute("PRAGMA journal_mode = WAL")
        with self.writing() as db:
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            db.executemany("INSERT INTO meta VALUES (?, ?)", [("version", str(VERSION)), *meta.items()])
            values = [(modality, b.dense, b.sparse, b.boxes, b.multi) for modality, b in canaries]
            db.executemany(
                "INSERT INTO canaries (modality, dense, sparse, boxes, multi) VALUES (?, ?, ?, ?, ?)", values
            )
        self.new = False

    @classmethod
    def found(cls, path: Path) -> Log | None:
        """A log to read from; None where there is none, or only what is left of making one."""
        log = cls(path, read_only=True) if path.is_file() else None
        if log is not None and log.new:
            log.close()
            return None
        return log

    def put(self, entries: Sequence[Entry], meta: Mapping[str, str] | None = None) -> None:
        """Writes items, each in place of the one with its id, and values: on return all are durable, or none is."""
        with self.writing() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list((meta or {}).items()))
            for entry in entries:
                key = json.dumps(entry.id, ensure_ascii=False)
                self._forget(db, key)
                r = entry.reference
                pictures = json.dumps([asdict(p) for p in r.pictures], ensure_ascii=False)
                metadata = json.dumps(entry.metadata, ensure_ascii=False)
                number = db.execute(
                    "INSERT INTO items (id, modality, text, pictures, metadata, thumbnail) VALUES (?, ?, ?, ?, ?, ?)",
                    (key, r.modality, r.text, pictures, metadata, r.thumbnail),
                ).lastrowid
                for name, value in entry.metadata.items():
                    facts = {(kind_of(one), one) for one in (value if isinstance(value, list) else [value])}
                    rows = [(name, kind, one, number) for kind, one in facts]
                    db.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?)", rows)
                db.executemany(
                    "INSERT INTO rows (item, modality, part, dense, sparse, boxes, multi) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (number, modality, _part(part), b.dense, b.sparse, b.boxes, b.multi)
                        for modality, part, b in entry.rows
                    ],
                )

    def remove(self, ids: Iterable[Id]) -> int:
        """Takes items away; the number that were there."""
        with self.writing() as db:
            return sum(self._forget(db, json.dumps(id, ensure_ascii=False)) for id in ids)

    def set_meta(self, **values: str) -> None:
        """Writes a few values together."""
        with self.writing() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def settle(self, applied: int, gone: int, **meta: str) -> None:
        """Notes that an engine durably holds all rows up to a key, and none of the first ``gone`` that went."""
        with self.writing() as db:
            db.execute("DELETE FROM gone WHERE number <= ?", (gone,))
            values = {**meta, "applied": str(applied)}
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def compact(self) -> None:
        """Gives room that deleted items took back to the disk."""
        with self._mutex, self._told():
            self._writer.execute("PRAGMA incremental_vacuum").fetchall()
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on the disk afterwards, or none. Raises `StoreError`."""
        if self.read_only:
            raise StoreError(f"{self.path.parent} was opened read-only. Open it without read_only to change it.")
        with self._mutex, self._told():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @staticmethod
    def _forget(db: sqlite3.Connection, id: str) -> int:
        found = db.execute("SELECT number FROM items WHERE id = ?", (id,)).fetchone()
        if found is None:
            return 0
        db.execute("INSERT INTO gone (key) SELECT key FROM rows WHERE item = ?", found)
        for table, column in (("rows", "item"), ("facts", "item"), ("items", "number")):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", found)
        return 1

    # -- reading -----------------------------------------------------------------------------------------------------

    def meta(self, name: str) -> str:
        """A value of ``meta``; empty when it isn't there."""
        return str(self._one("SELECT value FROM meta WHERE name = ?", name) or "")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Whatever this thread reads inside is of one moment."""
        with self._told(), self._reader() as db:
            db.execute("BEGIN")
            self._local.snapshot = db
            try:
                yield
            finally:
                self._local.snapshot = None
                db.execute("COMMIT")

    def count(self, filter: Filter | None = None) -> int:
        """Number of items that fit."""
        if filter is None:
            return int(self._one("SELECT count(*) FROM items"))
        where, values = filter.sql()
        return int(self._one(f"SELECT count(*) FROM items WHERE {where}", *values))

    def rows(self) -> int:
        """Number of rows."""
        return int(self._one("SELECT count(*) FROM rows"))

    def last(self) -> tuple[int, int]:
        """The highest key of a row, and the highest number of one that went."""
        return int(self._one("SELECT max(key) FROM rows") or 0), int(self._one("SELECT max(number) FROM gone") or 0)

    def keys(self, filter: Filter | None = None, *, among: Sequence[int] | None = None) -> np.ndarray:
        """(n, 2): the keys of rows whose items fit, ascending, and the numbers of their items."""
        where, values = filter.sql() if filter else ("1", [])
        source = "rows JOIN items ON items.number = rows.item" if filter else "rows"
        if among is not None:
            where, values = f"rows.key IN (SELECT value FROM json_each(?)) AND {where}", [json.dumps(among), *values]
        sql = f"SELECT rows.key, rows.item FROM {source} WHERE {where} ORDER BY rows.key"
        return np.array(self._all(sql, *values), np.int64).reshape(-1, 2)

    def embeddings(self, keys: Sequence[int], shape: Shape) -> Embeddings:
        """The vectors of rows, in the order of their keys; the heads are those of ``shape``."""
        columns = ", ".join(head if head in shape.heads else "NULL" for head in HEADS)
        boxes = "boxes" if "multi" in shape.heads else "NULL"
        sql = f"SELECT item, modality, part, {columns}, {boxes} FROM rows"
        found = self._all(f"{sql} WHERE key IN (SELECT value FROM json_each(?)) ORDER BY key", json.dumps(list(keys)))
        parts = Parts.of([row[0] for row in found], [_read_part(row[2]) for row in found])
        return unpack([_blobs(row[3:]) for row in found], shape, [row[1] for row in found], parts)

    def of_items(self, numbers: Sequence[int], shape: Shape) -> Embeddings:
        """The vectors of items, in the order of their numbers here."""
        sql = "SELECT item, key FROM rows WHERE item IN (SELECT value FROM json_each(?)) ORDER BY key"
        pairs = self._all(sql, json.dumps(list(numbers)))
        place = {number: i for i, number in enumerate(numbers)}
        order = sorted(range(len(pairs)), key=lambda i: place[pairs[i][0]])
        return self.embeddings([key for _, key in pairs], shape)[order]

    def canaries(self, shape: Shape) -> Embeddings:
        """The vectors of the canaries."""
        found = self._all("SELECT modality, dense, sparse, multi, boxes FROM canaries ORDER BY number")
        return unpack([_blobs(row[1:]) for row in found], shape, [row[0] for row in found], None)

    def after(self, key: int, *, most: int) -> list[Row]:
        """The next rows after a key, as engines take them."""
        sql = "SELECT key, dense, sparse, metadata FROM rows JOIN items ON number = item WHERE key > ? ORDER BY key"
        return [
            Row(key, np.frombuffer(dense, "<f4"), *terms(sparse), json.loads(metadata))
            for key, dense, sparse, metadata in self._all(f"{sql} LIMIT ?", key, most)
        ]

    def gone(self, number: int) -> list[tuple[int, int]]:
        """(number, key) of the rows that went after a number."""
        return self._all("SELECT number, key FROM gone WHERE number > ? ORDER BY number", number)

    def items(self, numbers: Sequence[int]) -> dict[int, Stored]:
        """Items by their numbers."""
        listed = json.dumps([int(n) for n in numbers])
        return {kept.number: kept for kept in self._items("number IN (SELECT value FROM json_each(?))", listed)}

    def by_id(self, ids: Sequence[Id]) -> dict[Id, Stored]:
        """Items by their ids."""
        listed = json.dumps([json.dumps(id, ensure_ascii=False) for id in ids])
        return {kept.id: kept for kept in self._items("id IN (SELECT value FROM json_each(?))", listed)}

    def numbers(self) -> dict[Id, int]:
        """The ids of all items, and their numbers."""
        return {json.loads(id): number for id, number in self._all("SELECT id, number FROM items")}

    def walk(self, filter: Filter | None, *, after: int, most: int) -> list[Stored]:
        """The next items after a number that fit."""
        where, values = filter.sql() if filter else ("1", [])
        return self._items(f"number > ? AND {where} ORDER BY number LIMIT ?", after, *values, most)

    def select(self, sql: str, *values: object) -> list[Any]:
        """Rows of any table: what is kept beside the items may stand in the same file."""
        return self._all(sql, *values)

    def close(self) -> None:
        """Closes every connection; the write-ahead file goes."""
        with self._mutex:
            self._closed = True
            self._idle.clear()
            for connection in reversed(self._opened):
                connection.close()
            self._opened.clear()

    def _items(self, where: str, *values: object) -> list[Stored]:
        columns = "number, id, modality, text, pictures, metadata, thumbnail"
        return [_kept(row) for row in self._all(f"SELECT {columns} FROM items WHERE {where}", *values)]

    def _one(self, sql: str, *values: object) -> Any:
        found = self._all(sql, *values)
        return found[0][0] if found else None

    def _all(self, sql: str, *values: object) -> list[Any]:
        with self._told(), self._reader() as db:
            return db.execute(sql, values).fetchall()

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection to read from: readers see what is committed, and nobody waits for them."""
        held: sqlite3.Connection | None = getattr(self._local, "snapshot", None)
        if held is not None:
            yield held
            return
        with self._mutex:
            reader = self._idle.pop() if self._idle else None
        reader = reader or self._connect()
        try:
            yield reader
        finally:
            with self._mutex:
                self._idle.append(reader)

    def _connect(self) -> sqlite3.Connection:
        with self._mutex:
            if self._closed:
                raise StoreError(f"{self.path.parent} is closed. Open the store again.")
            db = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False, timeout=WAIT)
            self._opened.append(db)
        db.execute(f"PRAGMA query_only = {int(self.read_only)}")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA schema_version").fetchall()
        return db

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns SQLite's errors into a `StoreError` that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {_remedy(error, self.read_only)}") from error


def _mode(path: Path) -> str:
    """How a reader opens a file: where it may, as a writer would, so that its helper files go when it closes."""
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return "mode=rw"
    return "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"


def _remedy(error: sqlite3.Error, read_only: bool) -> str:
    said = str(error)
    if "full" in said or "disk I/O" in said:
        return f"the disk is full or failing ({said}). Nothing of this call was kept. Make room, and call again."
    if "malformed" in said or "not a database" in said:
        return f"the file is damaged or cut short ({said}). Put a copy back, or index the items anew."
    if "closed database" in said:
        return "the store is closed. Open it again."
    if "unable to open" in said:
        return f"it isn't there or can't be read ({said}). Check the path{'' if read_only else ' and permissions'}."
    if "readonly" in said:
        return f"it can't be written ({said}). Change its permissions, or open the store with read_only=True."
    return f"{said}. Nothing of this call was kept."


def _part(part: Part) -> str:
    box = None if np.isnan(part.box[0]) else [round(float(x), 2) for x in part.box]
    return json.dumps([part.kind, box, list(part.span), part.picture])


def _read_part(text: str) -> Part:
    kind, box, span, picture = json.loads(text)
    blank = Part()
    return Part(kind, blank.box if box is None else tuple(box), tuple(span), picture)


def _blobs(row: Sequence[Any]) -> Blobs:
    dense, sparse, multi, boxes = row
    return Blobs(dense, sparse, multi, boxes or b"")


def _kept(row: Sequence[Any]) -> Stored:
    number, id, modality, text, pictures, metadata, thumbnail = row
    reference = Reference(modality, text, tuple(Picture(**p) for p in json.loads(pictures)), thumbnail)
    return Stored(number, json.loads(id), reference, json.loads(metadata))


def check_id(id: object, where: str) -> Id:
    """Raises `InputError` for an id that is neither a text nor a whole number."""
    if isinstance(id, bool) or not isinstance(id, (str, int)):
        raise InputError(f"{where}: the id is {type(id).__name__} {id!r}. Use a text or a whole number.")
    return id
