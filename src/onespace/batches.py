"""Cuts items into batches of one shape that fit a budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onespace.types import Head, ImageLike, Modality

TOKENS_PER_BATCH = 8192
"""Padded tokens, image tokens included, of one batch."""
PICTURES_PER_BATCH = 16
"""Pictures of one batch; as many again are decoded while it runs."""


@dataclass(frozen=True)
class Job:
    """One item: its text as ids, its pictures still closed; ``ids=None`` is a picture alone in a dual encoder."""

    index: int
    modality: Modality
    heads: tuple[Head, ...]
    ids: list[int] | None
    dropped: int = 0
    images: tuple[ImageLike, ...] = ()

    @property
    def length(self) -> int:
        """Text tokens that the model reads."""
        return len(self.ids or ())


def cut(jobs: Sequence[Job], *, patches: int, batch_size: int | None) -> Iterator[list[Job]]:
    """Jobs of one shape, longest first, so that little is padding and the heaviest batch fails first if any does.

    ``patches`` image tokens a picture count towards the budget; ``batch_size`` replaces it by a number of items.
    """
    shapes: dict[tuple[object, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        shapes[len(job.images), job.ids is None, job.heads].append(job)
    for same in shapes.values():
        rest = sorted(same, key=lambda job: -job.length)
        while rest:
            pictures = len(rest[0].images)
            fitting = TOKENS_PER_BATCH // (rest[0].length + pictures * patches or 1)
            if pictures:
                fitting = min(fitting, PICTURES_PER_BATCH // pictures)
            room = batch_size or max(1, fitting)
            yield rest[:room]
            rest = rest[room:]


def pad(jobs: Sequence[Job], *, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (N, L) int64, right-padded, and their mask (N, L) bool."""
    lengths = np.array([job.length for job in jobs])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = np.concatenate([np.asarray(job.ids, np.int64) for job in jobs])
    return ids, mask
