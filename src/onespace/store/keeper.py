"""Keeps an engine in step with the log, after every change, after a crash, and while it is built anew."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np

from onespace.errors import Error, StoreError
from onespace.store.edge import EdgeEngine
from onespace.store.engine import Engine, Layout
from onespace.store.filters import Filter
from onespace.store.log import Log
from onespace.store.places import Place

log = logging.getLogger(__name__)

BATCH = 64
"""Rows that an engine gets at once; a search waits for at most so many."""
FLUSH = 2_000
"""Changes after which an engine is flushed; an unflushed one is caught up from the log."""
GROWTH = 20_000
"""Rows since the graph was built, at least, before it is built anew; and at least half as many as it has."""
RESERVE = 64_000_000
"""Bytes that must be free before an embedded engine is written: on a full disk its mapped files end the process."""
T = TypeVar("T")


class Keeper:
    """The engine of a store. Changes come one after another; searches never wait for the building of a graph."""

    def __init__(self, log: Log, place: Place, layout: Layout) -> None:
        """Opens the engine and catches it up. Raises `StoreError` when it can't be reached, or isn't this store's."""
        self.log = log
        self.place = place
        self.layout = layout
        self._changing = threading.RLock()
        self._using: AbstractContextManager[Any] = nullcontext() if place.remote else threading.RLock()
        self._builder: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._failure: BaseException | None = None
        self._closing = False
        self._reached, self._gone, self._unflushed = int(log.meta("applied") or 0), 0, 0
        generation = log.meta("generation")
        own = place.engine_folder(generation)
        if place.kind == "embedded":
            for stray in place.folder.glob("engine-*"):
                if stray != own:
                    shutil.rmtree(stray, ignore_errors=True)
        self._need_room(0 if own.exists() else RESERVE)
        with self._told():
            self.engine: Engine = place.engine(layout, generation)
        try:
            self._claim()
            self.catch_up()
            self._check()
        except BaseException:
            self.engine.close()
            raise

    def change(self, write: Callable[[], T]) -> T:
        """Writes to the log, then to the engine; what ``write`` returned from stays, whatever the engine does."""
        with self._changing:
            self._need_room()
            done = write()
            self.catch_up()
        return done

    def catch_up(self) -> None:
        """Brings the engine whatever the log has and it lacks."""
        with self._changing, self._told():
            gone = self.log.gone(self._gone)
            if gone or self.log.last()[0] > self._reached:
                self._need_room(RESERVE // 2)
            for start in range(0, len(gone), BATCH):
                with self._using:
                    self.engine.delete([key for _, key in gone[start : start + BATCH]])
            self._gone = gone[-1][0] if gone else self._gone
            self._unflushed += len(gone)
            while rows := self.log.after(self._reached, most=BATCH):
                with self._using:
                    self.engine.upsert(rows)
                self._reached = rows[-1].key
                self._unflushed += len(rows)
            if self._unflushed >= FLUSH:
                self.flush()

    def flush(self) -> None:
        """Makes the engine durable, and notes how far it is."""
        with self._changing, self._told():
            self.engine.flush()
            self.log.settle(self._reached, 0 if self._builder else self._gone)
            self._unflushed = 0

    def dense(self, vector: np.ndarray, *, k: int, filter: Filter | None) -> list[int]:
        """See `Engine`."""
        with self._using, self._told():
            return self.engine.dense(vector, k=k, filter=filter)

    def sparse(self, terms: np.ndarray, weights: np.ndarray, *, k: int, filter: Filter | None) -> list[int]:
        """See `Engine`."""
        with self._using, self._told():
            return self.engine.sparse(terms, weights, k=k, filter=filter)

    def grown(self) -> bool:
        """Whether an embedded engine has so many new rows that its graph is worth building."""
        if not isinstance(self.engine, EdgeEngine) or self._builder is not None:
            return False
        built = int(self.log.meta("built") or 0)
        return self._reached - built >= max(GROWTH, built // 2)

    def build(self, *, wait: bool) -> None:
        """Builds an embedded engine anew, graph and all, beside the one that answers meanwhile."""
        with self._changing:
            if isinstance(self.engine, EdgeEngine) and self._builder is None:
                self._need_room(RESERVE + 3 * _size(self.engine.folder))
                self._failure = None
                self._builder = threading.Thread(target=self._run, name="onespace-build", daemon=True)
                self._builder.start()
            builder = self._builder
        if wait and builder is not None:
            builder.join()
            if self._failure is not None:
                raise StoreError(f"{self.place.name}: the graph wasn't built ({self._failure}). The store is whole.")

    @property
    def building(self) -> bool:
        """Whether a build is under way."""
        return self._builder is not None

    def close(self) -> None:
        """Stops a build, flushes, and lets the engine go."""
        self._closing = True
        builder, child = self._builder, self._child
        if child is not None:
            child.terminate()
        if builder is not None:
            builder.join()
        try:
            if self._unflushed:
                self.flush()
        finally:
            self.engine.close()

    def _run(self) -> None:
        generation = uuid4().hex[:12]
        folder = self.place.engine_folder(generation)
        try:
            self._build(folder, generation)
        except BaseException as error:  # handed to whoever waits
            self._failure = error
            shutil.rmtree(folder, ignore_errors=True)
            if not self._closing:
                log.warning("%s: the graph wasn't built (%s); the store is whole", self.place.name, error)
        finally:
            self._builder = self._child = None

    def _build(self, target: Path, generation: str) -> None:
        with self._changing:
            last, gone = self._reached, self._gone
        numbers = [str(n) for n in (last, self.layout.dense, self.layout.vocab)]
        command = [sys.executable, "-m", "onespace.store.rebuild", str(self.log.path), str(target), *numbers]
        self._child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _, said = self._child.communicate()
        if self._child.returncode:
            raise StoreError(said.decode(errors="replace").strip().rpartition("\n")[2] or "it was stopped")
        with self._changing:
            if self._closing:
                raise StoreError("the store was closed")
            self.catch_up()
            engine = EdgeEngine(target, self.layout)
            if since := [key for _, key in self.log.gone(gone)]:
                engine.delete(since)
            key = last
            while rows := self.log.after(key, most=BATCH):
                engine.upsert(rows)
                key = rows[-1].key
            engine.flush()
            self.log.settle(key, self._gone, generation=generation, built=str(last))
            with self._using:
                old, self.engine = self.engine, engine
            self._unflushed = 0
            old.close()
        if isinstance(old, EdgeEngine):
            shutil.rmtree(old.folder, ignore_errors=True)

    def _need_room(self, bytes: int | None = None) -> None:
        """Raises `StoreError` when an embedded engine could fill the disk."""
        if self.place.kind != "embedded":
            return
        free, need = shutil.disk_usage(self.place.folder).free, RESERVE if bytes is None else bytes
        if free < need:
            raise StoreError(
                f"{self.place.folder}: the disk has {free / 1e6:.0f} MB left, and {need / 1e6:.0f} MB must be free to "
                "write safely. Nothing more is written. Make room, and call again."
            )

    def _claim(self) -> None:
        """Makes sure that a collection is this store's before anything is written to it."""
        if self.log.meta("place") == self.place.collection:
            return
        with self._told():
            held = self.engine.count()
        if held and self.place.cluster is not None:
            raise StoreError(
                f"{self.place.name} already holds {held} rows that aren't of the log in {self.place.folder}. Open it "
                "with its own log (StoreOptions(log=...)), or choose another name."
            )
        self.log.set_meta(place=self.place.collection, applied="0")
        self._reached = 0

    def _check(self) -> None:
        """Counts; an engine that lost rows, or has too many, is filled anew from the log."""
        with self._changing, self._told():
            held, wanted = self.engine.count(), self.log.rows()
            if held == wanted:
                return
            log.warning("%s: the engine holds %d rows, the log %d; it is filled anew", self.place.name, held, wanted)
            self.engine.clear()
            self._reached = 0
            self.log.settle(0, 0, built="0")
            self.catch_up()
            if self.engine.count() != wanted:
                raise StoreError(f"{self.place.name}: the engine doesn't hold what it was given. Check its own log.")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns an engine's errors, which have no common kind, into a `StoreError`."""
        try:
            yield
        except Error:
            raise
        except Exception as error:
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            raise StoreError(
                f"{self.place.name}: the engine failed ({said}). What was acknowledged is in the log; once the engine "
                "is well, open the store again to catch it up."
            ) from error


def _size(folder: Path) -> int:
    """Bytes that a folder's files take: they are sparse, so blocks are counted where there is a count."""
    stats = [path.stat() for path in folder.rglob("*")]
    return sum(min(stat.st_size, getattr(stat, "st_blocks", 1 << 40) * 512) for stat in stats)
