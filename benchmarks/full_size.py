"""Loads an official checkpoint of full size and compares it with recorded outputs: numbers, seconds and memory.

    python benchmarks/full_size.py GOLDEN WEIGHTS

GOLDEN is a folder with model/NAME (config and tokenizer), meta.json and expected.npz, beside a folder with images;
WEIGHTS is the .pth or .safetensors file. Exits with 1 when a number is off by more than 1e-4.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from pathlib import Path

import numpy as np

TOLERANCE = 1e-4
MIB = 2**20


def peak() -> float:
    """Largest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(golden: Path, weights: Path) -> int:
    import torch  # noqa: F401

    import onespace
    import onespace.encoder
    import onespace.engines.torch_engine
    import onespace.model

    size = weights.stat().st_size / MIB
    with weights.open("rb") as file:
        while file.read(64 * MIB):
            pass
    before = peak()
    start = time.perf_counter()
    model = onespace.load(next((golden / "model").iterdir()), weights=weights, device="cpu")
    seconds = time.perf_counter() - start
    loaded = peak()

    expected = np.load(golden / "expected.npz")
    texts = json.loads((golden / "meta.json").read_text("utf-8"))["texts"]
    images = next(golden.parent.glob("*/images"))
    worst: dict[str, float] = {}
    for key in expected.files:
        kind, *rest = key.split("/")
        if kind == "text":
            item: onespace.types.Item = texts[int(rest[0])]
        elif kind == "image":
            item = images / rest[0]
        elif kind == "mm":
            item = onespace.Pair(texts[int(rest[1])], images / rest[0])
        else:
            continue
        error = float(np.abs(model.encode(item).dense - expected[key]).max())
        worst[kind] = max(worst.get(kind, 0.0), error)
    report = {
        "weights": weights.name,
        "size_mib": round(size),
        "load_seconds": round(seconds, 2),
        "load_memory": round((loaded - before) / size, 3),
        "peak_memory": round((peak() - before) / size, 3),
        "before_mib": round(before),
        "largest_error": worst,
    }
    print(json.dumps(report, indent=2))
    return int(max(worst.values()) > TOLERANCE)


if __name__ == "__main__":
    logging.getLogger("onespace").setLevel("ERROR")
    sys.exit(main(*map(Path, sys.argv[1:])))
