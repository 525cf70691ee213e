"""Measures how onespace-mini scores, for `similarity(..., fair=True)`: `python -m recipes.mini.calibrate`.

The sample is 300 concepts in the drawing style that training never saw, none of them among the 1,000 that
`recipes.mini.measure` tests on.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass, field
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


@dataclass
class Sample:
    """A text, a drawing and a pair for each concept, on both sides; nothing is the same on the two sides.

    The names are in three languages, and the drawings asked with are in another style, which training may have seen.
    """

    asked: list[Item] = field(default_factory=list)
    found: list[Item] = field(default_factory=list)
    concepts: list[str] = field(default_factory=list)
    """What row i of both is about."""


def sample(data: Path, *, held: slice, seed: int = 7) -> Sample:
    """Draws concepts as `recipes.mini.measure.read_test` does, so that ``held`` tells them apart from its own."""
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for row in read_rows(data / "texts.jsonl"):
        if row["kind"] == "name" and row["locale"] in FAVOURED:
            names[row["concept"]][row["locale"]] = row["text"]
    rows, styles = [], defaultdict(list)
    for row in read_rows(data / "images.jsonl"):
        if row["style"] == "twemoji" and set(FAVOURED) <= set(names[row["concept"]]):
            rows.append(row)
        elif row["split"] == "train":
            styles[row["concept"]].append(row["row"])
    rng = np.random.default_rng(seed)
    rows = [rows[i] for i in rng.permutation(len(rows))[held]]
    drawings = np.load(data / "images.npy", mmap_mode="r")
    out = Sample()
    for row in (r for r in rows if styles[r["concept"]]):
        asked, first, second = (names[row["concept"]][FAVOURED[i]] for i in rng.choice(len(FAVOURED), 3, replace=False))
        other = Image.fromarray(np.asarray(drawings[int(rng.choice(styles[row["concept"]]))]))
        drawing = Image.fromarray(np.asarray(drawings[row["row"]]))
        out.asked += [asked, other, Pair(asked, other)]
        out.found += [first, drawing, Pair(second, drawing)]
        out.concepts += [row["concept"]] * 3
    return out


def calibrate(model: onespace.Encoder, data: Path) -> Calibration:
    """The calibration of a model on concepts that nothing else is measured on."""
    drawn = sample(data, held=slice(CANDIDATES, CANDIDATES + CONCEPTS))
    return Calibration.of(model.encode(drawn.asked, role="query"), model.encode(drawn.found), groups=drawn.concepts)


def main() -> None:
    """Reads the arguments, measures, and writes the calibration beside the shipped model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=BUILD)
    parser.add_argument("--model", type=Path, help="a folder; the shipped model by default")
    parser.add_argument("--out", type=Path, default=SHIPPED["onespace-mini"])
    arguments = parser.parse_args()
    fair = calibrate(onespace.load(arguments.model), arguments.data)
    fair.save(arguments.out)
    for (query, document), seen in fair.kinds.items():
        related = seen.unrelated if seen.related is None else seen.related
        told = (f"{m} {a:.3f} / {b:.3f}" for m, a, b in zip(fair.metrics, seen.unrelated, related, strict=True))
        print(f"{query:5} - {document:5} unrelated / related: {', '.join(told)}")


if __name__ == "__main__":
    main()
