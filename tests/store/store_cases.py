"""A few items of every kind, with metadata of every kind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def run(script: Path, folder: Path, *argv: str) -> subprocess.Popen[str]:
    """A script of this folder, in a process of its own."""
    paths = os.pathsep.join([str(script.parents[1]), str(script.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(script), str(folder), *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def fill(store: Store) -> Store:
    store.add(ITEMS, ids=IDS, metadata=METADATA)
    return store
