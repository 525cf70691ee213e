"""Two drawings that overlap by 30% in one 1000 x 600 picture: are both found by name, and where they are?

    python -m benchmarks.overlap --drawings tests/data/drawings [--model FOLDER] [--pairs 50] [--store 500]

The store holds the pair pictures and single drawings of other things. A pair counts as found when the picture stands
in the top 3 for each of its two names. Prints both rates, for cells ("tile") and for the centre alone ("crop").
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

import onespace
from onespace.encoder import Encoder
from onespace.prepare.cells import Tiling
from onespace.search import rank
from onespace.types import Box, Item, Metric

WIDTH, HEIGHT = 1000, 600
SHARE = 0.3
"""Share of a drawing's square that the other's covers."""


@dataclass(frozen=True)
class Drawing:
    """A drawing (RGBA) and its name."""

    name: str
    picture: PILImage.Image


@dataclass(frozen=True)
class Scene:
    """One picture of two drawings, and the square of each."""

    picture: PILImage.Image
    names: tuple[str, str]
    truth: tuple[Box, Box]


@dataclass(frozen=True)
class Result:
    """Shares of all pairs, of all names, and of all found names."""

    both: float
    names: float
    boxes: float
    rows: int


def read(folder: Path, locale: str = "en") -> list[Drawing]:
    """The drawings of a folder with ``names.json``."""
    names = json.loads((folder / "names.json").read_text("utf-8"))
    return [
        Drawing(said[locale], PILImage.open(folder / f"{code}.png").convert("RGBA")) for code, said in names.items()
    ]


def scene(first: Drawing, second: Drawing, random: np.random.Generator) -> Scene:
    """The second drawing over the first, on white, anywhere in the picture."""
    side = int(random.integers(240, 400))
    along = random.uniform(SHARE, 1) * side  # the intersection is along x across
    across = SHARE * side * side / along
    dx, dy = int(side - along), int(side - across)
    dx, dy = (dx, dy) if side + dy <= HEIGHT else (dy, dx)
    flip = random.random() < 0.5
    left, top = int(random.integers(0, WIDTH - side - dx + 1)), int(random.integers(0, HEIGHT - side - dy + 1))
    places = [(left, top + dy * flip), (left + dx, top + dy * (not flip))]
    board = PILImage.new("RGB", (WIDTH, HEIGHT), "white")
    for drawing, at in zip((first, second), places, strict=True):
        large = drawing.picture.resize((side, side), PILImage.Resampling.LANCZOS)
        board.paste(large, at, large)
    truth = [(float(x), float(y), float(x + side), float(y + side)) for x, y in places]
    return Scene(board, (first.name, second.name), (truth[0], truth[1]))


def stage(drawings: Sequence[Drawing], *, pairs: int, store: int, seed: int) -> tuple[list[Scene], list[Item]]:
    """The scenes, and the store: scenes first, then single drawings of other things."""
    random = np.random.default_rng(seed)
    mixed = [drawings[i] for i in random.permutation(len(drawings))]
    scenes = [scene(mixed[2 * i], mixed[2 * i + 1], random) for i in range(pairs)]
    singles = [d.picture for d in mixed[2 * pairs : pairs + store]]
    return scenes, [*(s.picture for s in scenes), *singles]


def measure(encoder: Encoder, scenes: Sequence[Scene], items: Sequence[Item], *, metric: Metric = "cosine") -> Result:
    """Searches the store by both names of every scene."""
    documents = encoder.encode(items, on_loss="ignore")
    queries = encoder.encode([name for s in scenes for name in s.names], role="query")
    found: list[bool] = []
    placed: list[bool] = []
    for number, hits in enumerate(rank(queries, documents, k=3, metric=metric)):
        hit = next((h for h in hits if h.item == number // 2), None)
        found.append(hit is not None)
        if hit is not None:
            placed.append(hit.box is not None and overlap(hit.box, scenes[number // 2].truth[number % 2]) >= 0.3)
    both = np.array(found).reshape(-1, 2).all(1)
    return Result(float(both.mean()), float(np.mean(found)), float(np.mean(placed or [False])), len(documents))


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    common = max(0.0, width) * max(0.0, height)
    areas = ((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b))
    return common / (sum(areas) - common)


def main() -> None:
    """Reads the arguments, and prints a line for each fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=Path, default=Path("tests/data/drawings"))
    parser.add_argument("--model", default=None, help="a folder or a name; by default the shipped model")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--store", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--metric", default="cosine", choices=("cosine", "lexical", "maxsim", "blend"))
    parser.add_argument("--scales", type=float, nargs="+", default=list(Tiling().scales))
    arguments = parser.parse_args()
    model = onespace.load(arguments.model)
    scenes, items = stage(read(arguments.drawings), pairs=arguments.pairs, store=arguments.store, seed=arguments.seed)
    fits = {"tile": model.with_fit("tile", tiling=Tiling(tuple(arguments.scales))), "crop": model.with_fit("crop")}
    for fit, encoder in fits.items():
        result = measure(encoder, scenes, items, metric=arguments.metric)
        print(
            f"{fit}: both found {result.both:.0%}, a name found {result.names:.0%}, "
            f"boxes with IoU >= 0.3 {result.boxes:.0%}, {result.rows} rows"
        )


if __name__ == "__main__":
    main()
