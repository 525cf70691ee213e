"""Measures the shipped model and writes its card: `python -m recipes.mini.card` (or `make evaluate-mini`)."""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import onespace
from benchmarks.overlap import Result
from onespace.encoder import Encoder
from onespace.score import blend_weights
from recipes.mini.beyond import PAIRS, STORE, one_list, own_side, shorter, two_in_one
from recipes.mini.data import FAVOURED
from recipes.mini.measure import KEPT_OUT, Test, measure, read_test
from recipes.mini.ship import CHECKPOINT, ROOT, SHIPPED
from recipes.mini.train import BUILD

CARD = ROOT / "docs" / "model-card.md"
LARGEST = 40_000_000


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


def target_table(numbers: dict[str, Any], size: int, pace: dict[str, float]) -> str:
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
        ["English sentences, Spearman with a teacher 75", "not measured: no teacher was at hand", "no"],
    ]
    return table(["target", "reached", "met"], told)


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
    training: dict[str, Any]
    size: int
    pace: dict[str, float]
    forms: list[tuple[str, float, float]]
    scenes: dict[str, Result]
    sides: dict[str, float]
    list_: list[str]


def card(model: Measured) -> str:
    """The whole card."""
    numbers, training, size, pace = model.numbers, model.training, model.size, model.pace
    full = sorted(x for x in numbers["languages"] if x not in KEPT_OUT)
    weakest = sorted(full, key=lambda x: numbers["languages"][x]["R@10"])[:10]
    across = numbers["across"]
    c = numbers["composed"]
    gain, low, high = numbers["heads"]["gain"]
    return f"""# Model card: onespace-mini

One vector space for text, pictures and text with pictures: dense (256 wide, can be cut to 128 or 64), sparse
(32,000 terms) and multi-vector (64 wide) from one pass. {size / 1e6:.1f} MB, runs on onnxruntime without a GPU.

**What it knows**: pictograms, logos and drawings of about 8,000 things, and their names and short phrases in
{numbers["full locales"]} languages and scripts. **What it doesn't**: it never saw a photograph, it never read a
paragraph, and no number here speaks of either. Positions up to 8,192 tokens were only trained with short texts moved
to random places, so long texts run but are not understood as wholes.

All numbers below are measured by `make evaluate-mini` on {numbers["candidates"]:,} concepts drawn in a style
(Twemoji) that training never saw; the concepts themselves were seen in other styles. In per cent.

## Text and picture, dense, favoured languages
{language_table(numbers, list(FAVOURED))}

Over all {numbers["full locales"]} locales with full CLDR names: text to image R@1 {percent(numbers["mean"]["R@1"])},
R@10 {percent(numbers["mean"]["R@10"])}; image to text R@10 {percent(numbers["mean"]["image R@10"])}.

## Targets
{target_table(numbers, size, pace)}

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

## The weakest of the full locales
{language_table(numbers, weakest)}

## Speed
Batch 1, medians on the machine that wrote this card ({platform.machine()}, {platform.python_version()}): a text
{pace["text"]:.1f} ms, a picture {pace["picture"]:.1f} ms. Compare on your own machine; don't quote.

## How it was made
{training["steps"]:,} steps of {training["batch"]} pictures and as many texts, {training["hours"]:.1f} hours on
{training["on"]}, seed {training["seed"]}. {training["note"]}

`recipes/mini/README.md` has the whole recipe, the pinned sources and what was kept out;
`recipes/mini/attributions.md` names every author. Code and weights: Apache-2.0; the drawings and names that it learnt
from keep their own licences (MIT, ISC, Apache-2.0, CC0, CC-BY, Unicode).
"""


def main() -> None:
    """Measures and writes the card, and the numbers as JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=BUILD)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    model = onespace.load(arguments.model)
    test = read_test(arguments.data)
    numbers = measure(model, test) | {"model": model.spec.name}
    training = json.loads((CHECKPOINT / "training.json").read_text("utf-8"))
    size = sum(file.stat().st_size for file in arguments.model.iterdir())
    told = Measured(
        numbers, training, size, speed(model, test), shorter(model, test), two_in_one(model, test),
        own_side(model, test), one_list(model, arguments.data),
    )  # fmt: skip
    CARD.write_text(card(told), "utf-8")
    CARD.with_suffix(".json").write_text(json.dumps(numbers, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(f"{CARD.relative_to(ROOT)}: mean R@10 over {numbers['full locales']} locales {numbers['mean']['R@10']:.3f}")


if __name__ == "__main__":
    main()
