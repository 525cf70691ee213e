"""One thread runs the model, on batches made of whatever waits: by tokens and pixels, a turn for each request.

What waits is bounded: a request for which there is no room is refused at once, and one whose deadline passes while it
waits is given up. A batch is formed when the model is free, so nothing waits for a batch to fill.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.errors import Error
from onespace.serve.metrics import Metrics
from onespace.serve.options import Limits
from onespace.serve.refusals import Refused, busy, refuse
from onespace.types import Head, Item, Role

FIRST_RATE = 2000.0
"""Tokens a second, before anything was measured."""


@dataclass(frozen=True)
class Load:
    """What an item weighs: about how many tokens, those of pictures included, and how many pixels."""

    tokens: int = 0
    pixels: int = 0

    def __add__(self, other: Load) -> Load:
        return Load(self.tokens + other.tokens, self.pixels + other.pixels)

    def __sub__(self, other: Load) -> Load:
        return Load(self.tokens - other.tokens, self.pixels - other.pixels)

    def fits(self, room: Load) -> bool:
        """Whether both fit."""
        return self.tokens <= room.tokens and self.pixels <= room.pixels


def total(loads: Sequence[Load]) -> Load:
    """The sum.

    >>> total([Load(3, 0), Load(4, 100)])
    Load(tokens=7, pixels=100)
    """
    return sum(loads, Load())


@dataclass(frozen=True)
class Ask:
    """How items are to be encoded; requests that ask alike share batches."""

    heads: tuple[Head, ...] | None = None
    role: Role = "document"
    on_loss: Literal["ignore", "error"] = "ignore"


@dataclass(eq=False)
class Job:
    """One request's items, on their way: those before ``taken`` are encoded or being encoded."""

    items: Sequence[Item]
    loads: Sequence[Load]
    ask: Ask
    encoder: Encoder
    deadline: float
    future: Future[Embeddings] = field(default_factory=Future)
    taken: int = 0
    found: list[Embeddings] = field(default_factory=list)

    @property
    def rest(self) -> Load:
        """What still waits."""
        return total(self.loads[self.taken :])

    def fail(self, error: BaseException) -> None:
        """Ends it."""
        with suppress(InvalidStateError):  # nobody waits for it any more
            self.future.set_exception(error)

    def finish(self) -> None:
        """All its items are encoded."""
        with suppress(InvalidStateError):
            self.future.set_result(Embeddings.concatenate(self.found))


@dataclass(frozen=True)
class Slice:
    """The items of a job that stand in one batch."""

    job: Job
    start: int
    stop: int

    @property
    def items(self) -> list[Item]:
        """These items."""
        return list(self.job.items[self.start : self.stop])


class Batcher:
    """The queue in front of one model. `close` finishes what was accepted."""

    def __init__(self, encoder: Encoder, limits: Limits, metrics: Metrics) -> None:
        self.encoder = encoder
        """May be replaced at any time: a request stays with the model that it came to."""
        self.limits = limits
        self.metrics = metrics
        self._jobs: deque[Job] = deque()
        self._calls: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._waiting = Load()
        self._rate = FIRST_RATE
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="onespace-model", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item], loads: Sequence[Load], ask: Ask, *, deadline: float) -> Job:
        """Lets items wait for the model; the job's future has their embeddings.

        Raises:
            Refused: 429 when there is no room, 413 when there never is.
        """
        job = Job(items, loads, ask, self.encoder, deadline)
        most = Load(self.limits.queue_tokens, self.limits.queue_pixels)
        load = job.rest
        if not load.fits(most):
            raise refuse(
                413,
                "too_large",
                f"the request has about {load.tokens:,} tokens and {load.pixels:,} pixels; at most {most.tokens:,} and "
                f"{most.pixels:,} are taken at once. Send fewer items at a time.",
            )
        with self._changed:
            seconds = self._waiting.tokens / self._rate
            if self._closing:
                raise busy("the server is stopping. Ask again in a moment.", seconds=1, code="stopping")
            if not (load + self._waiting).fits(most):
                raise busy("the queue is full. Ask again in a moment.", seconds=seconds, code="queue_full")
            if not items:
                job.future.set_result(self.encoder.encode([], heads=ask.heads))
                return job
            self._jobs.append(job)
            self._waiting += load
            self._show()
            self._changed.notify()
        return job

    def call(self, function: Callable[[], None]) -> Future[None]:
        """Runs something between two batches, where nothing else uses the model."""
        done: Future[None] = Future()
        with self._changed:
            self._calls.append((function, done))
            self._changed.notify()
        return done

    def close(self) -> None:
        """Takes nothing more, and returns when all that was accepted is answered."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._calls or self._closing)
                if not self._jobs and not self._calls:
                    return
                call = self._calls.popleft() if self._calls else None
                batch = self._form() if call is None else []
                self._show()
            if call is not None:
                _attempt(*call)
            elif batch:
                self._run(batch)

    def _form(self) -> list[Slice]:
        """A batch of requests that ask as the oldest does: an item of each in turn, as long as there is room."""
        self._give_up()
        if not self._jobs:
            return []
        oldest = self._jobs[0]
        alike = [job for job in self._jobs if (job.ask, job.encoder) == (oldest.ask, oldest.encoder)]
        starts = {job: job.taken for job in alike}
        room = Load(self.limits.batch_tokens, self.limits.batch_pixels)
        turn = alike
        while turn:
            again = []
            for job in turn:
                load = job.loads[job.taken]
                first = job is oldest and job.taken == starts[job]  # goes, however large it is
                if first or load.fits(room):
                    room -= load
                    self._waiting -= load
                    job.taken += 1
                    if job.taken < len(job.items):
                        again.append(job)
            turn = again
        self._jobs = deque(job for job in self._jobs if job.taken < len(job.items))
        return [Slice(job, starts[job], job.taken) for job in alike if job.taken > starts[job]]

    def _give_up(self) -> None:
        """Ends jobs whose time is over, or that failed or were cancelled while a part of them waited."""
        now, kept = time.monotonic(), deque[Job]()
        for job in self._jobs:
            if job.future.done() or now > job.deadline:
                self._waiting -= job.rest
                job.fail(late())
            else:
                kept.append(job)
        self._jobs = kept

    def _run(self, batch: list[Slice]) -> None:
        began = time.monotonic()
        try:
            found = _encode(batch)
        except Exception as error:
            if len(batch) > 1:  # each by itself, so that one request's fault isn't another's
                for part in batch:
                    self._run([part])
            else:
                batch[0].job.fail(_renumbered(error, batch[0].start))
            return
        seconds = max(time.monotonic() - began, 1e-6)
        load = total([load for part in batch for load in part.job.loads[part.start : part.stop]])
        self._rate += 0.2 * (load.tokens / seconds - self._rate)
        items = sum(part.stop - part.start for part in batch)
        self.metrics.batch(items=items, fill=load.tokens / self.limits.batch_tokens, seconds=seconds)
        for part, e in zip(batch, found, strict=True):
            job = part.job
            job.found.append(e)
            if part.stop == len(job.items):
                job.finish()

    def _show(self) -> None:
        self.metrics.waiting(requests=len(self._jobs), tokens=self._waiting.tokens, pixels=self._waiting.pixels)


def late() -> Refused:
    """A deadline passed."""
    return busy("the deadline passed before there was a result. Ask again later, or allow more time.", seconds=1)


def _encode(batch: list[Slice]) -> list[Embeddings]:
    """The embeddings of each slice."""
    job = batch[0].job
    items = [item for part in batch for item in part.items]
    e = job.encoder.encode(items, heads=job.ask.heads, role=job.ask.role, on_loss=job.ask.on_loss)
    found, start = [], 0
    for part in batch:
        stop = start + part.stop - part.start
        rows = np.arange(start, stop) if e.parts is None else np.concatenate([e.rows(i) for i in range(start, stop)])
        found.append(e[rows])
        start = stop
    return found


def _renumbered(error: Exception, first: int) -> Exception:
    """The error with the item's number in its request, where the batch held a later part of it.

    >>> str(_renumbered(Error("item 2 is empty."), 10))
    'item 12 is empty.'
    """
    if not first or not isinstance(error, Error) or isinstance(error, Refused):
        return error
    said = re.sub(r"^item (\d+)", lambda found: f"item {int(found[1]) + first}", str(error))
    return type(error)(said)


def _attempt(function: Callable[[], None], done: Future[None]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        function()
        done.set_result(None)
    except Exception as error:
        done.set_exception(error)
