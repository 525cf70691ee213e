"""What a server holds: a model behind its queue, a store if there is one, keys, numbers; and how they are used."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import anyio
from starlette.responses import Response

from onespace.contract import check_encoder
from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.engines.onnx_engine import OnnxEngine, cores
from onespace.families import load
from onespace.serve.atlas import Atlas
from onespace.serve.batcher import Ask, Batcher, late, total
from onespace.serve.gate import DEADLINE, Tally
from onespace.serve.health import Canaries
from onespace.serve.keys import Keys
from onespace.serve.metrics import Metrics
from onespace.serve.options import ServeOptions
from onespace.serve.pictures import Raw, Reader
from onespace.serve.refusals import refuse
from onespace.serve.remote import Fetcher
from onespace.serve.usage import Usage
from onespace.store import Store, StoreOptions
from onespace.types import Item

log = logging.getLogger("onespace.serve")

READERS = 4
"""Threads that read pictures, search the store and write replies."""
T = TypeVar("T")


@dataclass(frozen=True)
class Encoded:
    """Items that were encoded, by which model."""

    encoder: Encoder
    items: list[Item]
    embeddings: Embeddings

    @cached_property
    def usage(self) -> Usage:
        """What they took."""
        return Usage.of(self.embeddings.receipts)

    @cached_property
    def whole(self) -> Embeddings:
        """A row for each item: of one in parts, its whole."""
        e = self.embeddings
        return e if e.parts is None else replace(e[[int(e.rows(i)[0]) for i in range(e.items)]], parts=None)


class Service:
    """Everything behind the routes. `close` finishes what was accepted."""

    def __init__(self, encoder: Encoder, options: ServeOptions, *, store: Store | None = None) -> None:
        self.options = options
        self.metrics = Metrics()
        self.tally = Tally()
        self.keys = Keys.read(options.api_keys) if options.api_keys else None
        self.batcher = Batcher(encoder, options.limits, self.metrics)
        self.canaries = Canaries(encoder, self.metrics)
        self.reader = Reader(options.limits, Fetcher() if options.allow_remote_images else None)
        self._store = store
        self._threads = ThreadPoolExecutor(READERS, "onespace-serve")
        self._swapping = Lock()
        self.started = time.time()

    @classmethod
    def open(cls, options: ServeOptions) -> Service:
        """Loads the model and opens the store. Raises what `onespace.load` and `Store.open` raise."""
        if options.api_keys:
            Keys.read(options.api_keys)  # says soon what is wrong with it
        encoder = open_model(options, options.model)
        store = None
        if options.store is not None:
            read_only = options.read_only or options.workers > 1
            store = Store.open(options.store, encoder, options=StoreOptions(read_only=read_only))
        return cls(encoder, options, store=store)

    @property
    def encoder(self) -> Encoder:
        """The model that new requests come to."""
        return self.batcher.encoder

    @property
    def has_store(self) -> bool:
        """Whether there is one."""
        return self._store is not None

    @property
    def store(self) -> Store:
        """The store. Raises `Refused` (404) where there is none."""
        if self._store is None:
            raise refuse(404, "no_store", "the server has no store. Start it with --store pictures.db.")
        return self._store

    @property
    def writable_store(self) -> Store:
        """The store. Raises `Refused` (409) where it can't be changed."""
        if self.store.options.read_only:
            raise refuse(
                409, "read_only", "the store is read-only here: start one server with one worker to change it."
            )
        return self.store

    @cached_property
    def atlas(self) -> Atlas:
        """Maps of the store. Raises `Refused` (404) where there is none."""
        return Atlas(self.store)

    def asked_for(self, name: str | None) -> str:
        """The model's name. Raises `Refused` (404) when the client asks for another one."""
        own = self.encoder.spec.name
        if name is None or name in (own, own.rsplit("/", 1)[-1], *self.options.aliases):
            return name or own
        known = ", ".join([own, *self.options.aliases])
        raise refuse(404, "model_not_found", f"the model {name[:80]!r} isn't served here; {known} is.", param="model")

    # -- work --------------------------------------------------------------------------------------------------------

    async def run(self, function: Callable[..., T], *values: Any) -> T:
        """Runs something in a thread. Raises `Refused` (429) when the request's deadline passes."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, function, *values)
        return await self._within(future)

    async def encode(self, things: Sequence[Raw], ask: Ask, *, told: bool = False) -> Encoded:
        """Reads things, lets them wait for the model, and counts what they took; ``told`` of vectors that are sent."""
        encoder = self.encoder
        items, loads = await self.run(self.reader.read, things, encoder)
        if (
            told
            and "multi" in (ask.heads or encoder.spec.head_names)
            and total(loads).tokens > self.options.limits.vectors
        ):
            raise refuse(
                413, "too_large", f"the answer would have more than {self.options.limits.vectors:,} vectors. Send less."
            )
        job = self.batcher.submit(items, loads, ask, deadline=DEADLINE.get())
        embeddings = await self._within(asyncio.wrap_future(job.future))
        encoded = Encoded(job.encoder, items, embeddings)
        self.metrics.used(encoded.usage)
        return encoded

    async def reply(self, build: Callable[[], Any]) -> Response:
        """An answer in JSON, made in a thread: numbers by the thousand are no work for the event loop."""

        def write() -> Response:
            return Response(json.dumps(build(), separators=(",", ":")), media_type="application/json")

        return await self.run(write)

    async def _within(self, future: asyncio.Future[T]) -> T:
        try:
            with anyio.fail_after(DEADLINE.get() - time.monotonic()):
                return await future
        except TimeoutError:
            raise late() from None

    # -- life --------------------------------------------------------------------------------------------------------

    def swap(self, name: str | None = None) -> dict[str, Any]:
        """Loads a model beside the one that serves, checks it, and puts it in its place.

        ``name`` is one of ``options.swap``; by default the same model is read anew. Requests that were accepted before
        are finished by the model that they came to.

        Raises:
            Refused: another swap is under way, or the name isn't among those that the server was started with.
            ModelError, PassportError, ContractError: the model can't be used; the old one goes on.
        """
        known = (self.options.model, *self.options.swap)
        source = self.options.model if name is None else name
        if source not in known:
            raise refuse(404, "model_not_found", "the server wasn't started with this model. Name it with --swap.")
        if not self._swapping.acquire(blocking=False):
            raise refuse(409, "swapping", "another model is being loaded. Ask again when it is there.")
        try:
            encoder = open_model(self.options, source)
            check_encoder(encoder)
            if self._store is not None:
                self._store.adopt(encoder)
            distance = self.canaries.adopt(encoder)
            self.batcher.encoder = encoder
        finally:
            self._swapping.release()
        log.info("the model is now %s", encoder.spec.name)
        return {"model": encoder.spec.name, "canary_distance": distance}

    def reload(self) -> None:
        """Reads keys and model anew, as SIGHUP asks for; what can't be read leaves things as they are."""
        try:
            if self.options.api_keys:
                self.keys = Keys.read(self.options.api_keys)
            self.swap()
        except Exception as error:
            log.error("nothing was changed: %s", error)

    async def watch_canaries(self) -> None:
        """Measures the canaries again and again."""
        while True:
            await asyncio.sleep(self.options.canary_every)
            await asyncio.wrap_future(self.batcher.call(lambda: self.canaries.measure(self.encoder)))

    def close(self) -> None:
        """Finishes what was accepted, and lets go of everything."""
        self.batcher.close()
        self._threads.shutdown()
        if self._store is not None:
            self._store.close()
        log.info("stopped: %d requests accepted, %d answered", self.tally.accepted, self.tally.answered)


def open_model(options: ServeOptions, name: str | None) -> Encoder:
    """Loads a model; each of several workers takes its share of the cores."""
    source = Path(name) if name and Path(name).exists() else name
    model = load(source, weights=Path(options.weights) if options.weights else None, dtype=options.dtype)
    if options.fit is not None:
        model = model.with_fit(options.fit)  # type: ignore[arg-type]
    if isinstance(model.engine, OnnxEngine):
        model.engine.threads = max(1, cores() // options.workers)
    return model
