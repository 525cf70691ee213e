"""What every encoder promises, as a check that anyone can run on a model of their own.

>>> from onespace.contract import check_encoder
>>> check_encoder(my_encoder)                                            # doctest: +SKIP
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onespace.embeddings import Embeddings
from onespace.errors import Error, KindError
from onespace.types import MODALITIES, Item, Modality, Pair

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from onespace.encoder import Encoder

TOLERANCE = 1e-5
_TEXTS = ("a", "a red house", "", "two whales swim beside a long and narrow boat", "house house house")


class ContractError(Error, AssertionError):
    """An encoder breaks a promise; the message lists every broken one."""


def check_encoder(encoder: Encoder, *, items: Sequence[Item] | None = None) -> None:
    """Checks every promise on ``items``, by default a mixture of all the kinds that the model takes.

    Raises:
        ContractError: listing every broken promise.
    """
    if items is None:
        items = _items(encoder.spec.modalities)
    log = logging.getLogger("onespace")
    level = log.level
    log.setLevel(logging.ERROR)  # that small models cut texts is no news here
    try:
        broken = list(_broken(encoder, list(items)))
    finally:
        log.setLevel(level)
    if broken:
        lines = "\n".join(f"  - {line}" for line in broken)
        raise ContractError(f"{encoder.spec.name} breaks {len(broken)} of its promises:\n{lines}\nMend the model.")


def _broken(encoder: Encoder, items: list[Item]) -> Iterator[str]:
    together = encoder.encode(items)
    alone = [encoder.encode([item]) for item in items]
    yield from _apart("a batch differs from one by one", together, Embeddings.concatenate(alone))
    order = np.random.default_rng(0).permutation(len(items))
    shuffled = encoder.encode([items[i] for i in order])
    yield from _apart("the order of the items isn't kept", together[order], shuffled)
    pairs = Embeddings.concatenate([encoder.encode(items[i : i + 2]) for i in range(0, len(items), 2)])
    yield from _apart("batch mates or padding change an item", together, pairs)
    yield from _apart("the same items twice give two results", together, encoder.encode(items))
    yield from _shapes(encoder, together)
    yield from _empty(encoder)
    yield from _parts(encoder)
    yield from _kinds(encoder)


def _apart(promise: str, wanted: Embeddings, got: Embeddings) -> Iterator[str]:
    if wanted.modalities != got.modalities or [r.modality for r in got.receipts] != list(got.modalities):
        yield f"{promise}: modalities {got.modalities}, not {wanted.modalities}"
        return
    for head in wanted.heads:
        difference = _difference(wanted, got, head)
        if not difference <= TOLERANCE:
            yield f"{promise}: {head} by {difference:.1e} (at most {TOLERANCE:.0e})"


def _difference(a: Embeddings, b: Embeddings, head: str) -> float:
    """Largest difference, of sparse weights in units of the largest; infinite when the shapes differ."""
    if head == "dense" and a.dense is not None and b.dense is not None:
        x, y = a.dense, b.dense
    elif head == "multi" and a.multi is not None and b.multi is not None:
        if not np.array_equal(a.multi.offsets, b.multi.offsets):
            return float("inf")
        x, y = a.multi.values, b.multi.values
    elif a.sparse is not None and b.sparse is not None:
        # a weight near 0 may be there in one and not in the other, so terms are compared by value
        rows = list(zip(a.sparse.to_dicts(), b.sparse.to_dicts(), strict=True))
        gaps = [abs(p.get(t, 0.0) - q.get(t, 0.0)) for p, q in rows for t in {*p, *q}]
        return max(gaps, default=0.0) / float(a.sparse.values.max(initial=1))
    else:
        return float("inf")
    return float(np.abs(x.astype(np.float64) - y).max(initial=0)) if x.shape == y.shape else float("inf")


def _shapes(encoder: Encoder, e: Embeddings) -> Iterator[str]:
    sizes, n = encoder.spec.heads, len(e)
    if e.heads != encoder.spec.head_names:
        yield f"heads {e.heads} came out, not {encoder.spec.head_names}"
    if len(e.receipts) != n:
        yield f"{len(e.receipts)} receipts for {n} items"
    if e.dense is not None:
        if e.dense.shape != (n, sizes.dense) or e.dense.dtype != np.float32:
            yield f"dense is {e.dense.shape} {e.dense.dtype}, not ({n}, {sizes.dense}) float32"
        yield from _unit("dense", e.dense)
    if e.multi is not None:
        if len(e.multi) != n or e.multi.width != sizes.multi or e.multi.values.dtype != np.float32:
            yield f"multi is {len(e.multi)} x {e.multi.width} {e.multi.values.dtype}, not {n} x {sizes.multi} float32"
        yield from _unit("multi", e.multi.values)
    if e.sparse is not None:
        vocab = encoder.spec.text.vocab if encoder.spec.text else 0
        if e.sparse.shape != (n, vocab):
            yield f"sparse is {e.sparse.shape}, not ({n}, {vocab})"
        if e.sparse.indices.size and not 0 <= e.sparse.indices.min() <= e.sparse.indices.max() < vocab:
            yield f"sparse ids are outside the vocabulary of {vocab}"
        if not (e.sparse.values > 0).all():
            yield "sparse weights aren't all above 0"
        if set(e.sparse.indices.tolist()) & set(sizes.sparse_skip):
            yield f"sparse weighs ids that it must skip: {sizes.sparse_skip}"


def _unit(name: str, rows: np.ndarray) -> Iterator[str]:
    norms = np.linalg.norm(rows, axis=1)
    if not np.allclose(norms, 1, atol=1e-4):
        yield f"{name} rows aren't of unit length: {norms.min():.4f} to {norms.max():.4f}"


def _empty(encoder: Encoder) -> Iterator[str]:
    nothing = encoder.encode([])
    if len(nothing) or nothing.heads != encoder.spec.head_names:
        yield f"an empty list gives {len(nothing)} items and heads {nothing.heads}"
    elif nothing.dense is not None and nothing.dense.shape != (0, encoder.spec.heads.dense):
        yield f"an empty list gives dense {nothing.dense.shape}, not (0, {encoder.spec.heads.dense})"


def _parts(encoder: Encoder) -> Iterator[str]:
    if "pair" not in encoder.spec.modalities:
        return
    pair, other = Pair(_TEXTS[1], _picture(0)), Pair(_TEXTS[3], _picture(1))
    parts: list[Item] = [item for item, kind in ((_TEXTS[1], "text"), (_picture(0), "image")) if _takes(encoder, kind)]
    changed: list[Item] = [Pair(pair.text, other.image), Pair(other.text, pair.image)]
    rows = encoder.encode([pair, *parts, *changed], heads="dense").dense
    if rows is not None and len(rows) > 1 and np.abs(rows[1:] - rows[0]).max(1).min() <= TOLERANCE:
        yield "a pair doesn't differ from its parts, or from a pair with another text or picture"


def _kinds(encoder: Encoder) -> Iterator[str]:
    for kind in MODALITIES:
        if _takes(encoder, kind):
            continue
        wrong: dict[Modality, Item] = {"text": "a", "image": Path("a.png"), "pair": Pair("a", Path("a.png"))}
        try:
            encoder.encode([*_items(encoder.spec.modalities)[:1], wrong[kind]])
        except KindError as error:
            if "item 1" not in str(error) or kind not in str(error):
                yield f"the refusal of a {kind} doesn't name the item and its kind: {error}"
        else:
            yield f"a {kind} isn't refused, though the spec doesn't take it"


def _takes(encoder: Encoder, kind: str) -> bool:
    return kind in encoder.spec.modalities


def _items(modalities: tuple[Modality, ...]) -> list[Item]:
    items: list[Item] = []
    if "text" in modalities:
        items += _TEXTS
    if "image" in modalities:
        items += [_picture(i) for i in range(3)]
    if "pair" in modalities:
        items += [Pair(_TEXTS[1], _picture(0)), Pair(_TEXTS[3], _picture(1)), Pair("", _picture(2))]
        items.append(Pair(_TEXTS[1], [_picture(0), _picture(1)]))
    return items[::2] + items[1::2]


def _picture(i: int) -> PILImage:
    """A picture of coarse noise."""
    from PIL import Image as PILImage

    noise = np.random.default_rng(i).integers(0, 256, (5, 4 + i, 3), dtype=np.uint8)
    return PILImage.fromarray(np.kron(noise, np.ones((12, 12, 1), np.uint8)))
