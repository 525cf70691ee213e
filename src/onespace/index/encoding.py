"""A batch of documents as vectors: what a run does itself, or leaves to a worker elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.files.salvage import reason, salvage
from onespace.index.documents import Document
from onespace.prepare.items import normalise
from onespace.store import Reference
from onespace.store.references import refer
from onespace.types import Item, OnLoss

READERS = 4
"""Threads that read pictures."""


@dataclass(frozen=True)
class Encoded:
    """What became of a batch: ``kept[i]`` is the place of item i of ``embeddings`` in it."""

    kept: tuple[int, ...]
    embeddings: Embeddings
    references: tuple[Reference, ...]
    broken: tuple[tuple[int, str], ...]
    """(place, reason) of the others."""


def encode(
    model: Encoder, documents: Sequence[Document], *, on_loss: OnLoss = "warn", thumbnails: bool = True
) -> Encoded:
    """Reads and encodes documents; those that can't be are told of, and cost the others nothing."""

    def read(document: Document) -> tuple[Item, Reference] | str:
        item: Item = ""
        try:
            item = document.open()
            return item, refer(normalise(item, 0), model.spec.pixels, thumbnail=thumbnails)
        except InputError as error:
            return reason(error, item)
        except OSError as error:
            return f"can't be read ({error.strerror}). Check it."

    with ThreadPoolExecutor(READERS) as workers:
        opened = list(workers.map(read, documents))
    whole = [(i, *told) for i, told in enumerate(opened) if not isinstance(told, str)]
    result = salvage(model, [item for _, item, _ in whole], on_loss=on_loss)
    broken = [(i, told) for i, told in enumerate(opened) if isinstance(told, str)]
    broken += [(whole[b.index][0], b.reason) for b in result.broken]
    return Encoded(
        tuple(whole[k][0] for k in result.kept),
        result.embeddings,
        tuple(whole[k][2] for k in result.kept),
        tuple(broken),
    )
