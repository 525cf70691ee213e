"""Measures the scores of chance of onespace-mini, for `similarity(..., fair=True)`: `python -m recipes.mini.calibrate`.

The sample is 300 concepts in the drawing style that training never saw, none of them among the 1,000 that
`recipes.mini.measure` tests on: of each a name in a drawn language, its drawing, and both as a pair.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

import onespace
from onespace.fairness import SHIPPED, Calibration
from onespace.types import Item, Pair
from recipes.mini.data import FAVOURED, read_rows
from recipes.mini.measure import CANDIDATES
from recipes.mini.train import BUILD

CONCEPTS = 300


def sample(data: Path, *, held: slice, seed: int = 7) -> tuple[list[Item], list[str], list[dict[str, str]]]:
    """Three items a concept, what each is about, and the concept's names.

    Concepts are drawn as `recipes.mini.measure.read_test` draws them, so that ``held`` tells them apart from its own.
    """
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for row in read_rows(data / "texts.jsonl"):
        if row["kind"] == "name" and row["locale"] in FAVOURED:
            names[row["concept"]][row["locale"]] = row["text"]
    rows = [r for r in read_rows(data / "images.jsonl") if r["style"] == "twemoji"]
    rows = [r for r in rows if set(FAVOURED) <= set(names[r["concept"]])]
    rng = np.random.default_rng(seed)
    rows = [rows[i] for i in rng.permutation(len(rows))[held]]
    drawings = np.load(data / "images.npy", mmap_mode="r")
    items: list[Item] = []
    for row in rows:
        picture = Image.fromarray(np.asarray(drawings[row["row"]]))
        one, other = (names[row["concept"]][FAVOURED[i]] for i in rng.choice(len(FAVOURED), 2, replace=False))
        items += [one, picture, Pair(other, picture)]
    return items, [row["concept"] for row in rows for _ in range(3)], [names[row["concept"]] for row in rows]


def main() -> None:
    """Reads the arguments, measures, and writes the calibration beside the shipped model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=BUILD)
    parser.add_argument("--model", type=Path, help="a folder; the shipped model by default")
    parser.add_argument("--out", type=Path, default=SHIPPED["onespace-mini"])
    arguments = parser.parse_args()
    items, groups, _ = sample(arguments.data, held=slice(CANDIDATES, CANDIDATES + CONCEPTS))
    fair = Calibration.measure(onespace.load(arguments.model), items, groups=groups)
    fair.save(arguments.out)
    for (query, document), chance in fair.chances.items():
        spread = np.sqrt(np.diag(chance.covariance))
        told = ", ".join(f"{m} {a:+.3f} ± {s:.3f}" for m, a, s in zip(fair.metrics, chance.mean, spread, strict=True))
        print(f"{query:5} - {document:5} {told}")


if __name__ == "__main__":
    main()
