"""Batches of documents, encoded by actors elsewhere: what goes out, what comes back, and what goes out again.

    batches -> tasks -> `Actor`: `onespace.index.encoding.encode` -> results, as they come -> `Indexer.take`

A batch at which actors keep dying is taken apart, so that a document that no machine can bear costs that document
alone. Files that an actor's machine doesn't have are sent. Ray runs the actors: see `onespace.index.cluster`.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeAlias

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.engines.onnx_engine import OnnxEngine
from onespace.errors import Error, StoreError
from onespace.index.documents import Document
from onespace.index.encoding import Encoded, encode
from onespace.index.sent import at_home, files, sent, size
from onespace.store.passport import Passport
from onespace.types import OnLoss

FIRST, MOST = 32, 4096
"""Batches of the first round, and at most of any: each round is twice as large, for actors are made anew for it."""
SENT = 500_000_000
"""Bytes of pictures in a round, about, where they are sent."""
DEATHS = 2
"""Actors that may die of a task."""


@dataclass(frozen=True)
class Actors:
    """Where actors run, how many, and how they come by the model."""

    load: Callable[[], Encoder]
    """Loads the model of the store, on whatever machine it is called."""
    address: str | None = None
    """Of a cluster that this machine belongs to: ``"auto"``, or its head's ``"host:6379"``. None starts Ray on this
    machine alone, for as long as it is needed."""
    workers: int | None = None
    """How many; by default one for each GPU, or else for each 4 processors."""
    on_loss: OnLoss = "warn"
    thumbnails: bool = True


@dataclass(frozen=True, eq=False)
class Task:
    """A batch on its way to an actor."""

    number: int
    documents: list[Document]
    whole: bool = False
    """Whether files were sent along: one that isn't there is nowhere, then."""


@dataclass(frozen=True, eq=False)
class Result:
    """A batch on its way back; places are those in the task's documents."""

    number: int
    encoded: Encoded | None = None
    """None when actors died of it."""
    unseen: tuple[int, ...] = ()
    """Places of documents whose files aren't on the actor's machine."""
    refused: str = ""
    """Why this actor can encode nothing."""


FATAL = Encoded((), Embeddings(()), (), ((0, f"ended {DEATHS} workers, perhaps for lack of memory. Make it smaller."),))
Deal: TypeAlias = Callable[[list[Task]], Iterable[Result]]
"""Gives tasks to actors, and yields a result for each, in any order."""


def spread(batches: Iterable[Sequence[Document]], deal: Deal) -> Iterator[tuple[list[Document], Encoded]]:
    """Deals batches out in ever larger rounds; what comes back undone goes out again.

    See `onespace.index.cluster.encode_on_ray`, which is this with Ray.
    """
    source, waiting, sends = iter(batches), deque[list[Document]](), False

    def read(most: int) -> None:
        several = islice(source, max(0, min(most, MOST - len(waiting))))
        waiting.extend(list(batch) for batch in several)

    read(FIRST)
    while waiting:
        dealt: dict[int, list[Document]] = {}
        tasks: list[Task] = []
        room = SENT
        while waiting and room > 0:
            batch = waiting.popleft()
            dealt[len(tasks)] = batch
            tasks.append(Task(len(tasks), [sent(document) for document in batch] if sends else batch, sends))
            room -= sum(map(size, tasks[-1].documents))
        for result in deal(tasks):
            if result.refused:
                raise StoreError(result.refused)
            batch = dealt.pop(result.number, [])  # none when Ray made it twice, after it lost a machine
            if not batch:
                continue
            if result.encoded is None and len(batch) > 1:
                waiting.extend([document] for document in batch)
            elif result.encoded is None:
                yield batch, FATAL
            else:
                sends |= bool(result.unseen)
                unseen = [batch[place] for place in result.unseen]
                waiting.extend([unseen] if unseen else [])
                yield batch, at_home(result.encoded, batch)
            read(2)
        if dealt:
            raise StoreError(f"Ray lost {len(dealt)} batches. What was acknowledged is kept: index again for the rest.")


class Actor:
    """Encodes tasks one after another; made once in each process. Runs without Ray just as well."""

    def __init__(self, actors: Actors, passport: Passport, *, threads: int, starts: Callable[[int], int]) -> None:
        self.actors = actors
        self.starts = starts
        self.refused = ""
        try:
            self.model = actors.load()
            self.refused = _difference(passport, self.model)
        except Error as error:
            self.refused = f"{_here()} can't load the model: {error}"
            return
        if isinstance(self.model.engine, OnnxEngine):
            self.model.engine.threads = threads

    def run(self, task: Task) -> Result:
        """What becomes of a task here."""
        if self.refused:
            return Result(task.number, refused=self.refused)
        if self.starts(task.number) > DEATHS:
            return Result(task.number)
        there = [task.whole or all(map(os.path.exists, files(document))) for document in task.documents]
        seen, unseen = (tuple(place for place, is_ in enumerate(there) if is_ == told) for told in (True, False))
        several, options = [task.documents[place] for place in seen], self.actors
        try:
            encoded = encode(self.model, several, on_loss=options.on_loss, thumbnails=options.thumbnails)
        except Error as error:  # not a document's fault: a package that isn't installed here, say
            return Result(task.number, refused=f"{_here()}: {error}")
        e = encoded.embeddings
        light = e if e.sparse is None else replace(e, sparse=replace(e.sparse, piece=None))  # no tokenizer along
        kept = tuple(seen[place] for place in encoded.kept)
        broken = tuple((seen[place], why) for place, why in encoded.broken)
        return Result(task.number, replace(encoded, kept=kept, embeddings=light, broken=broken), unseen)

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """As Ray Data calls it: with one task."""
        return {"result": [self.run(task) for task in rows["task"]]}


def _difference(passport: Passport, model: Encoder) -> str:
    """Why a model isn't the one that is wanted; empty when it is."""
    own = Passport.of(model, passport.heads, passport.multi)
    told = passport.differences(own)
    if own.runtime != passport.runtime:
        told.append(f"it runs on {own.runtime}, not on {passport.runtime}")
    if not told:
        return ""
    return f"{_here()} has another model than the store: {'; '.join(told)}. Bring the same files and packages there."


def _here() -> str:
    return f"the worker on {socket.gethostname()}"
