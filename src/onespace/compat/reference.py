"""What the drop-ins share: opening a model so that it does as the originals do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Literal

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.errors import InputError, ModelError
from onespace.families import load
from onespace.types import Head, Item

POOLINGS: dict[str, Literal["cls", "mean", "last"]] = {"cls": "cls", "mean": "mean", "last_token": "last"}
"""The originals' names of poolings, and ours."""

log = logging.getLogger(__name__)


def open_reference(
    source: str | PathLike[str],
    *,
    weights: str | PathLike[str] | None = None,
    pooling: str = "cls",
    unit: bool = True,
    device: str | None = None,
    dtype: str | None = None,
) -> Encoder:
    """Loads a model that parses special tokens in texts, and pools and scales as it is told.

    Raises:
        InputError: the pooling is unknown.
        ModelError: the files can't be loaded, or are neither a text model nor one that pictures join.
    """
    from onespace.model import FusedModel

    if pooling not in POOLINGS:
        raise InputError(f"pooling {pooling!r} isn't known. Choose one of {', '.join(POOLINGS)}.")
    encoder = load(source, weights=weights, device=device, dtype=dtype)
    module = getattr(encoder.engine, "module", None)
    if not isinstance(module, FusedModel):
        raise ModelError(
            f"{source}: {encoder.spec.name} can't stand in for BGE. Name the official files of a BGE model."
        )
    module.spec = replace(encoder.spec, heads=replace(encoder.spec.heads, pooling=POOLINGS[pooling], unit=unit))
    return Encoder(module.spec, encoder.tokenizer.parsing(), encoder.engine)


def encode(
    encoder: Encoder, items: Sequence[Item], heads: tuple[Head, ...], *, batch_size: int | None = None
) -> Embeddings:
    """Encodes, and logs which texts were cut; not which pictures were cropped: the originals crop every one."""
    e = encoder.encode(items, heads=heads, batch_size=batch_size, on_loss="ignore")
    cut = [(i, receipt) for i, receipt in enumerate(e.receipts) if receipt.tokens_dropped]
    if cut:
        i, receipt = cut[0]
        total = receipt.tokens_used + receipt.tokens_dropped
        log.warning(
            "%d x text cut; the first is text %d: %d of its %d tokens.", len(cut), i, receipt.tokens_used, total
        )
    return e
