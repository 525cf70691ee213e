"""Items, their vectors and their metadata, kept together and searched: on one machine, or with a cluster's help."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, cast, overload

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.errors import InputError, StoreError
from onespace.parts import WHOLE, Part, Parts
from onespace.prepare.items import normalise
from onespace.score import own_weights
from onespace.store.blobs import Precision, Shape, pack
from onespace.store.engine import Layout
from onespace.store.filters import Filter, clean
from onespace.store.keeper import Keeper
from onespace.store.lock import Lock
from onespace.store.log import Entry, Id, Log, Stored, check_id
from onespace.store.passport import Passport, check, sing
from onespace.store.places import Place
from onespace.store.references import Reference, refer
from onespace.store.search import Found, Searcher, SearchOptions, Wanted
from onespace.types import HEADS, Head, Item, OnLoss

log = logging.getLogger(__name__)

BATCH = 256
"""Items that are encoded, and become durable, together."""
PAGE = 500


@dataclass(frozen=True)
class StoreOptions:
    """How to open a store. ``heads``, ``multi``, ``shards`` and ``replicas`` count when it is made."""

    read_only: bool = False
    """Opens beside a process that writes, or where nothing can be written. Searches are exact, and slower for it."""
    heads: tuple[Head, ...] | None = None
    """Representations to keep; by default all that the model has."""
    multi: Precision = "float16"
    """How multi-vectors are kept; in float16 a score may differ by 0.001."""
    on_loss: OnLoss = "warn"
    """What becomes of long texts and large pictures: see `Encoder.encode`. Each part is then found by itself."""
    thumbnails: bool = True
    """Keeps a picture of at most 4 KB of each picture."""
    build: bool = True
    """Builds the graph of an embedded store anew, in another process, whenever it has grown by half."""
    log: str | Path | None = None
    """Folder of the log of a store in a cluster; by default ``NAME.onespace`` in the working folder."""
    api_key: str | None = None
    """For a cluster."""
    shards: int | None = None
    replicas: int | None = None


class Store:
    """A store that is open. Safe to share between threads; close it, or use it in a ``with`` statement.

    >>> import onespace
    >>> with onespace.Store.open("pictures.db", onespace.load()) as store:      # doctest: +SKIP
    ...     store.add(["a whale", onespace.Image("whale.png")])
    ...     store.search("鲸鱼", k=1)
    """

    def __init__(self, place: Place, model: Encoder, options: StoreOptions) -> None:
        """Use `open`."""
        self.place = place
        self.model = model
        self.options = options
        self._lock: Lock | None = None
        self._keeper: Keeper | None = None
        folder = place.folder
        if options.read_only and not place.log.is_file():
            raise StoreError(f"{folder} holds no store. Check the path, or open it without read_only to make one.")
        try:
            if not options.read_only:
                self._lock = _locked(folder)
            self._log = Log(place.log, read_only=options.read_only)
            passport = self._create() if self._log.new else self._admit(model)
            vocab = model.spec.text.vocab if model.spec.text and "sparse" in passport.heads else 0
            sizes = model.spec.heads
            self.shape = Shape(model.spec.name, passport.heads, sizes.dense, vocab, sizes.multi, passport.multi)
            """What is kept of each row."""
            if self._lock is not None:
                self._lock.sign()
                self._keeper = Keeper(self._log, place, Layout(sizes.dense, vocab))
            self._searcher = Searcher(self._log, self._keeper, self.shape)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, target: str | Path, model: Encoder, *, options: StoreOptions | None = None) -> Store:
        """Opens a store, or makes one.

        Args:
            target: a folder, ``"qdrant://host:6334/name"``, ``"milvus://host:19530/name"``, or ``"milvus:folder"`` for
                Milvus Lite; ``qdrant+https`` and ``milvus+https`` speak TLS.
            model: the model that made its vectors, or will.
            options: see `StoreOptions`.

        Raises:
            PassportError: the store was made by another model, or this one gives other vectors now; nothing is written.
            LockedError: another process has it open.
            StoreError: it is damaged, can't be written, or its cluster can't be reached.
            InputError: ``target`` or ``options`` can't be meant.
            MissingExtra: the client of an engine isn't installed.
        """
        options = options or StoreOptions()
        place = Place.of(target, log=options.log)
        if place.cluster is not None:
            spread = replace(place.cluster, api_key=options.api_key, shards=options.shards, replicas=options.replicas)
            place = replace(place, cluster=spread)
        return cls(place, model, options)

    def __repr__(self) -> str:
        return f"Store({self.place.name!r}, {self.shape.model!r}, keeps {', '.join(self.shape.heads)})"

    # -- changing ----------------------------------------------------------------------------------------------------

    def add(
        self,
        items: Item | Sequence[Item],
        *,
        ids: Sequence[Id] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[Id]:
        """Encodes items and keeps them, each in place of the one with its id; returns the ids.

        On return all of them are on the disk. Many items are kept 256 at a time: after an error, what was before is
        there, and adding the same again is harmless.

        Args:
            items: texts, pictures and pairs, mixed.
            ids: texts or whole numbers, all different; by default a digest of an item's content, so that the same
                item is kept once.
            metadata: a dict for each item, of texts, numbers, True and False, or lists of them.

        Raises:
            InputError: an item, id or value that can't be used; it is named by its position.
            StoreError: nothing more can be written.
        """
        several = list(items) if isinstance(items, (list, tuple)) else [cast(Item, items)]
        named = None if ids is None else _checked(ids, len(several))
        known = _metadata(metadata, len(several))
        self._writable()
        added: list[Id] = []
        normal = [normalise(item, index) for index, item in enumerate(several)]
        stream = self.model.encode_stream(several, on_loss=self.options.on_loss, window=BATCH) if several else ()
        for start, e in zip(range(0, len(several), BATCH), stream, strict=True):
            span = slice(start, start + BATCH)
            pixels, small = self.model.spec.pixels, self.options.thumbnails
            references = [refer(item, pixels, thumbnail=small) for item in normal[span]]
            own: list[Id] = [r.content for r in references] if named is None else named[span]
            self._keep(e, references, own, known[span])
            added += own
        return added

    def add_encoded(
        self,
        embeddings: Embeddings,
        *,
        references: Sequence[Reference],
        ids: Sequence[Id] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> list[Id]:
        """Keeps items that were encoded elsewhere by the same model, all of them or none; returns the ids.

        ``notes`` are values that the log keeps with them: how far somebody is, say. They are there if the items are.

        Raises:
            InputError: another model's embeddings, a head that isn't there, or other numbers of things.
            StoreError: nothing can be written.
        """
        if embeddings.model != self.shape.model:
            raise InputError(
                f"the embeddings are from {embeddings.model!r}, the store holds {self.shape.model!r}. Encode them anew."
            )
        missing = [head for head in self.shape.heads if head not in embeddings.heads]
        if missing or len(references) != embeddings.items:
            raise InputError(
                f"there are {len(references)} references to {embeddings.items} items with "
                f"{', '.join(embeddings.heads)}; the store keeps {', '.join(self.shape.heads)}. Give one of each."
            )
        own = _checked(
            ids if ids is not None else [r.content for r in references], len(references), given=ids is not None
        )
        self._writable()
        self._keep(embeddings, references, own, _metadata(metadata, len(references)), notes)
        return own

    def delete(self, ids: Id | Iterable[Id]) -> int:
        """Takes items away, durably; returns how many were there."""
        several = [ids] if isinstance(ids, (str, int)) else list(ids)
        checked = [check_id(id, f"id {i}") for i, id in enumerate(several)]
        return self._writable().change(lambda: self._log.remove(checked))

    def compact(self, *, wait: bool = True) -> None:
        """Builds an embedded store's graph anew and gives unused room back; searches go on meanwhile.

        Raises:
            StoreError: the graph wasn't built; the store is as it was.
        """
        keeper = self._writable()
        self._log.compact()
        keeper.build(wait=wait)

    @property
    def building(self) -> bool:
        """Whether a graph is being built in the background; `close` would stop it."""
        return self._keeper is not None and self._keeper.building

    # -- reading -----------------------------------------------------------------------------------------------------

    @overload
    def search(
        self,
        query: Item,
        *,
        k: int = 10,
        filter: Mapping[str, Any] | None = None,
        offset: int = 0,
        explain: bool = False,
        options: SearchOptions | None = None,
    ) -> list[Found]: ...

    @overload
    def search(
        self,
        query: list[Any] | tuple[Any, ...],
        *,
        k: int = 10,
        filter: Mapping[str, Any] | None = None,
        offset: int = 0,
        explain: bool = False,
        options: SearchOptions | None = None,
    ) -> list[list[Found]]: ...

    def search(
        self,
        query: Item | list[Any] | tuple[Any, ...],
        *,
        k: int = 10,
        filter: Mapping[str, Any] | None = None,
        offset: int = 0,
        explain: bool = False,
        options: SearchOptions | None = None,
    ) -> list[Found] | list[list[Found]]:
        """The k nearest items to a text, a picture or a pair, the best first; for a list of queries, a list for each.

        Args:
            query: a query, or a list of them.
            k: hits to return.
            filter: ``{"kind": "logo", "year": {"gte": 2020}, "tag": ["red", "blue"]}``: equal, within bounds, any of.
            offset: hits to skip, for a further page.
            explain: says of each hit what its score is the sum of.
            options: metric, weights, fusion and more: see `SearchOptions`.

        Raises:
            InputError: an argument that can't be used.
            StoreError: the engine can't be reached.
        """
        several = isinstance(query, (list, tuple))
        queries = list(cast("Sequence[Item]", query)) if several else [cast(Item, query)]
        asked = self.model.encode(queries, role="query")
        found = self.search_encoded(asked, k=k, filter=filter, offset=offset, explain=explain, options=options)
        return found if several else found[0]

    def search_encoded(
        self,
        queries: Embeddings,
        *,
        k: int = 10,
        filter: Mapping[str, Any] | None = None,
        offset: int = 0,
        explain: bool = False,
        options: SearchOptions | None = None,
    ) -> list[list[Found]]:
        """The same for queries that were encoded elsewhere by the same model, with ``role="query"``."""
        asked, options = replace(queries, parts=None), options or SearchOptions()
        found: dict[int, list[Found]] = {}
        for rows, weights in own_weights(asked):
            chosen = replace(options, weights=options.weights or weights)
            wanted = Wanted.of(k, offset, Filter.of(filter), explain, chosen, self.shape)
            found |= dict(zip(rows.tolist(), self._searcher.search(asked[rows], wanted), strict=True))
        return [found[i] for i in range(len(asked))]

    def count(self, filter: Mapping[str, Any] | None = None) -> int:
        """Number of items, or of those that fit a filter."""
        return self._log.count(Filter.of(filter))

    def __len__(self) -> int:
        return self.count()

    def get(self, ids: Sequence[Id]) -> list[Stored | None]:
        """Items by their ids; None for one that isn't there."""
        found = self._log.by_id([check_id(id, f"id {i}") for i, id in enumerate(ids)])
        return [found.get(id) for id in ids]

    def iterate(self, filter: Mapping[str, Any] | None = None, *, after: int = 0) -> Iterator[Stored]:
        """All items that fit, the first added first, behind a `Stored.number`; later changes may be met or not."""
        told, last = Filter.of(filter), after
        while page := self._log.walk(told, after=last, most=PAGE):
            yield from page
            last = page[-1].number

    def vectors(self, ids: Sequence[Id]) -> Embeddings:
        """The vectors of items, in the order of their ids. Raises `InputError` for an id that isn't there."""
        found = self.get(ids)
        lost = [id for id, item in zip(ids, found, strict=True) if item is None]
        if lost:
            raise InputError(f"{lost[0]!r} isn't in the store. Store.get says which ids are.")
        with self._log.snapshot():
            return self._log.of_items([item.number for item in found if item is not None], self.shape)

    # -- opening and closing -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Flushes and lets go of everything; harmless when done twice."""
        try:
            if self._keeper is not None:
                self._keeper.close()
        finally:
            if hasattr(self, "_log"):
                self._log.close()
            if self._lock is not None:
                self._lock.release()
            self._keeper = self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _create(self) -> Passport:
        heads = self.options.heads or self.model.spec.head_names
        if not set(heads) <= set(self.model.spec.head_names) or "dense" not in heads:
            there = ", ".join(self.model.spec.head_names)
            raise InputError(f"heads={heads!r}: a store keeps dense, and of the model's {there} what is named.")
        passport = Passport.of(self.model, tuple(h for h in HEADS if h in heads), self.options.multi)
        sung = sing(self.model, passport.heads)
        spec = self.model.spec
        exact = Shape(spec.name, passport.heads, spec.heads.dense, 0, spec.heads.multi, "float32")
        blobs = [(modality, pack(sung, i, exact)) for i, modality in enumerate(sung.modalities)]
        self._log.create({"passport": passport.to_json()}, blobs)
        return passport

    def adopt(self, model: Encoder) -> None:
        """Goes on with a model that was loaded anew. Raises `PassportError` unless it makes the store's vectors."""
        self._admit(model)
        self.model = model

    def _admit(self, model: Encoder) -> Passport:
        """Reads the passport and checks a model against it."""
        made = Passport.from_json(self._log.meta("passport"))
        sizes, text = made.spec["heads"], made.spec["text"]
        vocab = text["vocab"] if text else 0
        shape = Shape(model.spec.name, made.heads, sizes["dense"], vocab, sizes["multi"], "float32")
        check(made, Passport.of(model, made.heads, made.multi), self._log.canaries(shape), model)
        return made

    def _writable(self) -> Keeper:
        if self._keeper is None:
            what = "was opened read-only" if self.options.read_only else "is closed"
            raise StoreError(f"{self.place.name} {what}. Open it again to change it.")
        return self._keeper

    def _keep(
        self,
        e: Embeddings,
        references: Sequence[Reference],
        ids: Sequence[Id],
        known: Sequence[Mapping[str, Any]],
        notes: Mapping[str, str] | None = None,
    ) -> None:
        keeper = self._writable()
        entries = [
            Entry(
                id,
                references[i],
                known[i],
                [(e.modalities[r], _part(e.parts, r), pack(e, r, self.shape)) for r in e.rows(i)],
            )
            for i, id in enumerate(ids)
        ]
        keeper.change(lambda: self._log.put(entries, notes))
        if self.options.build and keeper.grown():
            keeper.build(wait=False)


def _locked(folder: Path) -> Lock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} can't be made ({error.strerror}). Choose another path.") from error
    return Lock(folder)


def _part(parts: Parts | None, row: int) -> Part:
    if parts is None:
        return WHOLE
    left, top, right, bottom = parts.boxes[row].tolist()
    start, end = parts.spans[row].tolist()
    picture = 0 if parts.pictures is None else int(parts.pictures[row])
    return Part(parts.kind[row], (left, top, right, bottom), (start, end), picture)


def _checked(ids: Sequence[Id], n: int, *, given: bool = True) -> list[Id]:
    """Raises `InputError` for ids that can't be used, aren't one an item, or (where given) aren't all different."""
    if isinstance(ids, str) or len(ids) != n:
        raise InputError(f"there are {n} items and {1 if isinstance(ids, str) else len(ids)} ids. Give each item one.")
    checked = [check_id(id, f"item {i}") for i, id in enumerate(ids)]
    first: dict[Id, int] = {}
    for i, id in enumerate(checked):
        if given and first.setdefault(id, i) != i:
            raise InputError(f"items {first[id]} and {i} both have the id {id!r}. Give each item its own.")
    return checked


def _metadata(metadata: Sequence[Mapping[str, Any]] | None, n: int) -> list[Mapping[str, Any]]:
    if metadata is None:
        return [{}] * n
    if isinstance(metadata, Mapping) or len(metadata) != n:
        got = "one dict" if isinstance(metadata, Mapping) else f"{len(metadata)} dicts of metadata"
        raise InputError(f"there are {n} items and {got}. Give a list with a dict for each item.")
    return [clean(one, f"item {i}") for i, one in enumerate(metadata)]
