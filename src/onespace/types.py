"""What goes in, and what is said about it: items and receipts. Only the standard library is imported here.

Axis legend, used in every docstring and comment of the package:

    N  items            L  text tokens      P  image patches    T  ragged tokens (text and patches)
    D  width            V  vocabulary       K  pictures in one item    S  side of a picture in pixels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, Union, cast

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as PILImage

Head: TypeAlias = Literal["dense", "sparse", "multi"]
Modality: TypeAlias = Literal["text", "image", "pair"]
Role: TypeAlias = Literal["document", "query"]
OnLoss: TypeAlias = Literal["warn", "error", "ignore", "chunk", "tile"]
Metric: TypeAlias = Literal["cosine", "dot", "euclidean", "lexical", "maxsim", "blend"]
Fit: TypeAlias = Literal["crop", "pad", "squash", "tile"]
Level: TypeAlias = Literal["trained", "grafted", "unsupported"]

HEADS: tuple[Head, ...] = ("dense", "sparse", "multi")
MODALITIES: tuple[Modality, ...] = ("text", "image", "pair")


@dataclass(frozen=True, slots=True)
class Image:
    """Says that a string is a picture: ``Image("logo.png")``, ``Image("data:image/png;base64,...")``.

    A bare ``str`` is always text, so a path or a data URI held in a string is wrapped. An ``https://`` address is
    refused unless ``allow_remote=True``.
    """

    source: str | Path | bytes
    allow_remote: bool = False


ImageLike: TypeAlias = Union[Image, Path, bytes, "PILImage", "np.ndarray"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A text together with one picture or several: one item, one vector.

    Args:
        text: the text; may be empty.
        image: one picture, or a sequence of pictures that belong to the one text.
    """

    text: str
    image: ImageLike | Sequence[ImageLike]

    @property
    def images(self) -> tuple[ImageLike, ...]:
        """The pictures as a tuple, also when there is one."""
        if isinstance(self.image, (list, tuple)):
            return tuple(self.image)
        return (cast("ImageLike", self.image),)


Item: TypeAlias = Union[str, ImageLike, Pair]  # noqa: UP007 - ImageLike holds forward references

Box: TypeAlias = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the original picture, after EXIF rotation where that is applied."""


@dataclass(frozen=True, slots=True)
class PictureReceipt:
    """What happened to one picture on its way to the model."""

    width: int
    height: int
    """Size of the original, in pixels."""
    used: Box
    """The part of the original that the model sees; of a tiled picture, what all its rows see together."""
    scale: float
    """Model pixels per original pixel (along the width), in this row."""
    tiles: int = 1
    """Rows made of this picture: an overview and its cells."""
    notes: tuple[str, ...] = ()
    """For example: "rotated by EXIF", "first of 12 frames", "alpha over white"."""

    @property
    def cropped(self) -> int:
        """Number of original pixels that the model doesn't see."""
        left, top, right, bottom = self.used
        return max(0, self.width * self.height - round((right - left) * (bottom - top)))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the model used of one row, and what was lost. ``tokens_used + tokens_dropped`` is the item's total.

    An item in several parts has a receipt a row: over its rows ``tokens_used - tokens_shared + tokens_dropped`` adds up
    to the total.
    """

    modality: Modality
    tokens_used: int
    tokens_dropped: int = 0
    pictures: tuple[PictureReceipt, ...] = field(default=())
    tokens_shared: int = 0
    """Of the used tokens, those that an earlier row of the same item holds too: overlap, special tokens, prefix."""

    @property
    def lossless(self) -> bool:
        """True when nothing of the item was dropped or cropped (scaling down isn't counted as loss)."""
        return self.tokens_dropped == 0 and all(p.cropped == 0 for p in self.pictures)
