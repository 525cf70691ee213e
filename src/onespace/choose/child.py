"""Measures one model in a process of its own, so that its memory is its own and its failure costs no other.

python -m onespace.choose.child REQUEST.json RESULT.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from onespace.choose.memory import peak_bytes
from onespace.embeddings import Embeddings
from onespace.errors import Error
from onespace.evaluate.beir import read_beir
from onespace.evaluate.encoded import Encoded
from onespace.evaluate.tasks import Retrieval
from onespace.families import load, locate
from onespace.files.salvage import Salvage
from onespace.forms import Form, apply
from onespace.types import Item

if TYPE_CHECKING:
    from onespace.encoder import Encoder

WARM, TIMED_QUERIES, TIMED_AGAIN = 4, 20, 256
"""Items that are encoded before the clock starts; queries that are timed one by one; items of a second timing, where
broken ones disturbed the first."""


def main(arguments: Sequence[str]) -> int:
    """Reads a request, and writes what was measured, or the error."""
    request, result = map(Path, arguments)
    try:
        found = measure(json.loads(request.read_text("utf-8")))
    except Error as error:
        found = {"error": " ".join(str(error).split())}
    result.write_text(json.dumps(found), "utf-8")
    return 0


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Loads the model that is asked for, and runs it on every task. All values are plain."""
    source = request["source"]
    source = Path(source) if source and Path(source).exists() else source
    weights = Path(request["weights"]) if request["weights"] else None
    locate(source, weights=weights)  # what must be fetched is fetched before the clock starts
    start = perf_counter()
    model = load(source, weights=weights)
    loaded = perf_counter() - start
    tasks = _sharing([read_beir(Path(folder)) for folder in request["tasks"]])
    encoded = Encoded(model, tuple(request["heads"]) if request["heads"] else None, "ignore")
    for task in tasks:
        encoded.ways(task.documents, task.queries)
    speed, sizes, broken = _documents(encoded, tasks)
    values, asked = {}, {}
    for task, folder in zip(tasks, request["tasks"], strict=True):
        kept, found = encoded.judge(task, k=request["k"])
        values[folder] = {way: {name: x.tolist() for name, x in some.items()} for way, some in found.items()}
        asked[folder] = list(kept.names[1])
    return {
        "capabilities": model.capabilities(),
        "device": _device(model),
        "load_s": loaded,
        "items_per_s": speed,
        "query_ms": _query_ms(encoded, tasks),
        "bytes_per_item": sizes,
        "values": values,
        "queries": asked,
        "broken": broken,
        "peak_bytes": peak_bytes(),
    }


def _sharing(tasks: Sequence[Retrieval]) -> list[Retrieval]:
    """The tasks, where equal lists of documents are one list, which is encoded once."""
    lists: list[Sequence[Item]] = []
    shared = []
    for task in tasks:
        same = next((some for some in lists if some == task.documents), task.documents)
        lists.append(same)
        shared.append(replace(task, documents=same))
    return shared


def _documents(encoded: Encoded, tasks: Sequence[Retrieval]) -> tuple[float, dict[str, float], list[tuple[str, str]]]:
    """Encodes all documents: items a second, mean bytes an item of each head, and what is broken."""
    lists = {id(task.documents): task for task in tasks}.values()
    model, count, seconds = encoded.model, 0, 0.0
    saved: list[Salvage] = []
    for task in lists:
        encoded.of(task.documents[:WARM], "document", names=task.names[0], split=True)
        start = perf_counter()
        saved.append(encoded.of(task.documents, "document", names=task.names[0], split=True))
        spent, items = perf_counter() - start, len(task.documents)
        if saved[-1].broken:
            again = [task.documents[i] for i in saved[-1].kept[:TIMED_AGAIN]]
            start = perf_counter()
            model.encode(again, heads=encoded.heads, on_loss="ignore")
            spent, items = perf_counter() - start, len(again)
        count, seconds = count + items, seconds + spent
    whole = [some.embeddings for some in saved if len(some.embeddings)]
    sizes = [_sizes(e) for e in whole]
    counts = [len(e) for e in whole]
    mean = {head: float(np.average([size[head] for size in sizes], weights=counts)) for head in (sizes or [{}])[0]}
    return count / max(seconds, 1e-9), mean, list(dict.fromkeys(encoded.broken))


def _sizes(e: Embeddings) -> dict[str, float]:
    """Bytes an item of each head, as float32."""
    return {head: size / e.items for head, size in apply(e, Form.whole(e)).bytes_by_head.items()}


def _query_ms(encoded: Encoded, tasks: Sequence[Retrieval]) -> float:
    """The median time of one query alone, in milliseconds."""
    asked = [query for task in tasks for query in task.queries]
    spent = []
    for query in asked[:: max(1, len(asked) // TIMED_QUERIES)][:TIMED_QUERIES]:
        start = perf_counter()
        encoded.model.encode([query], role="query", heads=encoded.heads, on_loss="ignore")
        spent.append(perf_counter() - start)
    return 1000 * median(spent)


def _device(model: Encoder) -> str:
    return str(getattr(model.engine, "device", "cpu"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
