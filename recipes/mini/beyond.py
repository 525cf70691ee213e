"""What else the card tells: shorter vectors, two things in one picture, and all kinds of item in one list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from benchmarks import fairness, overlap
from onespace.encoder import Encoder
from onespace.explain import explain
from onespace.fairness import Calibration
from onespace.forms import apply
from onespace.search import rank
from recipes.mini.calibrate import calibrate, sample
from recipes.mini.measure import Test, recall

FORMS = (
    "dense 256 float32",
    "dense 256 int8",
    "dense 128 float32",
    "dense 128 int8",
    "dense 64 int8",
    "dense 256 binary",
)
PAIRS, STORE = 50, 500


def shorter(model: Encoder, test: Test) -> list[tuple[str, float, float]]:
    """Form, bytes an item, and R@10 of pictures by English names; binary rows are searched without rescoring."""
    pictures = model.encode(test.pictures, heads="dense")
    names = test.names["en"]
    texts, own = model.encode(list(names.values()), heads="dense", role="query"), np.array(list(names))
    rows = []
    for form in FORMS:
        kept = apply(pictures, form, spec=model.spec)
        rows.append((form, kept.bytes_per_item, recall(kept.similarity(texts), own, 10)))
    return rows


def two_in_one(model: Encoder, test: Test, *, seed: int = 0) -> dict[str, overlap.Result]:
    """Two drawings that overlap by 30%, each found by its English name, by cells and by the centre alone."""
    drawings = [overlap.Drawing(name, test.pictures[row]) for row, name in test.names["en"].items()]
    scenes, items = overlap.stage(drawings, pairs=PAIRS, store=STORE, seed=seed)
    return {fit: overlap.measure(model.with_fit(fit), scenes, items) for fit in ("tile", "crop")}


def one_list(model: Encoder, data: Path) -> list[str]:
    """Shares of texts, pictures and pairs in one list, and its quality, before and after calibration."""
    fair: Calibration = calibrate(model, data)
    drawn = sample(data, held=slice(0, fairness.ASKED))
    asked, documents = model.encode(drawn.asked, role="query"), model.encode(drawn.found)
    return [line for kind in range(3) for line in fairness.report(asked[kind::3], documents, fair, "blend")]


def own_side(model: Encoder, test: Test, *, seed: int = 2, count: int = 100) -> dict[str, float]:
    """Two drawings side by side: how often the explanation's best place lies on the side of the name, by fit."""
    rng = np.random.default_rng(seed)
    names = list(test.names["en"].items())
    picked = [names[i] for i in rng.permutation(len(names))[: 2 * count]]
    size = test.pictures[0].width
    found = {}
    for fit in ("pad", "tile"):
        right = 0
        for (left, first), (beside, second) in zip(picked[::2], picked[1::2], strict=True):
            board = PILImage.new("RGB", (2 * size, size), "white")
            for row, x in ((left, 0), (beside, size)):
                board.paste(test.pictures[row], (x, 0), test.pictures[row])
            asked = model.encode([first, second], role="query")
            documents = model.with_fit(fit).encode(board)
            for q, hits in enumerate(rank(asked, documents, k=1, metric="blend")):
                field = explain(asked, q, documents, hits[0].row, metric="blend").field
                assert field is not None
                box = hits[0].box if fit == "tile" and hits[0].box else field.best
                right += ((box[0] + box[2]) / 2 < size) == (q == 0)
        found[fit] = right / (2 * count)
    return found
