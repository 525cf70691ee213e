"""Moves a store to another model: every item is read again, encoded anew, and kept beside the store that serves on.

    pictures.db/log.sqlite      the store as it is: it is searched, and may be changed, meanwhile
    pictures.db/model-1f2e3d/   the new one, an ordinary store; a move that was killed goes on from there
    pictures.db/current         names the log that counts: writing this file is the switch

Items that change meanwhile are followed: they have higher numbers in the log. Those that can't be read again are lost
to the new model; what then is for `MigrateOptions.lost` to say.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from onespace.encoder import Encoder
from onespace.errors import InputError, LockedError, StoreError
from onespace.files.salvage import reason, salvage
from onespace.prepare.items import normalise
from onespace.prepare.sources import read_bytes
from onespace.progress import Progress
from onespace.store import keeper
from onespace.store.lock import Lock
from onespace.store.log import SCHEMA, Id, Log, Stored
from onespace.store.passport import Passport
from onespace.store.places import Place
from onespace.store.references import Reference, refer
from onespace.store.store import Store, StoreOptions
from onespace.store.switch import BEFORE, finish, switch
from onespace.types import HEADS, Item, OnLoss, Pair

WhenLost: TypeAlias = Literal["stop", "drop", "thumbnail"]
BATCH = 64
"""Items that are encoded, and become durable, together: what a kill can cost."""
PAUSE = 0.5
"""Seconds between two looks at a store that another process has open."""
OWN_TABLES = frozenset(re.findall(r"CREATE TABLE (\w+)", SCHEMA))
MOVED, SOURCE = "moved", "source"
"""What the new log says of the move: how far it is, and which store it is of."""
OWN_META = frozenset({"version", "passport", "place", "applied", "generation", "built", BEFORE, MOVED, SOURCE})
"""What a log says of itself and of its engine. All else is carried over."""


@dataclass(frozen=True)
class MigrateOptions:
    """How to move."""

    lost: WhenLost = "stop"
    """What becomes of items whose source is gone: ``"stop"`` doesn't switch while there are any, ``"drop"`` leaves
    them out, and ``"thumbnail"`` takes the small picture that was kept, which loses detail."""
    wait: bool = False
    """Waits until a process that has the store open closes it, and follows what that changes."""
    again: Callable[[Stored], Item | None] | None = None
    """Makes items anew that aren't just a text and files, such as the page of a document; None for any other."""
    log: str | Path | None = None
    """Folder of the old store's log, where its vectors are elsewhere; by default ``NAME.onespace``."""
    api_key: str | None = None
    """For a cluster that the new store is made in."""


@dataclass
class Migration:
    """What was done. ``switched`` says whether the store is the new one now; ``held`` by whom it couldn't be."""

    store: str
    model: str
    items: int = 0
    encoded: int = 0
    """Items of this run."""
    removed: int = 0
    lost: dict[Id, str] = field(default_factory=dict)
    """Items that the new store lacks, and why."""
    switched: bool = False
    held: str = ""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"lost": [{"id": id, "reason": why} for id, why in self.lost.items()]}


def migrate(
    target: str | Path,
    model: Encoder,
    *,
    out: str | Path | None = None,
    options: MigrateOptions | None = None,
    progress: bool | None = False,
) -> Migration:
    """Moves a store to another model. Called again after a kill, it goes on; once it is done, it does nothing.

    Args:
        target: a store; others may search and change it meanwhile.
        model: the one to move to.
        out: leaves the store as it is and makes another one there; a later call brings that in step again. A store in
            a cluster, or in Milvus Lite, can only be moved so.
        options: see `MigrateOptions`.
        progress: draws a bar; None draws it only in a terminal, for long work.

    Raises:
        InputError: ``out`` can't be meant, or holds other items.
        StoreError: there is no store, or one of the two can't be written; what was moved is kept.
        LockedError: another process moves this store.
    """
    started, told = time.monotonic(), options or MigrateOptions()
    place = Place.of(target, log=told.log)
    if not place.log.is_file():
        raise StoreError(f"{target} holds no store. Check the path.")
    with closing(Log(place.log, read_only=True)) as old:
        if old.new:
            raise StoreError(f"{target} holds no store yet: it was stopped while it was made. Open it to make it.")
        made = Passport.from_json(old.meta("passport"))
        own = Passport.of(model, made.heads, made.multi)
        if not made.differences(own):
            finish(place)
            return Migration(str(target), model.spec.name, old.count(), switched=out is None)
        home = _home(place, own, out)
        report = Migration(str(target) if out is None else str(out), model.spec.name)
        with ExitStack() as stack:
            new = stack.enter_context(Store.open(home, model, options=_like(old, made, model, told.api_key)))
            notes = stack.enter_context(closing(Log(new.place.log)))
            move = _Move(old, new, notes, told, report)
            move.claim(made.model + ("" if out is None else f" in {place.folder.absolute()}"))
            with Progress(old.count(), shown=progress) as bar:
                move.catch_up(bar)
                built = int(notes.meta("built") or 0)
                if notes.last()[0] - built >= max(keeper.GROWTH, built // 2):
                    new.compact()
                lock = _lock(place, move, bar, told.wait) if out is None else None
                if lock is not None:
                    stack.callback(lock.release)
                    lock.sign()
                    move.catch_up(bar)
            if out is not None:
                move.carry()
            elif lock is not None and (not report.lost or told.lost != "stop"):
                move.carry()
                switch(place, new, notes)
                report.switched = True
    report.seconds = round(time.monotonic() - started, 3)
    return report


class _Move:
    """One move, from a log to a store; ``notes`` is the new store's log."""

    def __init__(self, old: Log, new: Store, notes: Log, options: MigrateOptions, report: Migration) -> None:
        self.old = old
        self.new = new
        self.notes = notes
        self.options = options
        self.report = report

    def claim(self, name: str) -> None:
        """Makes sure that the new store is of this move. Raises `InputError`."""
        source = self.notes.meta(SOURCE)
        if not source and not len(self.new):
            self.notes.set_meta(source=name, moved="0")
        elif source != name:
            raise InputError(
                f"{self.new.place.name} holds items that aren't of this move. Choose another place for the new store."
            )

    def catch_up(self, bar: Progress) -> None:
        """Brings the new store in step with the old one, as that is when this returns."""
        done = int(self.notes.meta(MOVED) or 0)
        kept = self.notes.numbers()
        bar.advance(len(kept) - bar.done)
        self.report.lost.clear()
        missing = [id for id, number in self.old.numbers().items() if number <= done and id not in kept]
        for start in range(0, len(missing), BATCH):
            self.take(list(self.old.by_id(missing[start : start + BATCH]).values()), bar)
        while page := self.old.walk(None, after=done, most=BATCH):
            done = page[-1].number
            self.take(page, bar, {MOVED: str(done)})
        there = self.old.numbers()
        gone = [id for id in self.notes.numbers() if id not in there]
        self.report.removed += self.new.delete(gone)
        self.report.lost = {id: why for id, why in self.report.lost.items() if id in there}
        self.report.items = len(self.new)

    def take(self, page: Sequence[Stored], bar: Progress, notes: Mapping[str, str] | None = None) -> None:
        """Reads, encodes and keeps some items, with notes; what can't be is told of, and old versions of it go."""
        whole: list[tuple[Stored, Item, Reference]] = []
        lost: dict[Id, str] = {}
        for stored in page:
            try:
                whole.append((stored, *self.open(stored)))
            except InputError as error:
                lost[stored.id] = reason(error, "")
        result = salvage(self.new.model, [item for _, item, _ in whole], on_loss=self.new.options.on_loss)
        lost |= {whole[b.index][0].id: b.reason for b in result.broken}
        kept = [whole[i] for i in result.kept]
        self.new.delete(lost)
        if kept:
            self.new.add_encoded(
                result.embeddings,
                references=[reference for _, _, reference in kept],
                ids=[stored.id for stored, _, _ in kept],
                metadata=[stored.metadata for stored, _, _ in kept],
                notes=notes,
            )
        elif notes:
            self.notes.set_meta(**notes)
        self.report.lost |= lost
        self.report.encoded += len(kept)
        bar.advance(len(page))

    def open(self, stored: Stored) -> tuple[Item, Reference]:
        """An item as it is today, or the small picture of it, and its reference. Raises `InputError` for a lost one."""
        reference = stored.reference
        try:
            made = self.options.again(stored) if self.options.again else None
            if made is not None:
                return made, self._refer(made)
            return self._read(reference)
        except (InputError, OSError) as error:
            small = reference.thumbnail
            if self.options.lost == "thumbnail" and small is not None:
                return small if reference.modality == "image" else Pair(reference.text, small), reference
            if isinstance(error, OSError):
                raise InputError(f"{error.filename}: {error.strerror}.") from error
            raise

    def _read(self, reference: Reference) -> tuple[Item, Reference]:
        if not reference.pictures:
            return reference.text, reference
        images = [_file(picture.path) for picture in reference.pictures]
        item: Item = images[0] if reference.modality == "image" else Pair(reference.text, images)
        same = all(
            sha256(read_bytes(image, where=str(image))).hexdigest() == picture.sha256
            for image, picture in zip(images, reference.pictures, strict=True)
        )
        return item, reference if same else self._refer(item)

    def carry(self) -> None:
        """Takes over whatever else is kept in the old log: tables that aren't a store's own, and what was noted."""
        owned = ", ".join(f"'{name}'" for name in OWN_TABLES)
        schema = f"SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name NOT IN ({owned})"
        others = [row for row in self.old.select(schema) if not row[0].startswith("sqlite_")]
        meta = [row for row in self.old.select("SELECT name, value FROM meta") if row[0] not in OWN_META]
        with self.notes.writing() as db:
            for name, kind, sql in sorted(others, key=lambda row: row[1] == "index"):
                if kind == "table":
                    db.execute(f'DROP TABLE IF EXISTS "{name}"')
                db.execute(sql)
                rows = self.old.select(f'SELECT * FROM "{name}"') if kind == "table" else []
                if rows:
                    db.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(rows[0]))})', rows)
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)

    def _refer(self, item: Item) -> Reference:
        return refer(normalise(item, 0), self.new.model.spec.pixels, thumbnail=self.new.options.thumbnails)


def _file(path: str | None) -> Path:
    if path is None:
        raise InputError("was given as bytes or pixels, and only a small picture of it was kept.")
    if "://" in path:
        raise InputError(f"lies at {path}, and nothing is fetched. Save it as a file, and add that.")
    return Path(path)


def _home(place: Place, own: Passport, out: str | Path | None) -> str | Path:
    """Where the new store is made."""
    if out is None and place.kind != "embedded":
        raise InputError(
            f"the vectors of {place.name} aren't in its own folder, so they can't be exchanged there. Say with out "
            "where the new ones go: to another collection, or a folder."
        )
    if out is None:
        return place.folder / f"model-{sha256(own.to_json().encode()).hexdigest()[:12]}"
    if Place.of(out).folder.absolute() == place.folder.absolute():
        raise InputError(f"{out} is the store itself. Choose another place for the new one.")
    return out


def _like(old: Log, made: Passport, model: Encoder, api_key: str | None) -> StoreOptions:
    """Options under which the new store keeps what the old one kept: its heads, its precision, items in parts."""
    had = [head for head in HEADS if made.spec["heads"].get(head)]
    chosen = tuple(head for head in made.heads if head in model.spec.head_names)
    heads = None if len(made.heads) == len(had) else chosen
    return StoreOptions(heads=heads, multi=made.multi, on_loss=_on_loss(old), build=False, api_key=api_key)


def _on_loss(old: Log) -> OnLoss:
    """How items were encoded, as far as that can be told from what they became."""
    noted = old.meta("on_loss")
    for way in get_args(OnLoss):
        if way == noted:
            return cast(OnLoss, way)
    kinds: dict[str, OnLoss] = {"cell": "tile", "window": "chunk", "passage": "chunk"}
    for kind, way in kinds.items():
        if old.select("SELECT 1 FROM rows WHERE part LIKE ? LIMIT 1", f'["{kind}"%'):
            return way
    return "warn"


def _lock(place: Place, move: _Move, bar: Progress, wait: bool) -> Lock | None:
    """The lock of the old store, or None while another process holds it, who is noted in the report."""
    seen = move.old.last()
    while True:
        try:
            move.report.held = ""
            return Lock(place.folder)
        except LockedError as error:
            move.report.held = str(error)
            if not wait:
                return None
        time.sleep(PAUSE)
        if (now := move.old.last()) != seen:
            move.catch_up(bar)
            seen = now
