"""Drawings in a style that training never saw, found by their own names: from files on the disk to hits.

    python -m benchmarks.drawings [--data build/mini] [--folder build/drawings] [--sample 50] [--json FILE]

2,000 PNG files, the 1,911 drawings of the kept-out style and icons among them, are indexed as ``onespace index`` does.
Then each is asked for by its name in ten languages, as ``onespace search`` does; a name counts as found when the right
file is among the first five. "exact" asks for every name and looks at every file; each engine is asked a sample.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from PIL import Image

import onespace
from benchmarks.row import Row
from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.index import Indexer
from onespace.store import SearchOptions, Store, StoreOptions
from onespace.types import Metric
from recipes.mini.data import FAVOURED, read_rows

STYLE, FILLERS = "twemoji", ("game-icons", "lucide")
COUNT, TOP = 2_000, 5
BAR, UNIT = 0.7, "found in the top 5"
METRICS: tuple[Metric, ...] = ("cosine", "blend")
FEW = 10
"""Names that Qdrant's local mode is asked: it compares row by row, in Python."""
ENGINE = SearchOptions(exact_below=0)
WAYS = ("exact", "embedded", "qdrant", "milvus")
SOME = ("en", "zh", "es", "hi", "sw")
"""Languages in which engines are asked."""


@dataclass(frozen=True)
class Drawn:
    """Files, and what each is called: locale -> {file: name}."""

    folder: Path
    names: Mapping[str, Mapping[str, str]]


def draw(data: Path, folder: Path, count: int = COUNT) -> Drawn:
    """Writes the files: all drawings of the style, then icons of things that it doesn't draw."""
    rows = list(read_rows(data / "images.jsonl"))
    own = [row for row in rows if row["style"] == STYLE][:count]
    concepts = {row["concept"] for row in own}
    icons = [row for row in rows if row["style"] in FILLERS and row["concept"] not in concepts]
    icons.sort(key=lambda row: (row["split"] == "train", row["style"]))
    pixels = np.load(data / "images.npy", mmap_mode="r")
    folder.mkdir(parents=True, exist_ok=True)
    for row in [*own, *icons[: count - len(own)]]:
        Image.fromarray(np.asarray(pixels[row["row"]])).save(folder / file_of(row["concept"]))
    names: dict[str, dict[str, str]] = {locale: {} for locale in FAVOURED}
    for row in read_rows(data / "texts.jsonl"):
        if row["kind"] == "name" and row["locale"] in names and row["concept"] in concepts:
            names[row["locale"]][file_of(row["concept"])] = row["text"]
    return Drawn(folder, names)


def file_of(concept: str) -> str:
    """A file's name for a concept."""
    return concept.replace(":", "-") + ".png"


def found(store: Store, asked: Embeddings, files: Sequence[str], options: SearchOptions) -> float:
    """Share of the queries whose own file is among the first."""
    hits = store.search_encoded(asked, k=TOP, options=options)
    right = [file in {Path(str(h.path)).name for h in some} for file, some in zip(files, hits, strict=True)]
    return float(np.mean(right))


def sampled(names: Mapping[str, str], size: int) -> dict[str, str]:
    """Some of the names, the same each time."""
    files = sorted(names)
    chosen = np.random.default_rng(11).permutation(len(files))[:size]
    return {files[i]: names[files[i]] for i in sorted(chosen)}


def copied(store: Store, engine: str, folder: Path) -> Store:
    """The same items behind another engine."""
    targets = {"qdrant": "qdrant::memory:", "milvus": f"milvus:{folder / 'milvus'}"}
    other = Store.open(targets[engine], store.model, options=StoreOptions(log=folder / engine))
    kept = list(store.iterate())
    ids = [item.id for item in kept]
    other.add_encoded(store.vectors(ids), references=[item.reference for item in kept], ids=ids)
    return other


def measure(model: Encoder, drawn: Drawn, home: Path, *, sample: int, ways: Sequence[str]) -> list[Row]:
    """Indexes, asks, and returns a row for each language and way."""
    rows = []
    with Store.open(home / "drawings.db", model) as store:
        start = perf_counter()
        with Indexer(store) as indexer:
            report = indexer.run([drawn.folder])
        seconds = perf_counter() - start
        if report.added:
            rows.append(Row("indexing drawings", report.added / seconds, unit="items/s", note=f"{report.added} files"))
        for locale, names in drawn.names.items() if "exact" in ways else ():
            asked = model.encode(list(names.values()), role="query")
            for metric in METRICS:
                share = found(store, asked, list(names), SearchOptions(metric, exact=True))
                row = Row(f"{locale}, {metric}, exact", share, unit=UNIT, note=f"{len(names)} names")
                rows.append(told(row))
        for engine in (way for way in ways if way != "exact"):
            other = store if engine == "embedded" else copied(store, engine, home)
            for locale in SOME:
                some = sampled(drawn.names[locale], sample if engine != "qdrant" else min(sample, FEW))
                start = perf_counter()
                share = found(other, model.encode(list(some.values()), role="query"), list(some), ENGINE)
                each = 1000 * (perf_counter() - start) / max(1, len(some))
                row = Row(f"{locale}, {engine}", share, unit=UNIT, note=f"{len(some)} names, {each:.1f} ms each")
                rows.append(told(row))
            if other is not store:
                other.close()
    return rows


def told(row: Row) -> Row:
    """Prints a row."""
    print(f"{row.name:24} {row.ours:6.1%}  {row.note}", flush=True)
    return row


def rows(quick: bool) -> list[Row]:
    """See `benchmarks.row`; none without the recipe's data."""
    data = Path("build/mini")
    if not (data / "images.npy").is_file():
        return []
    with TemporaryDirectory() as folder:
        drawn = draw(data, Path(folder) / "drawings", count=300 if quick else COUNT)
        ways = WAYS[:2] if quick else WAYS
        return measure(onespace.load(), drawn, Path(folder), sample=50, ways=ways)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/mini"), help="the recipe's build folder")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/drawings"), help="where files and stores go, and stay"
    )
    parser.add_argument("--model", type=Path, help="a model's folder (default: the shipped model)")
    parser.add_argument("--sample", type=int, default=50, help="names that each engine is asked, in each language")
    parser.add_argument("--ways", default=",".join(WAYS), help="some of exact,embedded,qdrant,milvus")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    args = parser.parse_args()
    drawn = draw(args.data, args.folder / "files")
    measured = measure(onespace.load(args.model), drawn, args.folder, sample=args.sample, ways=args.ways.split(","))
    good = [r.name.split(",")[0] for r in measured if r.name.endswith("blend, exact") and r.ours > BAR]
    if "exact" in args.ways:
        print(f"above {BAR:.0%} in {len(good)} of {len(drawn.names)} languages: {', '.join(good) or 'none'}")
    if args.json:
        args.json.write_text(json.dumps([row.to_dict() for row in measured], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
