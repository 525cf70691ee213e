"""``onespace compare``: a user's own pictures, texts and pairs, each with each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onespace.cli.options import Subparsers, add_model_options, command, load_model
from onespace.cli.output import emit_json, losses_told_here, note, print_table
from onespace.types import Item, Pair

if TYPE_CHECKING:
    from onespace.compare import Comparison

METRICS = ("cosine", "dot", "euclidean", "lexical", "maxsim", "blend")
EXAMPLES = """
onespace compare a.png b.png --text "a blue whale"
onespace compare a.png --text "一只蓝鲸" --pair a.png "一只蓝鲸" --plot heat-map.png
onespace compare *.jpg --metric euclidean --skip-broken --json
"""
_TAKES = {"--text": 1, "--pair": 2, "--image": 1, "--metric": 1, "--plot": 1}
_TAKES |= {"--model": 1, "--weights": 1, "--dtype": 1, "--fit": 1}
"""Options that are followed by values, and by how many."""


class _Append(argparse.Action):
    """Gathers files, texts and pairs in one list, so that they keep the order in which they were typed."""

    def __call__(self, _: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        item: Item = (
            values if option == "--text" else Path(values) if option == "--image" else Pair(values[1], Path(values[0]))
        )
        namespace.items = [*namespace.items, item]


def name_files(argv: Sequence[str]) -> list[str]:
    """Writes each bare word after ``compare`` as ``--image=word``: argparse would lose its place among the options.

    >>> name_files(["compare", "a.png", "--text", "x", "b.png"])
    ['compare', '--image=a.png', '--text', 'x', '--image=b.png']
    """
    if not argv or argv[0] != "compare":
        return list(argv)
    named, values, files_only = ["compare"], 0, False
    for word in argv[1:]:
        if values:
            values -= 1
            named.append(word)
        elif word == "--" and not files_only:
            files_only = True
        elif files_only or not word.startswith("-"):
            named.append(f"--image={word}")
        else:
            named.append(word)
            values = _TAKES.get(word, 0)
    return named


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(subparsers, "compare", "compare pictures, texts and pairs of both, each with each", EXAMPLES)
    parser.usage = "onespace compare [FILE ...] [--text STR] [--pair FILE STR] [options]"
    parser.add_argument("--image", action=_Append, metavar="FILE", help="a picture; the same as its bare name")
    parser.add_argument("--text", action=_Append, metavar="STR", help="a text; may be repeated")
    parser.add_argument(
        "--pair", action=_Append, nargs=2, metavar=("FILE", "STR"), help="a picture with a text: one item"
    )
    parser.add_argument(
        "--metric", choices=METRICS, default="cosine", help="what is compared, and how (default: cosine)"
    )
    parser.add_argument("--plot", metavar="OUT.png", help="write a heat map with thumbnails on both axes")
    parser.add_argument(
        "--skip-broken", action="store_true", help="go on without what can't be read, and list it at the end"
    )
    add_model_options(parser)
    parser.set_defaults(run=run, items=[])


def run(args: argparse.Namespace) -> int:
    """Compares, and prints the matrix."""
    from onespace.compare import compare
    from onespace.errors import InputError

    if not args.items:
        raise InputError("there is nothing to compare. Name some pictures, or pass --text or --pair.")
    model = load_model(args)
    with losses_told_here():
        result = compare(model, args.items, metric=args.metric, skip_broken=args.skip_broken)
    if args.plot and result.items:
        _plot(result, args.plot)
    if args.json:
        emit_json(result.to_dict() | {"plot": args.plot})
    else:
        rows = [(label, *(f"{x:.4f}" for x in row)) for label, row in zip(result.labels, result.matrix, strict=True)]
        columns = [label if len(label) <= 12 else f"{label[:11]}…" for label in result.labels]
        distance = " (a distance: smaller is nearer)" if result.metric == "euclidean" else ""
        if rows:
            print_table(("", *columns), rows, numbers=len(columns), title=f"{result.metric}{distance}, {result.model}")
    for line in result.losses():
        note(f"note: {line}")
    for name, why in result.broken:
        note(f"left out: {name}: {why}")
    if args.plot and result.items and not args.json:
        note(f"heat map: {args.plot}")
    return 0 if result.items else 2


def _plot(result: Comparison, path: str) -> None:
    from onespace.compare import thumbnail
    from onespace.plot import Mark, heat_map

    marks = [
        Mark(label, thumbnail(item), text=isinstance(item, (str, Pair)))
        for label, item in zip(result.labels, result.items, strict=True)
    ]
    heat_map(
        result.matrix, marks, path, title=f"{result.metric}, {result.model}", distance=result.metric == "euclidean"
    )
