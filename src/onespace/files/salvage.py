"""Encodes what can be encoded, and says which items could not: one broken picture doesn't cost the other thousand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onespace.embeddings import Embeddings
from onespace.errors import InputError
from onespace.prepare.sources import describe
from onespace.types import Head, Item, OnLoss, Pair, Role

if TYPE_CHECKING:
    from onespace.encoder import Encoder

_NUMBER = re.compile(r"^item \d+(?:, picture (\d+))?[:,]? *")


@dataclass(frozen=True, slots=True)
class Broken:
    """An item that could not be encoded: its place in the list, and why."""

    index: int
    reason: str


@dataclass(frozen=True)
class Salvage:
    """What could be encoded. ``kept[i]`` is the place in the list of row i of ``embeddings``."""

    embeddings: Embeddings
    kept: tuple[int, ...]
    broken: tuple[Broken, ...]


def salvage(
    model: Encoder,
    items: Sequence[Item],
    *,
    heads: Sequence[Head] | None = None,
    role: Role = "document",
    on_loss: OnLoss = "warn",
) -> Salvage:
    """Encodes the items in one go; only when that fails, halves the list until each broken item stands alone.

    Raises:
        InputError: an argument that can't be used, whatever the items.
    """
    none = model.encode([], heads=heads, role=role, on_loss=on_loss)
    found: list[tuple[int, Embeddings]] = []
    broken: list[Broken] = []

    def run(start: int, stop: int) -> None:
        try:
            found.append((start, model.encode(items[start:stop], heads=heads, role=role, on_loss=on_loss)))
        except InputError as error:
            if stop - start <= 1:
                broken.append(Broken(start, reason(error, items[start])))
                return
            middle = (start + stop) // 2
            run(start, middle)
            run(middle, stop)

    run(0, len(items))
    parts = [e for _, e in found if len(e)] or [none]
    kept = tuple(i for start, e in found for i in range(start, start + e.items))
    return Salvage(Embeddings.concatenate(parts), kept, tuple(broken))


def reason(error: InputError, item: Item) -> str:
    """The message without the item's number, which means nothing outside the list that was encoded, and its path.

    >>> from pathlib import Path
    >>> reason(InputError("item 0 (a.png) is empty. Save it again."), Path("a.png"))
    'is empty. Save it again.'
    """
    message = str(error)
    for source in item.images if isinstance(item, Pair) else (item,):
        message = message.replace(f" ({describe(source)})", "", 1)
    return _NUMBER.sub(lambda m: f"picture {m[1]} " if m[1] else "", message)
