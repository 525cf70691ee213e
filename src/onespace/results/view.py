"""What of a hit is shown: its name, its words, its picture, and the place in the picture."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onespace.errors import ImageError
from onespace.explain.explanation import name_tokens
from onespace.explain.view import over_white
from onespace.prepare.images import open_image
from onespace.prepare.sources import read_bytes
from onespace.spec import PixelSpec
from onespace.store import Found
from onespace.types import Box, ImageLike, Item, Pair

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from onespace.encoder import Encoder

log = logging.getLogger(__name__)

DIGEST = 32
"""So many letters of hexadecimal, or more, mean nothing to a reader."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The picture of a hit, RGB; ``box`` is the part that was found, in its pixels."""

    picture: PILImage
    box: Box | None = None


def name(found: Found) -> str:
    """What an item is called: its id; or, where that is only a digest, its file or its text.

    >>> from onespace.store import Picture, Reference
    >>> name(Found("whale", 0.5, {}, Reference("text", "a whale")))
    'whale'
    >>> reference = Reference("image", pictures=(Picture("pictures/whale.png", "0a1b"),))
    >>> Path(name(Found(reference.content, 0.5, {}, reference))).parts
    ('pictures', 'whale.png')
    """
    if found.id != found.reference.content:
        return str(found.id)
    if found.path is None:
        return caption(found) or str(found.id)
    path = Path(found.path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def caption(found: Found, most: int = 200) -> str:
    """The words that were found, on one line, cut where they are many.

    >>> from onespace.store import Reference
    >>> caption(Found("whale", 0.5, {}, Reference("text", "a blue  whale")), most=8)
    'a blue …'
    """
    words = " ".join(found.text.split())
    return words if len(words) <= most else f"{words[: most - 1].rstrip()} …"


def facts(found: Found) -> list[str]:
    """The metadata in words, without what the name says already, and without digests.

    >>> from onespace.store import Reference
    >>> facts(Found("a.png", 0.5, {"kind": "logo", "tags": ["red", "sea"], "path": "a.png"}, Reference("image")))
    ['kind=logo', 'tags=red,sea']
    """
    told = []
    for key, value in found.metadata.items():
        words = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        digest = len(words) >= DIGEST and set(words) <= set("0123456789abcdef")
        if words not in (found.path, name(found), name(found).partition("#")[0]) and not digest:
            told.append(f"{key}={words}")
    return told


def place(found: Found) -> tuple[int, Box] | None:
    """Which of the item's pictures was nearest to the query, and where in it, in pixels of the original."""
    if found.why is not None and found.why.field is not None:
        return found.why.field.picture, found.why.field.best
    return None if found.box is None else (0, found.box)


def where(found: Found) -> str:
    """Where in the item the best match lies, in words; empty when it is the whole.

    >>> from onespace.store import Reference
    >>> where(Found("a.png", 0.5, {}, Reference("image"), box=(10.0, 0.0, 20.0, 20.0)))
    'left 10, top 0, right 20, bottom 20'
    """
    nearest = place(found)
    return found.where if nearest is None else replace(found, box=nearest[1]).where


def show(found: Found, pixels: PixelSpec | None) -> Shown | None:
    """The picture of a hit: the file while it is what was indexed, else the small one that the store kept.

    Only over the file is the box known.
    """
    pixels = pixels or PixelSpec(size=1)
    number, box = place(found) or (0, None)
    pictures = found.reference.pictures
    if number < len(pictures) and (path := pictures[number].path) is not None and "://" not in path:
        try:
            content = read_bytes(Path(path), where=path)
            if sha256(content).hexdigest() == pictures[number].sha256:
                return Shown(over_white(open_image(content, where=path, pixels=pixels).picture), box)
        except ImageError as error:
            log.debug("%s", error)
    if found.reference.thumbnail is None:
        return None
    return Shown(over_white(open_image(found.reference.thumbnail, where=name(found), pixels=pixels).picture))


def explained(found: Sequence[Found], model: Encoder, query: Item) -> list[Found]:
    """The hits with the words of both sides written into their explanations."""
    return [
        hit if hit.why is None else replace(hit, why=name_tokens(hit.why, model, query=query, document=_item(hit)))
        for hit in found
    ]


def _item(found: Found) -> Item:
    """The found row as it was encoded; its pictures are only counted."""
    pictures: list[ImageLike] = [b""] * (1 if found.kind == "cell" else len(found.reference.pictures))
    if found.reference.modality == "text" or not pictures:
        return found.text
    return pictures[0] if found.reference.modality == "image" else Pair(found.text, pictures)


def to_dict(found: Found) -> dict[str, Any]:
    """Plain values for JSON."""
    nearest = place(found)
    return {
        "id": found.id,
        "score": found.score,
        "parts": found.parts,
        "modality": found.reference.modality,
        "path": found.path,
        "caption": found.text,
        "box": None if nearest is None else [round(x, 1) for x in nearest[1]],
        "picture": None if nearest is None else nearest[0],
        "span": found.span,
        "metadata": dict(found.metadata),
    }
