"""Speed and quality against peers, in the same run.

    python -m benchmarks                                    every table, small: minutes
    python -m benchmarks --full --write docs/performance.md true sizes; the tables are put into the document
    python -m benchmarks text pictures --threads 1          some tables

Rows are kept in benchmarks/results/NAME-PROFILE.json, and a document is written from all that is kept for the profile.
The peers: pip install 'onespace[bench]'; a row whose library is missing is left out, and says so. Optional peers:
pip install --no-deps pylate colpali-engine (scores), timm einops ftfy wcwidth (the reference; see VISUAL_BGE).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import traceback
import warnings
from datetime import date
from importlib import import_module
from pathlib import Path
from time import perf_counter

from benchmarks.row import RESULTS, Row
from benchmarks.table import fill, table, targets

NAMES = ("machine", "text", "pictures", "gpu", "maxsim", "store", "scale", "load")
"""Modules with ``rows(quick)``."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which tables (default: all): {', '.join(NAMES)}")
    parser.add_argument(
        "--full", action="store_true", help="true widths and all items, few layers: half an hour on two cores"
    )
    parser.add_argument("--threads", type=int, help="threads of every library (default: theirs)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="fill the marked tables of this document")
    parser.add_argument("--only-write", action="store_true", help="measure nothing: write what is kept")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(NAMES))
    if unknown:
        parser.error(f"{unknown[0]!r} isn't a table. Choose some of {', '.join(NAMES)}.")
    profile = "full" if args.full else "quick"
    if args.threads:
        limit(args.threads)
    os.environ.setdefault("TQDM_DISABLE", "1")  # the peers' bars
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("onespace").setLevel("ERROR")
    failed = [] if args.only_write else [name for name in args.names or NAMES if not measure(name, profile)]
    if args.write:
        write(args.write, profile)
        print(f"\nwritten: {args.write}, {args.write.with_suffix('.png')}")
    elif not args.names:
        print(f"\nwhat was aimed at\n\n{targets(kept_rows(profile))}")
    return int(bool(failed))


def limit(threads: int) -> None:
    """The same number of threads for all, here and in processes that are started."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    import torch

    torch.set_num_threads(threads)


def measure(name: str, profile: str) -> bool:
    """Runs one module, prints its table and keeps its rows, if it has any; False when it failed."""
    print(f"\n{name} ({profile})\n", flush=True)
    start = perf_counter()
    try:
        rows = import_module(f"benchmarks.{name}").rows(profile == "quick")
    except Exception:  # one table less is better than none
        traceback.print_exc()
        return False
    if not rows:  # what was measured elsewhere stays
        print("nothing to measure here")
        return True
    seconds = perf_counter() - start
    print(f"{table(rows)}\n\n{seconds:.0f} s", flush=True)
    kept = {
        "profile": profile,
        "machine": machine(),
        "seconds": round(seconds),
        "rows": [row.to_dict() for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    place(name, profile).write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"kept in {place(name, profile)}", flush=True)
    return True


def place(name: str, profile: str) -> Path:
    """Where the rows of a table are kept."""
    return RESULTS / f"{name}-{profile}.json"


def kept_rows(profile: str) -> list[Row]:
    """All rows that are kept for the profile."""
    files = [place(name, profile) for name in NAMES if place(name, profile).is_file()]
    return [Row.from_dict(row) for file in files for row in json.loads(file.read_text("utf-8"))["rows"]]


def write(document: Path, profile: str) -> None:
    """Fills the document's tables, and draws the ratios beside it."""
    text = document.read_text("utf-8")
    for name in NAMES:
        if place(name, profile).is_file():
            kept = json.loads(place(name, profile).read_text("utf-8"))
            rows = [Row.from_dict(row) for row in kept["rows"]]
            command = f"`python -m benchmarks {name}{' --full' if profile == 'full' else ''}`"
            text = fill(text, name, f"{command}, {kept['seconds']} s. {kept['machine']}\n\n{table(rows)}")
    known = kept_rows(profile)
    document.write_text(fill(text, "targets", targets(known)), "utf-8")
    draw(known, document.with_suffix(".png"))


def draw(rows: list[Row], file: Path) -> None:
    """A bar a row, from the least to the largest ratio seen; nothing where matplotlib isn't installed."""
    compared = [row for row in rows if row.ratio == row.ratio]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(11, 0.32 * len(compared) + 1), layout="constrained")
    axes = figure.subplots()
    ratios = [row.ratio for row in compared]
    ends = [[row.ratio - row.low for row in compared], [row.high - row.ratio for row in compared]]
    axes.barh([row.name for row in compared], ratios, xerr=ends, color="#4c78a8", ecolor="#333333")
    axes.axvline(1, color="#999999", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("times better than the peer (median of neighbouring runs, with the least and the largest)")
    axes.invert_yaxis()
    figure.savefig(file, dpi=110)


def machine() -> str:
    """One line: processor, cores, threads and versions."""
    import numpy as np
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
        flags = next((line.split() for line in lines if line.startswith("flags")), [])
        model += "".join(f", {name}" for flag, name in (("avx512f", "AVX-512"), ("amx_bf16", "AMX")) if flag in flags)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"
    return f"{model}; {cores} cores, {torch.get_num_threads()} threads; {versions}; {date.today()}."


if __name__ == "__main__":
    sys.exit(main())
