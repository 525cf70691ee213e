"""Why an item of the store gets its score: the parts that add up to it, and a heat map of its picture."""

from __future__ import annotations

import io
from base64 import b64encode
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.errors import ImageError
from onespace.explain.explanation import Explanation, Field, explain, name_tokens
from onespace.explain.view import label, veil
from onespace.prepare.images import open_image
from onespace.score import blend_weights, similarity
from onespace.spec import PixelSpec
from onespace.store import Found, Reference, SearchOptions, Store, Stored
from onespace.store.search import Wanted
from onespace.types import Box, Item, Metric, Pair

HEAT_SIDE = 256
"""Pixels of a heat map's longer side."""


class Ledger:
    """Explains scores of one store."""

    def __init__(self, store: Store, encoder: Encoder, mode: Metric | None) -> None:
        self.store = store
        self.encoder = encoder
        self.mode = mode

    def of(self, asked: Embeddings, query: Item, kept: Stored) -> dict[str, Any]:
        """The explanation of an item's score, as plain values."""
        why = self._why(asked, query, kept)
        field = why.field if why.field is None or why.field.picture == 0 else None  # the page shows the first picture
        size = size_of(kept.reference) or (None if field is None else _extent(field))
        parts = [
            {"head": p.head, "kind": p.kind, "score": p.score, "label": label(p), "box": p.box, "picture": p.picture}
            | {"text": p.text, "found": p.found, "query_span": p.query_span, "span": p.span}
            for p in why.parts
        ]
        return {
            "score": why.score,
            "sum": fsum(p.score for p in why.parts),
            "metric": why.metric,
            "shares": why.shares,
            "parts": parts,
            "terms": [{"text": p.text, "share": p.score} for p in why.parts if p.kind == "term"],
            "cells": [{"box": p.box, "share": p.score} for p in why.parts if p.box is not None],
            "box": None if field is None else field.best,
            "size": size,
            "heat_map": None if field is None or size is None else _heat_map(field, size),
        }

    def _why(self, asked: Embeddings, query: Item, kept: Stored) -> Explanation:
        """Of the item's best part."""
        rows = self.store.vectors([kept.id])
        options = SearchOptions(self.mode, blend_weights(self.store.shape.model, asked.modalities[0]))
        wanted = Wanted.of(1, 0, None, True, options, self.store.shape)
        scores = similarity(asked, rows, metric=wanted.metric, weights=wanted.weights)[0]
        best = int(np.argmax(scores))
        why = explain(asked, 0, rows, best, metric=wanted.metric, weights=wanted.weights)
        whole = rows.parts is None or rows.parts.kind[best] == "whole"
        return name_tokens(why, self.encoder, query=query, document=_item(kept.reference) if whole else None)


def place(found: Found) -> tuple[Box | None, tuple[int, int] | None]:
    """Where in its first picture an item was found, as its part or as the explanation's best place, and that size."""
    field = found.why.field if found.why is not None else None
    if found.box is not None:
        return found.box, size_of(found.reference)
    return (None, None) if field is None or field.picture else (field.best, _extent(field))


def size_of(reference: Reference) -> tuple[int, int] | None:
    """Width and height of an item's first picture, where it still lies where it lay."""
    path = reference.pictures[0].path if reference.pictures else None
    if path is None or "://" in path or not Path(path).is_file():
        return None
    try:
        opened = open_image(Path(path), where="the item", pixels=PixelSpec(size=1), draft=1)
        return opened.full if any(opened.full) else opened.picture.size
    except ImageError:
        return None


def _item(reference: Reference) -> Item:
    """The item's text, and as many pictures: enough to name its tokens."""
    if not reference.pictures:
        return reference.text
    return Pair(reference.text, [b""] * len(reference.pictures))


def _extent(field: Field) -> tuple[int, int]:
    """The size of a picture that isn't there any more: the model's patches reach to its borders."""
    right, bottom = field.boxes[:, 2:].max(0).tolist()
    return max(1, round(right)), max(1, round(bottom))


def _heat_map(field: Field, size: tuple[int, int]) -> str:
    """A PNG that lets the picture shine through."""
    scale = min(1.0, HEAT_SIDE / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    file = io.BytesIO()
    drawn: PILImage.Image = veil(Field(field.boxes * scale, field.values), small)
    drawn.save(file, "PNG")
    return "data:image/png;base64," + b64encode(file.getvalue()).decode("ascii")
