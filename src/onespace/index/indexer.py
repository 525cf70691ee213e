"""Brings a store in step with files, so that it may be stopped at any moment and goes on from there.

plan        which files are new, changed or gone                   (onespace.index.plan)
batches     the documents of these files that the store lacks      (onespace.index.readers)
encode      here, or by workers elsewhere                          (onespace.index.encoding)
acknowledge into the store; a file all of whose documents are there is done   (onespace.index.manifest)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np

from onespace.embeddings import Embeddings
from onespace.errors import InputError, MissingExtra
from onespace.index.actors import Actors
from onespace.index.cluster import encode_on_ray
from onespace.index.documents import HASH, PATH, Broken, Document
from onespace.index.encoding import Encoded, encode
from onespace.index.manifest import Indexed, Manifest
from onespace.index.pictures import Pictures
from onespace.index.plan import IndexOptions, Plan, make_plan
from onespace.index.readers import Reading, digest, expected, read
from onespace.index.walk import File
from onespace.progress import Progress
from onespace.store import Reference, Store, Stored
from onespace.store.filters import clean

BATCH = 64
"""Documents that are encoded, and become durable, together: what a kill can cost."""
DOUBLE = "{} has another item with this id. Give each its own."


@dataclass
class Report:
    """What a run did, in items."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    lossy: int = 0
    """Rows that the model saw only in part (a text cut short, a picture cropped)."""
    broken: list[Broken] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """Items that were looked at."""
        return self.added + self.changed + self.unchanged + len(self.broken)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


@dataclass
class _Open:
    """A file whose documents are under way."""

    file: File
    known: bool
    """Whether the store may hold an earlier version."""
    reading: str
    pictures: Pictures
    items: int = 0
    """Documents that the store has acknowledged."""
    waiting: int = 0
    """Documents that it hasn't."""
    read: bool = False
    """Whether all its documents are known."""
    broken: list[Broken] = field(default_factory=list)
    readable: bool = True
    """Whether it could be looked at; if not, the store keeps what it has of it."""
    final: bool = True
    """Whether the next run would find the same; if not, it looks again."""

    @property
    def indexed(self) -> Indexed:
        """How it is noted when it is done."""
        file = self.file
        return Indexed(file.size, file.mtime, file.sha256, self.reading, self.items, tuple(self.broken))


class Indexer:
    """Indexes files into a store that is open. Close it before the store.

    ``run`` does it all. To encode elsewhere, take `batches`, encode each in any order and at any place with
    `onespace.index.encoding.encode`, and hand it to `take`; then call `remove_gone`.
    """

    def __init__(self, store: Store, *, options: IndexOptions | None = None) -> None:
        """Raises `InputError` when the store was indexed with another ``on_loss``: its vectors would be mixed."""
        self.store = store
        self.options = options or IndexOptions()
        self.manifest = Manifest.open(store.place)
        self.report = Report()
        self.total = 0
        """Documents of the plan, as far as that is known yet."""
        self._guessed: dict[str, int] = {}
        self._open: dict[str, _Open] = {}
        self._ended: list[_Open] = []
        self._taken: dict[str, str] = {}
        """The file of each id that was met in this run."""
        self._replaced: set[str] = set()
        """Ids on their way that the store has already, otherwise."""
        self._twins: dict[str, list[Document]] = {}
        """Documents that wait for the vectors of another with their hash, which is on its way."""
        self._moving: frozenset[str] = frozenset()
        """Files whose ids other files may take over: they are read in this run, or gone."""
        try:
            self.manifest.set_meta(on_loss=self.manifest.agree(store.options.on_loss))
        except BaseException:
            self.close()
            raise

    def plan(self, paths: Sequence[str | Path]) -> Plan:
        """What there is to do. Raises `InputError` for a path that can't be indexed."""
        return make_plan(paths, self.manifest, self.options)

    def run(
        self,
        paths: Sequence[str | Path],
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: bool | None = False,
        actors: Actors | None = None,
    ) -> Report:
        """Does all there is to do, until ``stop`` says so: the batch under way is finished first.

        ``actors`` encode elsewhere, and this process reads and writes; by default it encodes too.

        Raises:
            InputError: a path that can't be indexed; nothing was changed.
            StoreError: the store can't be written any more, or actors fail. What was acknowledged is in it.
            MissingExtra: actors without Ray.
        """
        started = monotonic()
        plan = self.start(self.plan(paths))
        before = self.report.done
        encoding = self._encoded(self.batches(plan, stop=stop), actors)
        with Progress(self.total, shown=progress, label="indexing") as bar, closing(encoding) as encoded:
            for batch, told in encoded:
                self.take(batch, told)
                bar.total = self.total
                bar.advance(self.report.done - before - bar.done)
                if stop():
                    break
        self.report.interrupted = stop()
        if not self.report.interrupted:
            self.remove_gone(plan)
        self.report.seconds = monotonic() - started
        return self.report

    def start(self, plan: Plan) -> Plan:
        """Begins a new report."""
        self.report = Report(unchanged=plan.items, broken=list(plan.broken))
        self._moving = frozenset(file.name for file, _ in plan.todo) | frozenset(plan.gone)
        self._open, self._ended, self._taken, self._replaced, self._twins = {}, [], {}, set(), {}
        self._guessed = {file.name: expected(file) for file, _ in plan.todo}
        self.total = sum(self._guessed.values())
        return plan

    def batches(self, plan: Plan, *, stop: Callable[[], bool] = lambda: False) -> Iterator[list[Document]]:
        """The documents still to be encoded, `BATCH` at a time; each batch must come back through `take`.

        What the store has already is left out, and what it has under another id or with other metadata is copied.
        """
        met: list[Document] = []
        ready: list[Document] = []
        for file, status in plan.todo:
            for document in self._documents(file, known=status != "new"):
                met.append(document)
                if len(met) == BATCH:
                    ready, met = ready + self._sift(met), []
                if len(ready) >= BATCH:
                    yield ready[:BATCH]
                    ready = ready[BATCH:]
                if stop():
                    return
            if len(self._ended) >= BATCH:
                self._settle()
        ready += self._sift(met)
        if ready and not stop():
            yield ready[:BATCH]
        if ready[BATCH:] and not stop():
            yield ready[BATCH:]
        self._settle()

    def take(self, batch: Sequence[Document], encoded: Encoded) -> None:
        """Acknowledges what was encoded of a batch, and notes what was not."""
        for place, why in encoded.broken:
            self._refuse(batch[place], why)
        self.acknowledge([batch[place] for place in encoded.kept], encoded.embeddings, encoded.references)

    def acknowledge(
        self, documents: Sequence[Document], embeddings: Embeddings, references: Sequence[Reference]
    ) -> None:
        """Puts documents into the store, durably, each in place of what has its id."""
        if documents:
            self.store.add_encoded(
                embeddings,
                references=references,
                ids=[document.id for document in documents],
                metadata=[document.metadata for document in documents],
            )
        self.report.lossy += sum(not receipt.lossless for receipt in embeddings.receipts)
        twins: list[Document] = []
        for document in documents:
            again = document.id in self._replaced
            self.report.changed += again
            self.report.added += not again
            twins += self._twins.pop(document.hash, [])
            self._done(document)
        if twins:
            kept = self.store.get([document.id for document in documents])
            self._copy(twins, {str(stored.metadata[HASH]): stored for stored in kept if stored is not None})
        self._settle()

    def remove_gone(self, plan: Plan) -> None:
        """Takes the items of files that are gone out of the store."""
        for start in range(0, len(plan.gone), BATCH):
            names = plan.gone[start : start + BATCH]
            self.report.removed += self._remove(names)
            self.manifest.forget(names)

    def close(self) -> None:
        """Lets go of the manifest."""
        self.manifest.close()

    def __enter__(self) -> Indexer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _encoded(
        self, batches: Iterator[list[Document]], actors: Actors | None
    ) -> Generator[tuple[list[Document], Encoded], None, None]:
        """Every batch, or what is left of it, with what became of it: here in order, elsewhere in any."""
        model, options = self.store.model, self.store.options
        if actors is not None:
            told = replace(actors, on_loss=options.on_loss, thumbnails=options.thumbnails)
            yield from encode_on_ray(batches, model, told)
            return
        for batch in batches:
            yield batch, encode(model, batch, on_loss=options.on_loss, thumbnails=options.thumbnails)

    # -- documents ---------------------------------------------------------------------------------------------------

    def _documents(self, file: File, *, known: bool) -> Iterator[Document]:
        """The documents of a file, each counted as waiting; what is broken is noted."""
        pictures = Pictures.of(self.manifest.pictures(file.name))
        columns = self.options.columns_of(file.name, self.manifest)
        opened = _Open(file, known, self.options.reading(file, self.manifest), pictures)
        self._open[file.name] = opened
        guessed, met = self._guessed.get(file.name, 0), 0
        model = self.store.model
        try:
            opened.file = file = replace(file, sha256=digest(file.path))
            for found in read(file, Reading(model.spec, model.tokenizer, columns, pictures)):
                met += 1
                if isinstance(found, Broken):
                    self._note(file.name, found.name, found.reason)
                elif found.id in self._taken:
                    opened.final &= self._taken[found.id] == file.name
                    self._note(file.name, found.id, DOUBLE.format(self._taken[found.id]))
                else:
                    self._taken[found.id] = file.name
                    opened.waiting += 1
                    yield found
        except (InputError, MissingExtra, OSError) as error:
            met += 1
            opened.readable = opened.final = isinstance(error, InputError)
            self._note(file.name, file.name, _why(error))
        self.total += met - guessed
        opened.read = True
        self._end(opened)

    def _sift(self, met: Sequence[Document]) -> list[Document]:
        """Those of some documents that must be encoded; the store has the others, or gets copies."""
        files = {document.file: self._open[document.file] for document in met}
        self.manifest.begin({name: opened.reading for name, opened in files.items()})
        wanted: list[Document] = []
        for document, stored in zip(met, self.store.get([d.id for d in met]), strict=True):
            if stored is None:
                wanted.append(document)
            elif not self._may_replace(stored, document):
                self._open[document.file].final = False
                self._refuse(document, DOUBLE.format(stored.metadata.get(PATH, "the store")))
            elif _same(stored, document):
                self.report.unchanged += 1
                self._done(document)
            else:
                self._replaced.add(document.id)
                wanted.append(document)
        sources = self._sources(wanted)
        self._copy([document for document in wanted if document.hash in sources], sources)
        ready: list[Document] = []
        for document in wanted:
            if document.hash in sources:
                continue
            if document.hash not in self._twins:
                ready.append(document)
                self._twins[document.hash] = []
            else:
                self._twins[document.hash].append(document)
        return ready

    def _may_replace(self, stored: Stored, document: Document) -> bool:
        """Whether an item of the store was made of the same file, or of one that gives its ids up."""
        file = stored.metadata.get(PATH)
        return HASH in stored.metadata and (file == document.file or file in self._moving)

    def _sources(self, documents: Sequence[Document]) -> dict[str, Stored]:
        """Items of the store by their hash, where some document has the same."""
        hashes = sorted({document.hash for document in documents})
        found = self.store.iterate({HASH: hashes}) if hashes else ()
        return {str(stored.metadata[HASH]): stored for stored in found if PATH in stored.metadata}

    def _copy(self, documents: Sequence[Document], sources: Mapping[str, Stored]) -> None:
        """Acknowledges documents with the vectors of others, by their hash."""
        needed = list(dict.fromkeys(document.hash for document in documents))
        vectors = self.store.vectors([sources[hash].id for hash in needed]) if needed else None
        while documents and vectors is not None:
            some = {document.hash: document for document in documents}  # an item of the vectors can be taken once
            rows = np.concatenate([vectors.rows(needed.index(hash)) for hash in some])
            references = [document.place(sources[hash].reference) for hash, document in some.items()]
            self.acknowledge(list(some.values()), vectors[rows], references)
            documents = [document for document in documents if document is not some[document.hash]]

    # -- files -------------------------------------------------------------------------------------------------------

    def _done(self, document: Document) -> None:
        opened = self._open[document.file]
        opened.waiting -= 1
        opened.items += 1
        self._end(opened)

    def _refuse(self, document: Document, why: str) -> None:
        """Notes a document that was waiting, and those that waited for it, as broken."""
        for refused in (document, *self._twins.pop(document.hash, [])):
            opened = self._open[refused.file]
            opened.waiting -= 1
            self._taken.pop(refused.id, None)
            self._note(refused.file, refused.id, why)
            self._end(opened)

    def _note(self, file: str, name: str, why: str) -> None:
        self.report.broken.append(Broken(name, why))
        self._open[file].broken.append(Broken(name, why))

    def _end(self, opened: _Open) -> None:
        if opened.read and not opened.waiting:
            self._ended.append(self._open.pop(opened.file.name))

    def _settle(self) -> None:
        """Takes what the store holds of earlier versions of ended files away, and notes them as done."""
        ended, self._ended = self._ended, []
        self.report.removed += self._remove([o.file.name for o in ended if o.known and o.readable])
        self.manifest.finish({o.file.name: (o.indexed, o.pictures.used.values()) for o in ended if o.final})

    def _remove(self, names: Sequence[str]) -> int:
        """Deletes the items of files that this run didn't meet; the number of them."""
        removed = 0
        for start in range(0, len(names), BATCH):
            some = list(names[start : start + BATCH])
            self.manifest.begin({name: self.manifest.files[name].reading for name in some})
            found = self.store.iterate({PATH: some})
            stale = [s.id for s in found if HASH in s.metadata and self._taken.get(str(s.id)) != s.metadata[PATH]]
            removed += self.store.delete(stale) if stale else 0
        return removed


def _same(stored: Stored, document: Document) -> bool:
    """Whether an item of the store is a document as it is now."""
    where = tuple(picture.path for picture in stored.reference.pictures if picture.path is not None)
    return where == document.pictures and stored.metadata == clean(document.metadata, document.id)


def _why(error: Exception) -> str:
    return f"can't be read ({error.strerror}). Check its permissions." if isinstance(error, OSError) else str(error)
