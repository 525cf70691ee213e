"""Cuts items into batches of one shape that fit a budget."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from onespace.engines import Batch, tokens_for
from onespace.parts import WHOLE, Part
from onespace.passages import Pooled
from onespace.prepare.cells import Picture
from onespace.types import Head, ImageLike, Modality, Receipt

T = TypeVar("T")

TOKENS_PER_BATCH = tokens_for(1)
"""Padded tokens, image tokens included, of one batch, where the engine names no other number: what caches hold."""
PICTURES_PER_BATCH = 16
"""Pictures of one batch, where the engine names no other number; as many again are decoded while it runs."""
AFTER_TEXT = 1 << 40
"""Added to the numbers of cells: they stand behind all the windows of the item's text."""
TILED_PER_BATCH = 4
"""Pictures that are opened together where each may become many cells."""


@dataclass(frozen=True)
class Job:
    """One row: an item, or a part of one; ``ids=None`` is a picture alone in a dual encoder.

    ``images`` are closed; ``pictures`` are the same, opened. A reading with ``pooled`` passages becomes a row for each
    of them.
    """

    index: int
    modality: Modality
    heads: tuple[Head, ...]
    ids: list[int] | None
    dropped: int = 0
    images: tuple[ImageLike, ...] = ()
    pictures: tuple[Picture, ...] = ()
    part: Part = WHOLE
    number: int = 0
    """The row's place among those of its item."""
    shared: int = 0
    pooled: tuple[Pooled, ...] = ()

    @property
    def receipt(self) -> Receipt:
        """What the model used of it."""
        used = 0 if self.modality == "image" else self.length
        return Receipt(self.modality, used, self.dropped, tuple(p.receipt for p in self.pictures), self.shared)

    def passages(self) -> Iterator[Job]:
        """A row for each of its passages."""
        for k, p in enumerate(self.pooled):
            part = Part("passage", span=p.span)
            yield replace(self, ids=p.ids, part=part, number=self.number + k, shared=p.shared, pooled=())

    @property
    def length(self) -> int:
        """Text tokens that the model reads."""
        return len(self.ids or ())


def cut(
    jobs: Sequence[Job],
    *,
    patches: int,
    batch_size: int | None,
    most: int | None = None,
    tokens: int | None = None,
) -> Iterator[list[Job]]:
    """Jobs of one shape, longest first, so that little is padding and the heaviest batch fails first if any does.

    ``patches`` image tokens a picture count towards the budget of ``tokens``, and at most ``most`` pictures stand in a
    batch; ``batch_size`` replaces both by a number of items.
    """
    shapes: dict[tuple[object, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        shapes[len(job.images), job.ids is None, job.heads, bool(job.pooled)].append(job)
    for same in shapes.values():
        rest = sorted(same, key=lambda job: -job.length)
        while rest:
            pictures = len(rest[0].images)
            fitting = (tokens or TOKENS_PER_BATCH) // (rest[0].length + pictures * patches or 1)
            if pictures:
                fitting = min(fitting, (most or PICTURES_PER_BATCH) // pictures)
            room = batch_size or max(1, fitting)
            yield rest[:room]
            rest = rest[room:]


def ahead(begun: Iterable[Callable[[], T]], count: int) -> Iterator[T]:
    """What each of them gives, in order; ``count`` more are begun before one is waited for.

    >>> list(ahead(((lambda n=n: n * n) for n in range(4)), 2))
    [0, 1, 4, 9]
    """
    waiting: deque[Callable[[], T]] = deque()
    for later in begun:
        waiting.append(later)
        if len(waiting) > count:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def with_pictures(
    batches: Iterable[list[Job]], look: Callable[[Job, int], tuple[Picture, ...]], *, workers: int
) -> Iterator[tuple[list[Job], list[list[tuple[Picture, ...]]]]]:
    """Each batch with what ``look`` makes of its jobs' pictures, given a job and the number of one of them.

    That is done by threads, for the next batch while this one is used; never for more than two batches.
    """

    def wait(
        batch: list[Job], begun: list[list[Future[tuple[Picture, ...]]]]
    ) -> tuple[list[Job], list[list[tuple[Picture, ...]]]]:
        return batch, [[future.result() for future in some] for some in begun]

    with ThreadPoolExecutor(workers) as threads:
        submitted = (
            partial(wait, batch, [[threads.submit(look, job, k) for k in range(len(job.images))] for job in batch])
            for batch in batches
        )
        yield from ahead(submitted, 1)


def pad(jobs: Sequence[Job], *, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (N, L) int64, right-padded, and their mask (N, L) bool."""
    lengths = np.array([job.length for job in jobs])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = np.concatenate([np.asarray(job.ids, np.int64) for job in jobs])
    return ids, mask


def stack(jobs: Sequence[Job], *, pad_id: int) -> Batch:
    """What an engine is given for jobs of one shape, whose pictures are open."""
    ids, mask = (None, None) if jobs[0].ids is None else pad(jobs, pad_id=pad_id)
    pixels = None
    if jobs[0].pictures:
        pixels = np.stack([np.stack([p.pixels for p in job.pictures]) for job in jobs])  # (N, K, 3, S, S)
    return Batch(ids, mask, pixels)


def with_cells(
    job: Job, opened: Sequence[Sequence[Picture]], *, heads: tuple[Head, ...], blank: list[int] | None
) -> Iterator[Job]:
    """The job with the overviews of its pictures, and then each of their cells.

    Args:
        job: with its pictures closed.
        opened: of each picture the overview, and its cells behind it.
        heads: those of pictures alone; where the model takes none, cells of a pair are read with its text.
        blank: the ids that a picture alone has, if it has any.
    """
    overviews = tuple(some[0] for some in opened)
    box = overviews[0].part.box if overviews else job.part.box
    yield replace(job, pictures=overviews, part=replace(job.part, box=box))
    cells = [(k, cell) for k, some in enumerate(opened) for cell in some[1:]]
    for number, (k, cell) in enumerate(cells, start=1):
        part = replace(cell.part, picture=k)
        row = Job(job.index, "image", heads, blank, 0, job.images[k : k + 1], (cell,), part, AFTER_TEXT + number)
        if not heads:
            row = replace(row, modality=job.modality, heads=job.heads, ids=job.ids, shared=job.length)
        yield row
