"""What ten million and a thousand million items take: bytes, machines, money and milliseconds, for each form.

    python -m benchmarks.scale [--write docs/scale.md]

Three kinds of number, and every table says which is which:

    measured    here, now: bytes of each form, and the time of a comparison; and by ``benchmarks.store``, as kept in
                ``benchmarks/results``: searches of the embedded store, its graph, its writer, its encoder
    arithmetic  from those
    assumed     `Assumptions`: machines, prices, how large a shard may be, and how time grows beyond what was measured
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.row import RESULTS, Row, interleave, pair
from benchmarks.table import fill
from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.forms import apply
from onespace.forms.quantise import Codes, hamming, unit
from onespace.types import Modality

MILLION, BILLION = 10**6, 10**9
SIZES = (10 * MILLION, BILLION)
SAMPLE = 64
"""Items whose forms are weighed; all items of a kind are as large as each other."""


@dataclass(frozen=True)
class Assumptions:
    """What nobody measured here. Change them: the tables follow."""

    memory: float = 64e9
    """Bytes of memory of a machine."""
    usable: float = 0.75
    """Share of it that vectors and graph may take."""
    processors: int = 16
    dollars_memory: float = 3.0
    """A month, for a GB of memory with its share of processors."""
    dollars_disk: float = 0.10
    """A month, for a GB of flash."""
    shard: int = 20 * MILLION
    """Most items of a shard: its graph has to be built again in reasonable time."""
    links: int = 16
    """Of a node of the graph; twice as many on its lowest level, 4 bytes each."""
    replicas: int = 2
    network: float = 1.0
    """Milliseconds to a shard and back, and to merge."""
    flash: float = 0.1
    """Milliseconds to read a candidate's finer vectors from flash, 8 at a time."""
    candidates: int = 100


@dataclass(frozen=True)
class Kind:
    """A kind of item: D numbers, terms, and vectors of a width."""

    name: str
    dense: int
    terms: int
    vectors: int
    width: int

    def sample(self) -> Embeddings:
        """Random items of this kind."""
        random = np.random.default_rng(0)
        dense = unit(random.standard_normal((SAMPLE, self.dense)))
        ids = np.sort(np.stack([random.permutation(30_000)[: self.terms] for _ in range(SAMPLE)]), axis=1)
        weights = random.uniform(0.05, 1, ids.size).astype(np.float32)
        indptr = np.arange(SAMPLE + 1) * self.terms
        sparse = Sparse(indptr, ids.ravel().astype(np.int32), weights, (SAMPLE, 30_000))
        rows = unit(random.standard_normal((SAMPLE * self.vectors, self.width)))
        multi = Ragged(rows, np.arange(SAMPLE + 1) * self.vectors)
        texts: list[Modality] = ["text"] * SAMPLE
        return Embeddings(tuple(texts), dense, sparse, multi, model=self.name)


KINDS = (
    Kind("a phrase, onespace-mini", 256, 7, 9, 64),
    Kind("a picture, onespace-mini", 256, 4200, 65, 64),
    Kind("a passage of 200 tokens, BGE-M3", 1024, 120, 200, 1024),
)
FORMS = {
    "dense float32": ("dense float32", ""),
    "dense int8": ("dense int8", ""),
    "dense binary, rescored by int8": ("dense binary", "dense int8"),
    "dense int8 + sparse 64": ("dense int8 + sparse 64 uint8", ""),
    "all heads, as the store keeps them": ("dense float32 + sparse float32", "multi float16 unplaced"),
    "dense binary + sparse 64, rescored by int8 and multi pool 4 int8": (
        "dense binary + sparse 64 uint8",
        "dense int8 + multi pool 4 int8 unplaced",
    ),
    "dense binary + sparse 64, rescored by multi pool 4 binary": (
        "dense binary + sparse 64 uint8",
        "multi pool 4 binary unplaced",
    ),
}
"""What is searched in memory, and what is read from flash to score candidates again."""


def weigh(kind: Kind) -> dict[str, tuple[float, float]]:
    """Bytes an item in memory and on flash, for each form."""
    items = kind.sample()

    def size(form: str) -> float:
        return apply(items, form).bytes_per_item if form else 0.0

    return {name: (size(memory), size(flash)) for name, (memory, flash) in FORMS.items()}


def comparisons(rows: int, widths: Sequence[int] = (256, 1024)) -> list[Row]:
    """Milliseconds to compare one query with a million rows, in float32 and in bits, on one thread."""
    found = []
    for width in widths:
        random = np.random.default_rng(0)
        vectors = random.standard_normal((rows, width), np.float32)
        query = random.standard_normal((1, width), np.float32)
        bits, asked = Codes.of(vectors, "binary"), Codes.of(query, "binary")
        runs = [partial(hamming, asked, bits), partial(np.matmul, vectors, query[0])]
        binary, float32 = ([1e3 * s * MILLION / rows for s in taken] for taken in interleave(runs, times=5))
        found.append(pair(f"scan of a million, {width} numbers, bits against float32", binary, float32, unit="ms"))
    return found


@dataclass(frozen=True)
class Measured:
    """The embedded store, from the runs of ``benchmarks.store`` that are kept."""

    items: int
    p50: float
    """Milliseconds of a processor, as ``p95``: machines are as busy as `simulate` makes them."""
    p95: float
    slope: float
    """Milliseconds of p50 for each doubling of the items; 0 with one run."""
    encode: float
    add: float
    graph: float
    """Seconds of one core."""
    log_bytes: float
    engine_bytes: float

    @classmethod
    def read(cls, folder: Path = RESULTS) -> Measured:
        """The largest run, and the growth since the smallest."""
        runs = [json.loads(path.read_text("utf-8")) for path in folder.glob("store-[0-9]*.json")]
        if not runs:
            raise SystemExit("run python -m benchmarks.store first: its results are what the tables are made of.")
        runs.sort(key=lambda run: run["constants"]["items"])
        small, large = _hybrid(runs[0], 50), _hybrid(runs[-1], 50)
        told = runs[-1]["constants"]
        doublings = math.log2(told["items"] / runs[0]["constants"]["items"])
        return cls(
            told["items"],
            large,
            _hybrid(runs[-1], 95),
            max(0.0, (large - small) / doublings) if doublings else 0.0,
            told["encode_items_s"],
            told["add_items_s"],
            told["graph_s"],
            told["log_bytes"] / told["items"],
            told["engine_bytes"] / told["items"],
        )

    def service(self, items: float) -> float:
        """Milliseconds of the median hybrid search in a shard of so many items."""
        return self.p50 + self.slope * math.log2(max(items, self.items) / self.items)

    def build(self, items: float) -> float:
        """Seconds to build a shard's graph: n log n."""
        return self.graph * items * math.log(items) / (self.items * math.log(self.items))


def _hybrid(run: dict[str, Any], q: int) -> float:
    return float(next(row["ours"] for row in run["rows"] if row["name"] == f"store hybrid processor time p{q}, numpy"))


@dataclass(frozen=True)
class Cluster:
    """How a form is spread over machines."""

    items: int
    memory: float
    """Bytes, graph and all, of one copy."""
    flash: float
    shards: int
    assumed: Assumptions

    @classmethod
    def of(cls, items: int, memory: float, flash: float, assumed: Assumptions) -> Cluster:
        graph = assumed.links * 4 * (2 + 1 / assumed.links)
        total = items * (memory + graph)
        room = assumed.memory * assumed.usable
        shards = max(math.ceil(total / room), math.ceil(items / assumed.shard))
        return cls(items, total, items * flash, shards, assumed)

    @property
    def machines(self) -> int:
        """Several small shards may share one, but no two copies of a shard."""
        a = self.assumed
        return max(a.replicas, math.ceil(a.replicas * self.memory / (a.memory * a.usable)))

    @property
    def dollars(self) -> float:
        """A month."""
        a = self.assumed
        memory = self.machines * a.memory / 1e9 * a.dollars_memory
        return memory + a.replicas * self.flash / 1e9 * a.dollars_disk


def simulate(
    cluster: Cluster, measured: Measured, *, load: float, lost: bool = False, queries: int = 1000
) -> np.ndarray:
    """Milliseconds of queries that arrive at random while the processors are busy for a share ``load`` of the time.

    Every query goes to one copy of each shard, picked at random, and waits for the slowest shard. Times of service are
    log-normal through the measured p50 and p95. ``lost``: one copy of the first shard is away.
    """
    random = np.random.default_rng(0)
    assumed, copies = cluster.assumed, cluster.assumed.replicas
    middle = measured.service(cluster.items / cluster.shards)
    if cluster.flash:
        middle += assumed.flash * math.ceil(assumed.candidates / 8)
    spread = math.log(measured.p95 / measured.p50) / 1.645
    together = max(1.0, cluster.shards * copies / cluster.machines)  # shards that share a machine's processors
    servers = max(1, int(assumed.processors / together))
    rate = load * servers * copies / (middle * math.exp(spread**2 / 2))  # queries a millisecond
    arrivals = np.cumsum(random.exponential(1 / rate, queries)).tolist()
    slowest = [0.0] * queries
    for shard in range(cluster.shards):
        there = max(1, copies - (lost and shard == 0))
        free = [[0.0] * servers for _ in range(there)]  # each copy's processors: when they are free again
        service = (middle * np.exp(spread * random.standard_normal(queries))).tolist()
        for i, copy in enumerate(random.integers(0, there, queries).tolist()):
            end = max(arrivals[i], heappop(free[copy])) + service[i]
            heappush(free[copy], end)
            slowest[i] = max(slowest[i], end - arrivals[i])
    return np.array(slowest) + assumed.network


# -- tables ------------------------------------------------------------------------------------------------------------


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first are numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *lines))


def bytes_of(kind: Kind, measured: Measured, assumed: Assumptions) -> str:
    """Bytes, machines, money and milliseconds of every form of one kind of item."""
    header = ["form", "memory B", "flash B"]
    for items in SIZES:
        header += [f"{_short(items)}: machines", "shards", "$ a month", "p50 ms", "p95 ms"]
    lines = []
    for form, (memory, flash) in weigh(kind).items():
        cells = [form, f"{memory:.0f}", f"{flash:.0f}"]
        for items in SIZES:
            cluster = Cluster.of(items, memory, flash, assumed)
            times = simulate(cluster, measured, load=0.5)
            p50, p95 = np.percentile(times, (50, 95))
            cells += [str(cluster.machines), str(cluster.shards), f"{cluster.dollars:,.0f}", f"{p50:.0f}", f"{p95:.0f}"]
        lines.append(cells)
    return table(header, lines)


def copies(measured: Measured, assumed: Assumptions) -> str:
    """Load, replicas, and the loss of a machine, at a thousand million passages in bits."""
    memory, flash = weigh(KINDS[-1])["dense binary, rescored by int8"]
    lines = []
    for replicas in (1, 2, 3):
        for load in (0.3, 0.6, 0.8):
            cluster = Cluster.of(BILLION, memory, flash, replace(assumed, replicas=replicas))
            told = [f"{x:.0f}" for x in np.percentile(simulate(cluster, measured, load=load), (50, 95, 99))]
            away = simulate(cluster, measured, load=load, lost=True)
            after = [f"{x:.0f}" for x in np.percentile(away, (50, 95, 99))] if replicas > 1 else ["no answer"] * 3
            lines.append([f"{replicas}", f"{load:.0%}", str(cluster.machines), *told, *after])
    header = ["replicas", "load", "machines", "p50 ms", "p95 ms", "p99 ms", "one lost: p50", "p95", "p99"]
    return table(header, lines)


def filling(measured: Measured, assumed: Assumptions) -> str:
    """How long it takes to fill a store: encoding, writing, building graphs."""
    lines = []
    for items in SIZES:
        hours = items / measured.encode / 3600
        shard = min(items, assumed.shard)
        lines.append(
            [
                _short(items),
                f"{hours:,.1f}",
                f"{hours / 16:,.1f}",
                f"{items / measured.add / 3600:,.1f}",
                f"{measured.build(shard) / 3600:.1f}",
                f"{items * measured.log_bytes / 1e9:,.0f}",
            ]
        )
    header = ["items", "encoding h, 1 core", "16 cores", "writing h, one writer", "graph of a shard, core h", "log GB"]
    return table(header, lines)


def assumptions(assumed: Assumptions) -> str:
    """All of them."""
    return table(
        ["assumed", "value"], [[field.name, f"{getattr(assumed, field.name):,.12g}"] for field in fields(assumed)]
    )


def constants(measured: Measured, scans: Sequence[Row]) -> str:
    """What was measured."""
    lines = [
        [
            f"hybrid search of {measured.items:,} items, processor ms: p50, p95",
            f"{measured.p50:.1f}, {measured.p95:.1f}",
        ],
        ["growth of p50 for each doubling of the items, ms", f"{measured.slope:.2f}"],
        ["encoding, items/s of one core", f"{measured.encode:,.0f}"],
        ["writing, items/s of one core: the one writer, durable every 256", f"{measured.add:,.0f}"],
        [f"graph of {measured.items:,} items, processor s", f"{measured.graph:.0f}"],
        ["log, B an item", f"{measured.log_bytes:,.0f}"],
        ["engine's files, B an item", f"{measured.engine_bytes:,.0f}"],
    ]
    for row in scans:
        lines.append([f"{row.name}: ms, ms, ratio", f"{row.ours:.1f}, {row.peer:.1f}, {row.ratio:.1f}"])
    return table(["measured", "value"], lines)


def tables(assumed: Assumptions) -> dict[str, str]:
    """Every table by its name."""
    measured = Measured.read()
    told = {f"bytes: {kind.name}": bytes_of(kind, measured, assumed) for kind in KINDS}
    told["copies"] = copies(measured, assumed)
    told["filling"] = filling(measured, assumed)
    told["measured"] = constants(measured, comparisons(200_000))
    told["assumed"] = assumptions(assumed)
    return told


def rows(quick: bool) -> list[Row]:
    """For ``python -m benchmarks``: what a comparison costs."""
    return comparisons(100_000 if quick else 1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into a document")
    for field in fields(Assumptions):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default, help="assumed")
    args = parser.parse_args()
    told = tables(Assumptions(**{field.name: getattr(args, field.name) for field in fields(Assumptions)}))
    if args.write:
        document = args.write.read_text("utf-8")
        for name, made in told.items():
            document = fill(document, name, made)
        args.write.write_text(document, "utf-8")
    for name, made in told.items():
        print(f"{name}\n\n{made}\n")


def _short(items: int) -> str:
    return "1 billion" if items == BILLION else f"{items // MILLION} million"


if __name__ == "__main__":
    main()
