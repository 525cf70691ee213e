"""Measures the shipped model and writes its card: `python -m recipes.mini.card` (or `make evaluate-mini`).

With ``--teacher FOLDER`` it also says how well the model's similarities of English sentences agree with a teacher's.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import onespace
from benchmarks.overlap import Result
from onespace.encoder import Encoder
from onespace.score import blend_weights
from recipes.mini import attributions
from recipes.mini.beyond import PAIRS, STORE, one_list, own_side, shorter, two_in_one
from recipes.mini.data import FAVOURED, read_rows
from recipes.mini.history import WATTS, Run, energy, read_runs
from recipes.mini.measure import KEPT_OUT, Test, measure, read_test
from recipes.mini.ship import CHECKPOINT, ROOT, SHIPPED
from recipes.mini.similarity import COUNT, Agreement, agreement, pairs
from recipes.mini.sources import packages
from recipes.mini.train import BUILD

CARD = ROOT / "docs" / "model-card.md"
LARGEST = 40_000_000
SIMILAR = 0.75
"""Least rank correlation with a teacher's similarities that was aimed at."""


def percent(value: float) -> str:
    """0.8345 -> "83.4"."""
    return f"{100 * value:.1f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def language_table(numbers: dict[str, Any], locales: list[str]) -> str:
    """Both directions of retrieval, a row for each locale."""
    columns = ["R@1", "R@10", "image R@1", "image R@10"]
    rows = [[locale, *(percent(numbers["languages"][locale][c]) for c in columns)] for locale in locales]
    return table(["locale", "text to image R@1", "R@10", "image to text R@1", "R@10"], rows)


def head_table(numbers: dict[str, Any]) -> str:
    """R@1 and R@10 of each representation alone, and of the blend, and their means."""
    names = {"cosine": "dense", "lexical": "sparse", "maxsim": "multi-vector", "blend": "blend"}
    of = numbers["heads"]["table"]
    means = {m: [mean(row[m][k] for row in of.values()) for k in (0, 1)] for m in names}
    rows = [
        [locale, *(" / ".join(map(percent, row[m])) for m in names)] for locale, row in (of | {"mean": means}).items()
    ]
    return table(["locale", *names.values()], rows)


def speed(model: Encoder, test: Test, *, runs: int = 30) -> dict[str, float]:
    """Median milliseconds of one text and one picture, batch 1, after a warm-up."""
    items = {"text": "a drawing of a whale", "picture": test.pictures[0]}
    said = {}
    for kind, item in items.items():
        times = []
        for run in range(runs + 5):
            started = time.perf_counter()
            model.encode([item])
            if run >= 5:
                times.append(time.perf_counter() - started)
        said[kind] = 1000 * median(times)
    return said


def target_table(numbers: dict[str, Any], size: int, pace: dict[str, float], similar: Agreement | None = None) -> str:
    """What was aimed at, and what was reached."""
    of = numbers["languages"]
    rows = [
        *((f"{x}: text to image R@1 60, R@10 90", (of[x]["R@1"], 0.6), (of[x]["R@10"], 0.9)) for x in FAVOURED),
        *((f"{x}: image to text R@10 within 5", (of[x]["image R@10"], of[x]["R@10"] - 0.05)) for x in FAVOURED),
        ("mean of all full locales, text to image R@10 80", (numbers["mean"]["R@10"], 0.8)),
        ("across languages, mean R@1 80", (mean(numbers["across"].values()), 0.8)),
        ("picture and word, R@1 50", (numbers["composed"]["picture and word"], 0.5)),
    ]
    told = [
        [what, ", ".join(percent(v) for v, _ in got), "yes" if all(v >= least for v, least in got) else "no"]
        for what, *got in rows
    ]
    told += [
        ["shipped file at most 40 MB", f"{size / 1e6:.1f} MB", "yes" if size <= LARGEST else "no"],
        ["a text in less than 5 ms", f"{pace['text']:.1f} ms", "yes" if pace["text"] < 5 else "no"],
        ["a picture in less than 25 ms", f"{pace['picture']:.1f} ms", "yes" if pace["picture"] < 25 else "no"],
        [
            f"English short texts, Spearman with a teacher on {COUNT:,} pairs {percent(SIMILAR)}",
            *similar_cells(similar),
        ],
    ]
    return table(["target", "reached", "met"], told)


def similar_cells(found: Agreement | None) -> list[str]:
    """What was reached beside a teacher, and whether it is enough."""
    if found is None:
        return ["not measured: needs a teacher's folder (`--teacher`)", "no"]
    spread = f"95% interval {percent(found.whole.low)} to {percent(found.whole.high)}"
    kinds = f"within one kind of pair {percent(min(found.kinds.values()))} to {percent(max(found.kinds.values()))}"
    reached = f"{percent(found.whole.mean)} with {found.teacher} ({spread}; {kinds})"
    return [reached, "yes" if found.whole.mean >= SIMILAR and found.pairs == COUNT else "no"]


def run_table(runs: tuple[Run, ...]) -> str:
    """The runs behind the model, the first one first."""
    rows = [
        [f"v{i}", f"{r.steps:,}", str(r.batch), f"{r.hours:.1f}", str(r.cores), r.on, str(r.seed), r.note]
        for i, r in enumerate(runs)
    ]
    return table(["run", "steps", "items a step", "hours", "cores", "machine", "seed", "what changed"], rows)


def counts(data: Path) -> dict[str, int]:
    """Of the drawings: how many train and how many are kept out, and how many things those that train show."""
    rows = list(read_rows(data / "images.jsonl"))
    trained = [row for row in rows if row["split"] == "train"]
    things = {row["concept"] for row in trained}
    return {
        "drawings": len(trained),
        "things": len(things),
        "icons": sum(thing.startswith("icon:") for thing in things),
        "kept out": len(rows) - len(trained),
        "kept out icons": sum(row["split"] != "train" and row["style"] != "twemoji" for row in rows),
        "locales": len(json.loads((data / "locales.json").read_text("utf-8"))),
    }


def form_table(rows: list[tuple[str, float, float]]) -> str:
    """R@10 of the dense vector in fewer bytes."""
    return table(["form", "bytes an item", "R@10, en"], [[form, f"{size:.0f}", percent(r)] for form, size, r in rows])


def scene_table(rows: dict[str, Result]) -> str:
    """Two drawings in one picture, by cells and by the centre alone."""
    told = [[fit, percent(r.both), percent(r.names), percent(r.boxes), str(r.rows)] for fit, r in rows.items()]
    return table(["fit", "both in the top 3", "a name in the top 3", "boxes with IoU >= 0.3", "rows"], told)


@dataclass(frozen=True)
class Measured:
    """Everything that the card says of a model."""

    numbers: dict[str, Any]
    data: dict[str, int]
    """What `counts` gives."""
    runs: tuple[Run, ...]
    similar: Agreement | None
    """None where no teacher was at hand."""
    size: int
    pace: dict[str, float]
    forms: list[tuple[str, float, float]]
    scenes: dict[str, Result]
    sides: dict[str, float]
    list_: list[str]


def card(model: Measured) -> str:
    """The whole card."""
    numbers, data, runs, size, pace = model.numbers, model.data, model.runs, model.size, model.pace
    languages = numbers["languages"]
    full = sorted((x for x in languages if x not in KEPT_OUT), key=lambda x: -languages[x]["R@10"])
    unread = [languages[x]["R@10"] for x in KEPT_OUT]
    low_kwh, high_kwh = energy(runs)
    across = numbers["across"]
    c = numbers["composed"]
    gain, low, high = numbers["heads"]["gain"]
    return f"""# Model card: onespace-mini

One vector space for text, pictures and text with pictures: dense (256 wide, can be cut to 128 or 64), sparse
(32,000 terms) and multi-vector (64 wide) from one pass. {size / 1e6:.1f} MB, runs on onnxruntime without a GPU.

**What it knows**: pictograms, logos and drawings of {data["things"]:,} things, and their names in short phrases: of
{data["things"] - data["icons"]:,} in {numbers["full locales"]} languages and scripts, of the other {data["icons"]:,}
in English. **What it doesn't**: see the limits below.

All numbers below are measured by `make evaluate-mini` on {numbers["candidates"]:,} concepts drawn in a style
(Twemoji) that training never saw; the concepts themselves were seen in other styles. In per cent.

## Text and picture, dense, favoured languages
{language_table(numbers, list(FAVOURED))}

Over all {numbers["full locales"]} locales with full CLDR names: text to image R@1 {percent(numbers["mean"]["R@1"])},
R@10 {percent(numbers["mean"]["R@10"])}; image to text R@10 {percent(numbers["mean"]["image R@10"])}.

## Targets
{target_table(numbers, size, pace, model.similar)}

## Limits
- It never saw a photograph and never read a paragraph, and no number here speaks of either. Positions up to 8,192
  tokens were only trained with short texts moved to random places, so long texts run but are not understood as wholes.
- {data["icons"]:,} of its {data["things"]:,} things are icons with an English name alone: it was never told what they
  are called in another language.
- Languages that it never read are found through shared words alone: R@10 {percent(min(unread))} to
  {percent(max(unread))}.
- It knows things by name. Nothing here measures counting, negation, or who does what to whom.
- It draws no line between what it knows and what it doesn't: every query has a nearest picture. A threshold has to be
  chosen on your own items.

## Languages that training never read
{language_table(numbers, list(KEPT_OUT))}

What is found here is found through words shared with neighbouring languages. Kannada has a script of its own.

## Each representation alone: text to image, R@1 / R@10
Chance is {percent(1 / numbers["candidates"])} / {percent(10 / numbers["candidates"])}.

{head_table(numbers)}

The blend is {blend_weights(numbers["model"])} times cosine, lexical and maxsim, over their sum, chosen on other
concepts (`python -m recipes.mini.blend`). It adds {100 * gain:+.2f} to dense in R@1, 95% of the draws between
{100 * low:+.2f} and {100 * high:+.2f}: the three heads read the same states, so they err together.

## Fewer bytes: text to image, English
{form_table(model.forms)}

## Two drawings in one picture
Two drawings of the kept-out style overlap by 30% in a picture of 1000 x 600, {PAIRS} times, among {STORE} single ones:

{scene_table(model.scenes)}

Two drawings side by side, asked for by either name: the best place lies on the right side
{percent(model.sides["tile"])} of the time with cells, and {percent(model.sides["pad"])} in the heat map of the whole
picture, whose patches know of each other. Trust the boxes of cells.

## Texts, pictures and pairs in one list
Shares of the kinds in the top 10 and at its head, and nDCG@10 of three right answers each, before and after
`fair=True`; 33% each would be even.

```text
query  metric           text image  pair    text image  pair   quality
{chr(10).join(model.list_)}
```

## Across languages
A name in one language finds the same concept's name in another among {numbers["candidates"]:,}, R@1, over 20 random
pairs of languages: mean {percent(mean(across.values()))}, least {percent(min(across.values()))}
({min(across, key=lambda k: across[k])}), most {percent(max(across.values()))} ({max(across, key=lambda k: across[k])}).

## A picture and a word that adds to it
A drawing of A with the word B finds the drawing of A beside B among 200, where half share their A or their B. R@1:
picture and word {percent(c["picture and word"])}, picture alone {percent(c["picture alone"])}, word alone
{percent(c["word alone"])}.

## Every language with full names, best first
{language_table(numbers, full)}

## Speed
Batch 1, medians on the machine that wrote this card ({platform.machine()}, {platform.python_version()}): a text
{pace["text"]:.1f} ms, a picture {pace["picture"]:.1f} ms. Compare on your own machine; don't quote.

## Data
{data["drawings"]:,} drawings of {data["things"]:,} things; their names in {data["locales"]} locales, and keywords,
from Unicode CLDR; English names of icons; phrases around the names, which are the project's own. No photograph, no
page of the web, nothing under a share-alike or non-commercial licence. Kept out of training: the style Twemoji and
{data["kept out icons"]} icons ({data["kept out"]:,} drawings in all), and the locales {", ".join(KEPT_OUT)}.
`recipes/mini/README.md` tells how drawings and names were brought together.

{attributions.table(list(packages()))}

The drawings and names keep these licences, and the authors named don't endorse the model. Code and weights: Apache-2.0.

## How it was made
{run_table(runs)}

Each run goes on from the one above it, unless it says otherwise: {sum(r.steps for r in runs):,} steps,
{sum(r.hours for r in runs):.1f} hours and {sum(r.core_hours for r in runs):.0f} core-hours in all, without
measuring and preparing. Energy was not metered; at {WATTS[0]} to {WATTS[1]} W a core, the rated power of
common server processors over their cores, that is {low_kwh:.2f} to {high_kwh:.2f} kWh for the processors alone.

`make train-mini` does all of it again, from fetching the sources to this card; where a recipe changed while it ran, a
rerun gives a like model, not this one. `make evaluate-mini` measures the shipped model and writes this card.
"""


def main() -> None:
    """Measures and writes the card, and the numbers as JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=BUILD)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--teacher", type=Path, help="folder of a text model to compare similarities with")
    arguments = parser.parse_args()
    model = onespace.load(arguments.model)
    test = read_test(arguments.data)
    similar = None
    if arguments.teacher:
        similar = agreement(model, onespace.load(arguments.teacher), pairs(arguments.data))
    numbers = measure(model, test) | {"model": model.spec.name, "similarity": similar and asdict(similar)}
    size = sum(file.stat().st_size for file in arguments.model.iterdir())
    told = Measured(
        numbers=numbers,
        data=counts(arguments.data),
        runs=read_runs(CHECKPOINT),
        similar=similar,
        size=size,
        pace=speed(model, test),
        forms=shorter(model, test),
        scenes=two_in_one(model, test),
        sides=own_side(model, test),
        list_=one_list(model, arguments.data),
    )
    CARD.write_text(card(told), "utf-8")
    CARD.with_suffix(".json").write_text(json.dumps(numbers, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(f"{CARD.relative_to(ROOT)}: mean R@10 over {numbers['full locales']} locales {numbers['mean']['R@10']:.3f}")


if __name__ == "__main__":
    main()
