"""One list of texts, pictures and pairs, before and after calibration: who stands in the top 10, and is it right.

    python benchmarks/fairness.py [DATA] [MODEL] [CALIBRATION]

DATA is the recipe's build folder, MODEL a folder (the shipped model by default), CALIBRATION a file (measured anew by
default, on other concepts). About 400 concepts: the list holds a name, a drawing in a style that training never saw,
and a pair of both for each. It is asked by names in another language, by drawings in another style, and by both.
``quality`` is nDCG@10, of three right answers each; a share of 33% each is fair.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import onespace
from onespace.embeddings import Embeddings
from onespace.fairness import Calibration
from onespace.types import MODALITIES, Metric
from recipes.mini.calibrate import calibrate, sample

METRICS: tuple[Metric, ...] = ("cosine", "lexical", "maxsim", "blend")
TOP, ASKED = 10, 400


def gain(right: np.ndarray) -> float:
    """Mean nDCG@10 of ranked lists: (N, 10) bool, with three right answers each."""
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    return float((right @ discount / discount[:3].sum()).mean())


def report(queries: Embeddings, documents: Embeddings, calibration: Calibration, metric: Metric) -> list[str]:
    """Lines before and after: shares in the top 10 and at its head, and quality."""
    kinds = np.array(documents.modalities)
    about = np.arange(len(documents)) // 3
    lines = []
    for name, fair in (("before", False), ("after", calibration)):
        scores = onespace.similarity(queries, documents, metric=metric, fair=fair).astype(np.float64)
        scores += np.random.default_rng(0).uniform(0, 1e-7, scores.shape)  # ties fall anywhere
        top = np.argsort(-scores, axis=1)[:, :TOP]
        shares = [float((kinds[top] == kind).mean()) for kind in MODALITIES]
        first = [float((kinds[top[:, 0]] == kind).mean()) for kind in MODALITIES]
        quality = gain(about[top] == np.arange(len(queries))[:, None])
        told = "   ".join(" ".join(f"{share:5.0%}" for share in three) for three in (shares, first))
        lines.append(f"{queries.modalities[0]:6} {metric:8} {name:7} {told}   {quality:.3f}")
    return lines


def main(data: Path, model: Path | None, calibration: Path | None) -> None:
    encoder = onespace.load(model)
    fair = calibrate(encoder, data) if calibration is None else Calibration.open(calibration)
    drawn = sample(data, held=slice(0, ASKED))
    asked, documents = encoder.encode(drawn.asked, role="query"), encoder.encode(drawn.found)
    print(f"{len(documents)} items, {len(documents) // 3} of each kind; shares of the top 10 and of the first place")
    print("query  metric           text image  pair    text image  pair   quality")
    for kind in range(3):
        for metric in METRICS:
            print("\n".join(report(asked[kind::3], documents, fair, metric)))


if __name__ == "__main__":
    data, model, calibration, *_ = [Path(x) for x in sys.argv[1:]] + [None] * 3
    main(data or Path("build/mini"), model, calibration)
