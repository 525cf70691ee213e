"""The embedded store's searches beside exact numpy and faiss's graph, in one run: what is found, and how fast.

    python -m benchmarks.store [--items 100000] [--queries 200] [--folder FOLDER]

The items are short phrases, encoded by the shipped model with all three heads; the queries are other phrases of the
same words. They are encoded beforehand, so that only searches are timed: ours with the items it returns, the others
with bare row numbers. Every query goes through all of them in turn. ``recall`` is the share of the first 10 whose score
is at least that of the exact tenth. The last rows are hybrid searches while another thread writes, and while the graph
is built anew. Results are kept in ``benchmarks/results/store-ITEMS.json``.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter, process_time
from typing import Any, TypeVar

import numpy as np

import onespace
from benchmarks.row import RESULTS, Row, pair
from benchmarks.table import table
from onespace.embeddings import Embeddings
from onespace.score import blend_weights, maxsim
from onespace.store import Reference, SearchOptions, Store, StoreOptions
from onespace.store.edge import LEAST_EF, EdgeEngine
from onespace.store.engine import Layout
from onespace.store.engine import Row as EngineRow
from onespace.types import Metric

K, ROUNDS, BATCH = 10, 5, 256
MODES: dict[str, Metric] = {"dense": "cosine", "sparse": "lexical", "hybrid": "blend"}
GRAPH, EF_BUILD, EF = 16, 100, LEAST_EF
"""Links a node, and nodes looked at when building and when searching: ours, and given to faiss too."""
T = TypeVar("T")
CLOSE = 1e-6
"""Scores nearer than that are equal."""

WORDS = (
    "red blue green golden grey tiny huge old young wooden broken shiny sleepy angry striped frozen",
    "whale dragon fox owl horse robot pirate teacher rocket train violin castle teapot cactus bicycle lantern "
    "mushroom penguin tiger camel clock kettle guitar ladder umbrella",
    "resting flying dancing waiting sinking burning hiding turning growing singing falling shining",
    "under a bridge; near the harbour; on a snowy mountain; in the desert; behind the school; above the clouds; "
    "beside a river; in an old museum; at the market; inside a cave; on the moon; in the garden; at night; "
    "in heavy rain; before the festival; on a small island; along the railway; in a crowded kitchen; "
    "by the lighthouse; across the border; in a paper boat; at the end of summer; on top of a tower; in the forest",
)


def phrases(n: int) -> list[str]:
    """So many different phrases, in an order that is always the same."""
    words = [w.split("; ") if ";" in w else w.split() for w in WORDS]
    sizes = [len(w) for w in words]
    picked = np.random.default_rng(0).permutation(int(np.prod(sizes)))[:n]
    if len(picked) < n:
        raise SystemExit(f"--items and --queries together go up to {len(picked)}.")
    parts = zip(*np.unravel_index(picked, sizes), strict=True)
    return ["{} {} {} {}".format(*(w[i] for w, i in zip(words, each, strict=True))) for each in parts]


@dataclass(frozen=True)
class Run:
    """Everything that was measured."""

    rows: list[Row] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def save(self) -> None:
        """Keeps it, for ``benchmarks.scale`` to reckon with."""
        RESULTS.mkdir(exist_ok=True)
        kept = {"constants": self.constants, "rows": [row.to_dict() for row in self.rows]}
        path = RESULTS / f"store-{self.constants['items']}.json"
        path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


class Exact:
    """Every document against a query, in memory."""

    def __init__(self, documents: Embeddings) -> None:
        dense, sparse, multi = documents.dense, documents.sparse, documents.multi
        if dense is None or sparse is None or multi is None:
            raise SystemExit("this benchmark needs a model with all three heads.")
        self.dense, self.multi, self.weights = dense, multi, blend_weights(documents.model)
        by_term = np.argsort(sparse.indices, kind="stable")
        self.values = sparse.values[by_term]
        self.items = np.repeat(np.arange(len(sparse)), np.diff(sparse.indptr))[by_term]
        self.ends = np.searchsorted(sparse.indices[by_term], np.arange(sparse.shape[1] + 1))

    def scores(self, query: Embeddings, mode: str) -> np.ndarray:
        """(M,)."""
        dense = self.dense @ query.dense[0] if query.dense is not None and mode != "sparse" else np.zeros(1)
        if mode == "dense" or query.sparse is None or query.multi is None:
            return np.asarray(dense)
        sparse = np.zeros(len(self.dense), np.float32)
        for term, weight in zip(*query.sparse.row(0), strict=True):
            span = slice(self.ends[term], self.ends[term + 1])
            sparse[self.items[span]] += weight * self.values[span]
        if mode == "sparse":
            return sparse
        shares = zip(self.weights, (dense, sparse, maxsim(query.multi, self.multi)[0]), strict=True)
        return np.asarray(sum(w * part for w, part in shares) / sum(self.weights))


@dataclass(frozen=True)
class Trial:
    """One store with its queries, and the same vectors in memory."""

    store: Store
    asked: Embeddings
    documents: Embeddings
    exact: Exact

    def found(self, query: int, mode: str) -> np.ndarray:
        """Rows that the store finds."""
        (hits,) = self.store.search_encoded(self.asked[query], k=K, options=SearchOptions(metric=MODES[mode]))
        return np.array([hit.id for hit in hits], np.int64)

    def scores(self, query: int, mode: str) -> np.ndarray:
        """The query against everything."""
        return self.exact.scores(self.asked[query], mode)

    def first(self, query: int, mode: str) -> np.ndarray:
        """Rows that there are to be found."""
        return top(self.scores(query, mode))

    def peer(self, graph: Any, query: int) -> np.ndarray:
        """Rows that faiss finds by the dense vector."""
        return np.asarray(graph.search(np.asarray(self.asked[query].dense), K)[1][0])


def top(scores: np.ndarray) -> np.ndarray:
    best = np.argpartition(scores, -K)[-K:]
    return best[np.argsort(-scores[best])]


def recall(scores: np.ndarray, found: np.ndarray) -> float:
    """Share of the first K that are found; an equal score is as good."""
    positive = np.sort(scores[top(scores)])
    positive = positive[positive > 0]
    if not len(positive):
        return 1.0
    return min(1.0, float((scores[found] >= positive[0] - CLOSE).sum()) / len(positive))


def timed(run: Callable[[], T]) -> tuple[T, float, float]:
    """What it gives, its seconds, and its processor seconds with those of processes that it started."""
    start, worked, children = perf_counter(), process_time(), os.times()
    given = run()
    after = os.times()
    below = after.children_user + after.children_system - children.children_user - children.children_system
    return given, perf_counter() - start, process_time() - worked + below


def percentile(seconds: Sequence[float] | np.ndarray, q: float) -> float:
    return 1000 * float(np.percentile(seconds, q))


def modes(trial: Trial, graph: Any, queries: int) -> Iterator[Row]:
    """Rows for dense, sparse and hybrid."""
    for mode in MODES:
        runs: dict[str, Callable[[int], np.ndarray]] = {
            "ours": partial(trial.found, mode=mode),
            "numpy": partial(trial.first, mode=mode),
        }
        if mode == "dense" and graph is not None:
            runs["faiss"] = partial(trial.peer, graph)
        taken: dict[str, list[float]] = {name: [] for name in runs}
        cpu: dict[str, list[float]] = {name: [] for name in runs}
        recalls: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            run(0)
        for i in range(queries):
            scores = trial.scores(i, mode)
            for name, run in runs.items():
                start, worked = perf_counter(), process_time()
                found = run(i)
                taken[name].append(perf_counter() - start)
                cpu[name].append(process_time() - worked)
                recalls[name].append(recall(scores, found[found >= 0]))
        for peer in [name for name in runs if name != "ours"]:
            for said, costs in (("", taken), (" processor time", cpu)):
                for q in (50, 95):
                    split = (np.array_split(costs[name], ROUNDS) for name in ("ours", peer))
                    ours, other = ([percentile(part, q) for part in parts] for parts in split)
                    yield pair(f"store {mode}{said} p{q}, {peer}", ours, other, unit="ms")
        found_share = {name: float(np.mean(r)) for name, r in recalls.items()}
        peer_share = found_share.get("faiss", 1.0)
        note = "peer: faiss" if "faiss" in found_share else "peer: exact"
        yield Row(f"store {mode} recall@{K}", found_share["ours"], peer_share, unit="share", note=note)


@contextmanager
def writing(trial: Trial, first: int) -> Iterator[list[int]]:
    """Another thread adds the documents again, under new ids; yields what it has written."""
    stop, written, failed = Event(), [0], []

    def write() -> None:
        try:
            for start in range(0, len(trial.documents), BATCH):
                if stop.is_set():
                    return
                batch = trial.documents[start : start + BATCH]
                references = [Reference("text", f"again {first + start + i}") for i in range(len(batch))]
                ids = range(first + start, first + start + len(batch))
                trial.store.add_encoded(batch, references=references, ids=list(ids))
                written[0] += len(batch)
        except Exception as error:  # handed to the main thread
            failed.append(error)

    thread = Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def searches(trial: Trial, seconds: float, going: Callable[[], bool] = lambda: True) -> list[float]:
    """How long hybrid searches take, one after another for so many seconds."""
    taken: list[float] = []
    end = perf_counter() + seconds
    while going() and perf_counter() < end:
        start = perf_counter()
        trial.found(len(taken) % len(trial.asked), "hybrid")
        taken.append(perf_counter() - start)
    return taken


def meanwhile(trial: Trial, seconds: float) -> Iterator[Row]:
    """Hybrid searches beside a writer, and beside the building of the graph, against the same at rest."""
    rest = searches(trial, seconds)
    with writing(trial, len(trial.documents)) as written:
        start = perf_counter()
        busy = searches(trial, seconds)
        rate = written[0] / (perf_counter() - start)
    trial.store.compact(wait=False)
    building = searches(trial, seconds)
    for name, taken, note in (
        ("while another thread adds", busy, f"{rate:.0f} items/s written meanwhile"),
        ("while the graph is built", building, "in a process of its own"),
    ):
        for q in (50, 95, 100):
            ours, at_rest = percentile(taken, q), percentile(rest, q)
            said = "longest" if q == 100 else f"p{q}"
            yield Row(
                f"store hybrid {said} {name}", ours, at_rest, at_rest / ours, unit="ms", note=f"{note}; peer: at rest"
            )


def hard(items: int, queries: int, folder: Path) -> Row:
    """Recall of the engine's graph where vectors are spread in all directions: 1,000 round heaps in 256 dimensions.

    Texts of a trained model lie on fewer: they are easier.
    """
    random = np.random.default_rng(0)
    heaps = random.standard_normal((1000, 256))
    rows = heaps[random.integers(0, 1000, items + queries)] + 1.5 * random.standard_normal((items + queries, 256))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    engine, none = EdgeEngine(folder / "hard", Layout(256, 0)), np.zeros(0)
    for start in range(0, items, 1000):
        several = range(start, min(start + 1000, items))
        engine.upsert([EngineRow(i, vectors[i], none, none, {}) for i in several])
    engine.optimise()
    found = []
    for query in vectors[items:]:
        scores = vectors[:items] @ query
        near = np.array(engine.dense(query, k=SearchOptions().fetch))
        found.append(recall(scores, near[np.argsort(-scores[near])[:K]]))
    engine.close()
    note = "random heaps, no structure beyond; peer: exact"
    return Row(f"store dense recall@{K}, hard", float(np.mean(found)), 1.0, unit="share", note=note)


def peer_graph(vectors: np.ndarray) -> tuple[Any, float]:
    """Faiss's graph in memory, and the seconds that it took; None where faiss isn't installed."""
    try:
        import faiss
    except ImportError:
        return None, float("nan")
    start = perf_counter()
    graph = faiss.IndexHNSWFlat(vectors.shape[1], GRAPH, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = EF_BUILD, EF
    graph.add(vectors)
    return graph, perf_counter() - start


def fill(store: Store, texts: Sequence[str], documents: Embeddings) -> None:
    """Adds everything."""
    for first in range(0, len(texts), BATCH):
        some = texts[first : first + BATCH]
        references = [Reference("text", text) for text in some]
        store.add_encoded(
            documents[first : first + BATCH], references=references, ids=list(range(first, first + len(some)))
        )


def _as_kept(documents: Embeddings) -> Embeddings:
    """A store keeps multi-vectors in float16."""
    assert documents.multi is not None
    values = documents.multi.values.astype(np.float16).astype(np.float32)
    return replace(documents, multi=replace(documents.multi, values=values))


def size(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def measure(items: int, queries: int, folder: Path, *, seconds: float = 10.0) -> Run:
    """Fills a store in a folder and asks it."""
    model = onespace.load()
    texts = phrases(items + queries)
    documents, _, encoding = timed(lambda: model.encode(texts[:items]))
    asked = model.encode(texts[items:], role="query")
    run = Run()
    with Store.open(folder / "store", model, options=StoreOptions(build=False)) as store:
        _, adding, written = timed(lambda: fill(store, texts[:items], documents))
        _, built, building = timed(store.compact)
        graph, peer_built = peer_graph(np.asarray(documents.dense))
        trial = Trial(store, asked, documents, Exact(_as_kept(documents)))
        run.rows.extend(modes(trial, graph, queries))
        run.constants.update(
            items=items,
            threads=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            width=model.spec.heads.dense,
            terms=float(np.diff(documents.sparse.indptr).mean()) if documents.sparse else 0.0,
            vectors=float(documents.multi.counts.mean()) if documents.multi else 0.0,
            encode_items_s=items / encoding,
            add_items_s=items / written,
            graph_s=building,
            log_bytes=size(folder / "store") - sum(size(f) for f in (folder / "store").glob("engine-*")),
            engine_bytes=sum(size(f) for f in (folder / "store").glob("engine-*")),
        )
        run.rows.append(Row("store graph", built, peer_built, peer_built / built, unit="s", note="peer: faiss"))
        run.rows.append(Row("store add", items / adding, unit="items/s", note="durable every 256"))
        run.rows.extend(meanwhile(trial, seconds))
    run.rows.append(hard(items, queries, folder))
    return run


def rows(quick: bool) -> list[Row]:
    """For ``python -m benchmarks``."""
    with TemporaryDirectory() as folder:
        run = measure(10_000 if quick else 100_000, 200, Path(folder), seconds=3.0 if quick else 10.0)
    run.save()
    return run.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the store is made (default: a temporary folder)")
    args = parser.parse_args()
    with TemporaryDirectory(dir=args.folder) as folder:
        run = measure(args.items, args.queries, Path(folder))
    print(table(run.rows))
    run.save()


if __name__ == "__main__":
    main()
