"""A process that adds batches of 8 and prints the last id of each once it is acknowledged, until it is killed.

Arguments: the folder, the first id, and "wait" to stop after one batch without closing, or "build" to build a graph
again and again.
"""

from __future__ import annotations

import sys
import time
from itertools import count

from tiny_model import tiny_fused, tiny_spec

from onespace.store import Store, keeper


def main(folder: str, first: str, mode: str = "") -> None:
    wait = mode == "wait"
    if mode == "build":
        keeper.GROWTH = 8
    store = Store.open(folder, tiny_fused(tiny_spec()))
    print("open", flush=True)
    for start in count(int(first), 8):
        ids = list(range(start, start + 8))
        store.add([f"whale {i}" for i in ids], ids=ids, metadata=[{"id": i} for i in ids])
        for i in ids if not wait else [start]:
            print(i, flush=True)
        while wait:
            time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
