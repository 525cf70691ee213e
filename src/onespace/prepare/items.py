"""Every spelling of an item becomes one form here, so that nothing further in has to guess.

>>> import onespace
>>> normalise("a whale", 0)
NormalItem(index=0, modality='text', text='a whale', images=())
>>> normalise(onespace.Pair("a whale", onespace.Image("whale.png")), 1).modality
'pair'
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from PIL.Image import Image as PILImage

from onespace.errors import InputError
from onespace.prepare.sources import refuse_remote
from onespace.types import Image, ImageLike, Item, Modality, Pair

_REMEDIES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "Pass a text, a picture or a Pair; an empty text is ''."),
    (dict, "Pass onespace.Pair(text=..., image=...), or the text or picture itself."),
    ((list, tuple), "Pass onespace.Pair(text=..., image=...) for things that belong together, or flatten the list."),
    ((bytearray, memoryview), "Pass bytes(...)."),
)
_ANYTHING = "An item is a str (text), a Path, bytes, PIL image, array or onespace.Image (picture), or an onespace.Pair."


@dataclass(frozen=True, slots=True)
class NormalItem:
    """An item in the one form that the rest of the package knows: a text ("" for pictures alone) and K pictures."""

    index: int
    modality: Modality
    text: str
    images: tuple[ImageLike, ...]


def several(items: Item | Iterable[Item]) -> Iterable[Item]:
    """Wraps one bare item. Raises `InputError` for what is neither an item nor a series of items."""
    if isinstance(items, np.ndarray):
        return [items] if items.ndim in (2, 3) else items
    if isinstance(items, (str, bytes, Path, Image, Pair)) or hasattr(items, "getbands"):  # getbands: a PIL image
        return [cast(Item, items)]
    if isinstance(items, dict) or not isinstance(items, Iterable):
        raise InputError(f"items is {type(items).__name__}; pass a list of texts, pictures and Pair(text, image).")
    return items


def normalise(item: object, index: int) -> NormalItem:
    """Sorts an item by its type; nothing is opened, decoded or fetched yet.

    Raises:
        InputError: for what isn't an item, naming it by its index and saying what to pass instead.
    """
    where = f"item {index}"
    if isinstance(item, str):
        return NormalItem(index, "text", str(item), ())
    if isinstance(item, Pair):
        return NormalItem(index, "pair", _text(item, where), _pictures(item, where))
    return NormalItem(index, "image", "", (_picture(item, where),))


def _text(pair: Pair, where: str) -> str:
    if isinstance(pair.text, str):
        return str(pair.text)
    raise InputError(f"{where}: the text of a Pair is a {_kind(pair.text)}, not a str. Pass Pair(text=..., image=...).")


def _pictures(pair: Pair, where: str) -> tuple[ImageLike, ...]:
    if not pair.images:
        raise InputError(f"{where} is a Pair without a picture. Pass the text alone as a str.")
    many = len(pair.images) > 1
    return tuple(_picture(p, f"{where}, picture {k}" if many else where) for k, p in enumerate(pair.images))


def _picture(value: object, where: str) -> ImageLike:
    if isinstance(value, Image):
        if not isinstance(value.source, (str, Path, bytes)):
            raise InputError(
                f"{where}: onespace.Image holds a {_kind(value.source)}. It takes a str, a Path or bytes; "
                "pass anything else without the wrapper."
            )
        refuse_remote(value, where=where)
        return value
    if isinstance(value, (Path, bytes, PILImage, np.ndarray)):
        return value
    if isinstance(value, str):  # only inside a Pair: a str alone is a text
        shown = value if len(value) <= 40 else f"{value[:40]}..."
        raise InputError(f"{where}: the picture of a Pair is a str. Wrap it: onespace.Image({shown!r}) or Path(...).")
    raise InputError(f"{where} is a {_kind(value)}. {_remedy(value)}")


def _remedy(value: object) -> str:
    if hasattr(value, "__array__"):
        return "Pass a numpy array of shape (height, width, 3), uint8 or float from 0 to 1."
    return next((remedy for kinds, remedy in _REMEDIES if isinstance(value, kinds)), _ANYTHING)


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__
