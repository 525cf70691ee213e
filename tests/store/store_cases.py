"""A few items of every kind, with metadata of every kind."""

from __future__ import annotations

import numpy as np

from onespace.store import Store
from onespace.types import Item, Pair

ITEMS: list[Item] = [
    "a whale swims in the sea",
    "the red dragon flies over the snow mountain",
    "house by the lake",
    "sea sea sea whale",
    np.full((20, 30, 3), 200, np.uint8),
    Pair("the red house", np.tile(np.arange(40, dtype=np.uint8)[:, None, None], (1, 30, 3))),
]
IDS = ["whale", "dragon", "house", 4, "grey", "pair"]
METADATA = [
    {"kind": "text", "year": 2019, "tags": ["sea", "animal"], "day": "2026-01-05"},
    {"kind": "text", "year": 2021, "tags": ["animal"], "day": "2026-02-01"},
    {"kind": "text", "year": 2022.5, "fine": True},
    {"kind": "te\"xt' --", "year": [1990, 2030], "fine": False},
    {"kind": "image", "a.b": 1, "fine": "true"},
    {},
]


def fill(store: Store) -> Store:
    store.add(ITEMS, ids=IDS, metadata=METADATA)
    return store
