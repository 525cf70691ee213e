"""One list of texts, pictures and pairs, before and after calibration: who stands in the top 10, and is it right.

    python benchmarks/fairness.py DATA [MODEL] [CALIBRATION]

DATA is the recipe's build folder, MODEL a folder (the shipped model by default). 400 concepts in a drawing style that
training never saw; the list holds a name, a drawing, and a pair of both for each, 1,200 items. It is asked by names in
another language, by drawings turned left to right, and by pairs of these. ``quality`` is nDCG@10, of three right
answers each; a share of 33% each is fair. The calibration is measured on other concepts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import onespace
from onespace.embeddings import Embeddings
from onespace.fairness import Calibration
from onespace.types import MODALITIES, Item, Metric, Pair
from recipes.mini.calibrate import CONCEPTS, sample
from recipes.mini.data import FAVOURED
from recipes.mini.measure import CANDIDATES

METRICS: tuple[Metric, ...] = ("cosine", "lexical", "maxsim", "blend")
TOP, ASKED = 10, 400


def gain(right: np.ndarray) -> float:
    """Mean nDCG@10 of ranked lists: (N, 10) bool, with three right answers each."""
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    return float((right @ discount / discount[:3].sum()).mean())


def report(queries: Embeddings, documents: Embeddings, calibration: Calibration, metric: Metric) -> list[str]:
    """Lines before and after, with shares, quality, and quality within each kind alone."""
    kinds = np.array(documents.modalities)
    about = np.arange(len(documents)) // 3
    lines = []
    for name, fair in (("before", False), ("after", calibration)):
        scores = onespace.similarity(queries, documents, metric=metric, fair=fair)
        scores = scores + np.random.default_rng(0).uniform(0, 1e-6, scores.shape)  # ties fall anywhere
        top = np.argsort(-scores, axis=1)[:, :TOP]
        shares = [float((kinds[top] == kind).mean()) for kind in MODALITIES]
        first = [float((kinds[top[:, 0]] == kind).mean()) for kind in MODALITIES]
        quality = gain(about[top] == np.arange(len(queries))[:, None])
        told = " ".join(f"{share:5.0%}" for share in (*shares, *first))
        lines.append(f"{queries.modalities[0]:5} {metric:8} {name:6} {told}   {quality:.3f}")
    return lines


def main(data: Path, model: Path | None, calibration: Path | None) -> None:
    encoder = onespace.load(model)
    if calibration is None:
        items, groups, _ = sample(data, held=slice(CANDIDATES, CANDIDATES + CONCEPTS))
        fair = Calibration.measure(encoder, items, groups=groups)
    else:
        fair = Calibration.open(calibration)
    items, _, names = sample(data, held=slice(0, ASKED))
    documents = encoder.encode(items)
    rng = np.random.default_rng(1)
    texts: list[Item] = []
    for i, known in enumerate(names):
        there = {items[3 * i], items[3 * i + 2].text}  # type: ignore[union-attr]
        others = [known[x] for x in FAVOURED if known[x] not in there] or [known["en"]]
        texts.append(others[int(rng.integers(len(others)))])
    turned: list[Item] = [ImageOps.mirror(x) for x in items[1::3] if isinstance(x, Image.Image)]
    pairs: list[Item] = [Pair(t, p) for t, p in zip(texts, turned, strict=True)]  # type: ignore[arg-type]
    print("                         top 10: text image pair   first: text image pair   quality")
    for asked in (texts, turned, pairs):
        queries = encoder.encode(asked, role="query")
        for metric in METRICS:
            print("\n".join(report(queries, documents, fair, metric)))


if __name__ == "__main__":
    arguments = [Path(x) for x in sys.argv[1:]] + [None] * 2
    main(arguments[0] or Path("build/mini"), arguments[1], arguments[2])
