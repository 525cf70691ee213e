"""A toy world to learn: flags of two colours, a little noisy, and their names."""

from __future__ import annotations

import json
import random
from itertools import permutations
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (30, 60, 220),
    "yellow": (240, 210, 30),
    "black": (9, 9, 9),
}
NAMES = [f"{upper} over {lower}" for upper, lower in permutations(COLOURS, 2)]


def draw(name: str, seed: int, size: int = 32) -> Image.Image:
    """A flag of that name, in its own light and with its own noise."""
    random = np.random.default_rng([NAMES.index(name), seed])
    upper, _, lower = name.split()
    flag = np.empty((size, size, 3))
    flag[: size // 2], flag[size // 2 :] = COLOURS[upper], COLOURS[lower]
    flag = flag * random.uniform(0.8, 1.0) + random.normal(0, 12, flag.shape)
    return Image.fromarray(flag.clip(0, 255).astype(np.uint8))


def pictures(folder: Path, each: int) -> Path:
    """A file of rows {"query": picture, "pos": its name}, the pictures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in NAMES:
        for k in range(each):
            file = f"{name.replace(' ', '-')}-{k}.png"
            draw(name, k).save(folder / file)
            rows.append({"query": {"image": file}, "pos": name})
    random.Random(0).shuffle(rows)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def texts(folder: Path) -> Path:
    """A file of rows of texts with hard negatives and a teacher's scores."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in NAMES:
        upper, _, lower = name.split()
        others = [n for n in NAMES if n != name and n.startswith(upper)]
        row = {"query": f"{lower} under {upper}", "pos": [name, f"{name}!"], "neg": others}
        rows.append(row | {"pos_scores": [3.0, 2.0], "neg_scores": [0.5 * i for i in range(len(others))]})
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
