"""``onespace choose``: which model fits your own files, given compute, speed and language."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from onespace.cli.options import Subparsers, command
from onespace.cli.output import emit_json, note, print_table

if TYPE_CHECKING:
    from onespace.choose import Choice, Option

EXAMPLES = """
onespace choose photos/
onespace choose photos/ --model mini --model openai/clip-vit-base-patch32 --plot models.png
onespace choose docs/ pairs.csv --model BAAI/bge-m3 --model models/own --memory 4GB --speed 20 --json
"""
DETAILS = """
Searches are made of what your files say: a picture should be found by its caption, alt text or file name, a page by its
title, a section by its heading, a row of a table by its "query" or "translation". Every candidate is run on them, here,
in a process of its own. Without --model these are the shipped model and what of the known models is on this machine;
a name from the hub is fetched.
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(
        subparsers, "choose", "find the model that fits your own files and this machine", EXAMPLES, DETAILS
    )
    parser.add_argument("inputs", nargs="+", metavar="PATH", help="folders, pictures, pages (.html, .md) or tables")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="mini, a name, a folder, or FOLDER,WEIGHTS; repeat it",
    )
    parser.add_argument(
        "--heads", metavar="LIST", default="dense", help='such as dense,multi, or "all" (default: dense)'
    )
    parser.add_argument(
        "--queries", metavar="LIST", help="captions, alt texts, file names, titles, headings, queries, translations"
    )
    parser.add_argument("--language", metavar="CODE", help="only queries of table rows with this language")
    parser.add_argument("--memory", metavar="SIZE", help="most memory that a model may take, such as 4GB")
    parser.add_argument("--speed", type=float, metavar="N", help="fewest items a second")
    parser.add_argument("--bytes", metavar="SIZE", help="most bytes an item, such as 2KB")
    parser.add_argument("--plot", metavar="OUT.png", help="draw quality against speed and size")
    parser.add_argument("--keep", metavar="FOLDER", help="write the searches, for `onespace evaluate`")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes searches, runs the candidates, and prints what they are worth and what they cost."""
    from onespace.choose import Candidate, Limits, choose, weak_queries
    from onespace.choose.plot import pareto_plot
    from onespace.choose.weak import ORIGINS
    from onespace.errors import InputError
    from onespace.evaluate.beir import write_beir
    from onespace.forms.plan import size_of

    origins = ORIGINS if args.queries is None else tuple(name.strip() for name in args.queries.split(","))
    if unknown := [name for name in origins if name not in ORIGINS]:
        raise InputError(f"--queries {', '.join(unknown)}: choose some of {', '.join(ORIGINS)}.")
    if args.plot and not args.plot.lower().endswith(".png"):
        raise InputError(f"{args.plot}: a plot is written as .png. Choose a name that ends in .png.")
    limits = Limits(
        memory=size_of(args.memory) if args.memory else None,
        speed=args.speed,
        bytes_per_item=size_of(args.bytes) if args.bytes else None,
    )
    candidates = [Candidate.parse(text) for text in args.model]
    weak = weak_queries(args.inputs, origins=origins, language=args.language, seed=args.seed)
    if args.keep:
        for task in weak.tasks:
            write_beir(task, Path(args.keep, task.name.replace(" ", "-")))
    heads = None if args.heads == "all" else tuple(args.heads.split(","))
    watch = note if sys.stderr.isatty() else lambda _: None
    choice = choose(weak, candidates, heads=heads, limits=limits, seed=args.seed, told=watch)
    if args.plot and choice.options:
        pareto_plot(choice, args.plot)
    if args.json:
        emit_json(choice.to_dict() | {"plot": args.plot})
    else:
        _print(choice)
    for line in choice.notes:
        note(f"note: {line}")
    for label, why in choice.failures:
        note(f"left out: {label}: {why}")
    if args.plot and choice.options and not args.json:
        note(f"plot: {args.plot}")
    return 0 if choice.options else 2


def _print(choice: Choice) -> None:
    if choice.options:
        asked = ", ".join(f"{count} {name}" for name, count in choice.tasks.items())
        header = ("model", "by", "nDCG@10", "behind the best", "items/s", "ms a query", "memory", "bytes an item")
        rows = [_numbers(option, choice) for option in choice.options]
        print_table(header, rows, numbers=6, title=f"{choice.documents} items; queries from {asked}")
        print()
        known = {option.label: option for option in choice.options}
        print_table(("model", "licence", "languages"), [(n, o.licence, o.languages) for n, o in known.items()])
        print()
    print(choice.verdict)


def _numbers(option: Option, choice: Choice) -> tuple[str, ...]:
    over = choice.limits.broken_by(option)
    behind = "the best" if option is choice.best else "too close to call" if option.close else str(option.behind)
    return (
        option.label,
        option.way,
        str(option.quality),
        f"over the limit: {', '.join(over)}" if over else behind,
        f"{option.items_per_s:.1f}",
        f"{option.query_ms:.0f}",
        "?" if option.peak_bytes is None else f"{option.peak_bytes / 1e6:.0f} MB",
        f"{option.bytes_per_item:.0f}",
    )
