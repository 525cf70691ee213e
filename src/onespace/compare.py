"""Compares a user's own texts, pictures and pairs, each with each, under one metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onespace.errors import InputError
from onespace.files.salvage import salvage
from onespace.score import similarity
from onespace.types import Head, Image, Item, Metric, Pair, Receipt

if TYPE_CHECKING:
    import numpy as np

    from onespace.encoder import Encoder

HEADS_OF: dict[Metric, tuple[Head, ...]] = {
    "cosine": ("dense",),
    "dot": ("dense",),
    "euclidean": ("dense",),
    "lexical": ("sparse",),
    "maxsim": ("multi",),
    "blend": ("dense", "sparse", "multi"),
}
"""The representations that each metric looks at."""


@dataclass(frozen=True)
class Comparison:
    """``matrix[i, j]`` compares item i with item j. ``broken`` are (name, reason) of items that were left out."""

    items: tuple[Item, ...]
    labels: tuple[str, ...]
    metric: Metric
    model: str
    matrix: np.ndarray
    receipts: tuple[Receipt, ...]
    broken: tuple[tuple[str, str], ...]

    def losses(self) -> list[str]:
        """One line for each item that the model saw only in part."""
        return [f"{label}: {loss(r)}" for label, r in zip(self.labels, self.receipts, strict=True) if not r.lossless]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "metric": self.metric,
            "labels": list(self.labels),
            "matrix": [[round(float(x), 6) for x in row] for row in self.matrix],
            "receipts": [asdict(r) for r in self.receipts],
            "broken": [{"item": name, "reason": why} for name, why in self.broken],
        }


def compare(
    model: Encoder, items: Sequence[Item], *, metric: Metric = "cosine", skip_broken: bool = False
) -> Comparison:
    """Encodes the items and compares each with each.

    Shapes:
        the result's ``matrix`` is (N, N).

    Raises:
        InputError: an item can't be used and `skip_broken` is off; the message names it.
    """
    result = salvage(model, items, heads=HEADS_OF[metric])
    broken = tuple((name(items[b.index]), b.reason) for b in result.broken)
    if broken and not skip_broken:
        raise InputError(": ".join(broken[0]))
    kept = tuple(items[i] for i in result.kept)
    e = result.embeddings
    return Comparison(
        items=kept,
        labels=labels(kept),
        metric=metric,
        model=model.spec.name,
        matrix=similarity(e, e, metric=metric),
        receipts=tuple(e.receipts),
        broken=broken,
    )


def loss(receipt: Receipt) -> str:
    """What the model did not see of an item, in words.

    >>> loss(Receipt("text", tokens_used=8192, tokens_dropped=10))
    'the last 10 of 8202 tokens were cut off'
    """
    told = []
    if receipt.tokens_dropped:
        total = receipt.tokens_used + receipt.tokens_dropped
        told.append(f"the last {receipt.tokens_dropped} of {total} tokens were cut off")
    for p in receipt.pictures:
        if p.cropped:
            told.append(f"{p.cropped / (p.width * p.height):.0%} of the {p.width}x{p.height} picture was cropped away")
    return "; ".join(told)


def name(item: Item) -> str:
    """How an item is called in a line or a table: a file by its name, a text by itself, a pair by both.

    >>> name("a whale"), name(Path("pictures/logo.png")), name(Pair("a whale", Path("logo.png")))
    ('a whale', 'logo.png', 'logo.png + a whale')
    """
    if isinstance(item, str):
        return item
    if isinstance(item, Pair):
        return " + ".join([*map(name, item.images), item.text])
    if isinstance(item, Image):
        source = item.source
        return (
            name(source) if isinstance(source, (Path, bytes)) else Path(source).name if "," not in source else "picture"
        )
    return item.name or str(item) if isinstance(item, Path) else "picture"


def labels(items: Sequence[Item], *, longest: int = 28) -> tuple[str, ...]:
    """Short names; where two items have the same, both get their numbers.

    >>> labels(["a whale", Path("a/logo.png"), Path("b/logo.png")])
    ('a whale', '2 logo.png', '3 logo.png')
    """
    short = [s if len(s) <= longest else s[: longest - 1] + "…" for s in (" ".join(name(i).split()) for i in items)]
    return tuple(f"{i} {s}" if short.count(s) > 1 else s for i, s in enumerate(short, 1))


def thumbnail(item: Item, *, side: int = 128) -> np.ndarray | None:
    """A small square picture (side, side, 3) uint8 of an item, whole and centred over white; None for a text."""
    import numpy as np
    from PIL import Image as PILImage

    from onespace.prepare.images import open_image
    from onespace.spec import PixelSpec

    if isinstance(item, str):
        return None
    source = item.images[0] if isinstance(item, Pair) else item
    picture = open_image(source, where=name(item), pixels=PixelSpec(size=side)).picture
    picture.thumbnail((side, side))
    square = PILImage.new("RGB", (side, side), "white")
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.asarray(square)
