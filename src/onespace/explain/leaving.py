"""An item again and again, each time without one of its cells or words, for `leave_one_out`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image as PILImage

from onespace.errors import InputError
from onespace.prepare.images import open_image
from onespace.spec import PixelSpec
from onespace.types import Box, ImageLike, Item, Pair

WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""A word, or one sign of a script that puts no spaces between them."""
PLAIN = ("L", "RGB", "RGBA")


@dataclass(frozen=True, slots=True)
class Place:
    """What was left out: a box of a picture, or a word and its place in the text."""

    kind: Literal["cell", "word"]
    text: str = ""
    box: Box | None = None
    span: tuple[int, int] | None = None
    picture: int = 0


def without_each(item: Item, pixels: PixelSpec | None, cells: int) -> tuple[list[Item], list[Place]]:
    """The item without each of its cells and words, and what each time is missing."""
    changed = list(_variants(item, pixels, cells))
    return [variant for variant, _ in changed], [place for _, place in changed]


def _variants(item: Item, pixels: PixelSpec | None, cells: int) -> Iterator[tuple[Item, Place]]:
    if isinstance(item, str):
        for text, place in _texts(item):
            yield text, place
    elif isinstance(item, Pair):
        images = list(item.images)
        for text, place in _texts(item.text):
            yield Pair(text, images), place
        for k, image in enumerate(images):
            for picture, place in _pictures(image, pixels, cells):
                yield Pair(item.text, [*images[:k], picture, *images[k + 1 :]]), replace(place, picture=k)
    else:
        yield from _pictures(item, pixels, cells)


def _texts(text: str) -> Iterator[tuple[str, Place]]:
    """Every word is left out once.

    >>> [t for t, _ in _texts("a red 屋顶")]
    [' red 屋顶', 'a  屋顶', 'a red 顶', 'a red 屋']
    """
    for found in WORD.finditer(text):
        yield text[: found.start()] + text[found.end() :], Place("word", found[0], span=found.span())


def _pictures(image: ImageLike, pixels: PixelSpec | None, cells: int) -> Iterator[tuple[PILImage.Image, Place]]:
    if pixels is None:
        raise InputError("the model takes no pictures. Explain a text.")
    picture = open_image(image, where="the document", pixels=pixels).picture
    if picture.mode not in PLAIN:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    ground = border_colour(picture)
    for box in grid(picture.width, picture.height, cells):
        covered = picture.copy()
        covered.paste(ground, box)
        left, top, right, bottom = box
        yield covered, Place("cell", box=(float(left), float(top), float(right), float(bottom)))


def grid(width: int, height: int, cells: int) -> list[tuple[int, int, int, int]]:
    """About ``cells`` boxes, as square as may be, that tile a picture.

    >>> grid(200, 100, 2)
    [(0, 0, 100, 100), (100, 0, 200, 100)]
    """
    across = min(width, max(1, round((cells * width / height) ** 0.5)))
    down = min(height, max(1, round(cells / across)))
    x = [width * i // across for i in range(across + 1)]
    y = [height * i // down for i in range(down + 1)]
    return [(x[i], y[j], x[i + 1], y[j + 1]) for j in range(down) for i in range(across)]


def border_colour(picture: PILImage.Image) -> int | tuple[int, ...]:
    """The mean colour of a picture's outermost pixels: the ground of a drawing, about the mean of a photograph."""
    values = np.asarray(picture)
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]]).astype(np.float64)
    mean = np.rint(edge.mean(0)).astype(int)
    return int(mean) if values.ndim == 2 else tuple(mean.tolist())
