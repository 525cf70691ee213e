"""Chooses the weights of the shipped model's blend: `python -m recipes.mini.blend`.

On the concepts that `recipes.mini.calibrate` uses as well, drawn in the kept-out style and named in the ten favoured
languages; none of them is among the 1,000 that the card measures on. Prints what goes into `onespace.score.BLENDS`.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np

import onespace
from recipes.mini.calibrate import CONCEPTS
from recipes.mini.data import FAVOURED
from recipes.mini.measure import CANDIDATES, read_test, recall
from recipes.mini.train import BUILD

SPARSE, MULTI = (0.0, 0.001, 0.002, 0.004, 0.006, 0.01, 0.02), (0.0, 0.025, 0.05, 0.1, 0.2, 0.4)


def main() -> None:
    """Reads the arguments, and prints a row for each pair of weights, the best last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=BUILD)
    arguments = parser.parse_args()
    model = onespace.load()
    held = read_test(arguments.data, part=slice(CANDIDATES, CANDIDATES + CONCEPTS))
    pictures = model.encode(held.pictures)
    scores = []
    for locale in FAVOURED:
        texts = model.encode(list(held.names[locale].values()), role="query")
        own = np.array(list(held.names[locale]))
        scores.append((own, [onespace.similarity(texts, pictures, metric=m) for m in ("cosine", "lexical", "maxsim")]))
    rows = []
    for sparse, multi in product(SPARSE, MULTI):
        blends = [(own, dense + sparse * terms + multi * late) for own, (dense, terms, late) in scores]
        first, tenth = (float(np.mean([recall(blend, own, k) for own, blend in blends])) for k in (1, 10))
        rows.append((first + tenth, first, tenth, sparse, multi))
    for _, first, tenth, sparse, multi in sorted(rows):
        print(f"(1.0, {sparse}, {multi})  R@1 {first:.4f}  R@10 {tenth:.4f}")


if __name__ == "__main__":
    main()
