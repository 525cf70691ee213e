"""``onespace plan``: the smaller form of the vectors that fits a storage budget, measured on a user's own sample."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from onespace.cli.options import Subparsers, add_model_options, command, load_model
from onespace.cli.output import emit_json, losses_told_here, note, print_table

if TYPE_CHECKING:
    from onespace.forms.plan import Option

EXAMPLES = """
onespace plan --budget 2KB --sample photos/
onespace plan --budget 96 --sample things.jsonl --json
"""
DETAILS = """
The sample is a folder or a file, as for `onespace encode`; some hundreds of items tell forms apart. Where the rows of
a .jsonl file have a "query" (or a list of them) that the item answers, forms are chosen by how many of these answers
they find; otherwise by how many of the nearest items of the float vectors they find. KB is 1000 bytes, KiB 1024.
"""
SHOWN = 12


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(subparsers, "plan", "find the form of the vectors that fits a storage budget", EXAMPLES, DETAILS)
    parser.add_argument("--budget", required=True, metavar="SIZE", help="bytes an item, such as 96, 2KB or 2KiB")
    parser.add_argument("--sample", required=True, nargs="+", metavar="PATH", help="files or folders of your own items")
    parser.add_argument("--k", type=int, default=10, metavar="N", help="how many hits a search shows (default: 10)")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Tries the forms, and prints those worth a look."""
    from onespace.forms.plan import Sample, plan, size_of

    budget = size_of(args.budget)
    model = load_model(args)
    with losses_told_here():
        sample = Sample.read(model, args.sample)
    result = plan(sample, budget=budget, k=args.k)
    for line in result.notes:
        note(f"note: {line}")
    if args.json:
        emit_json({"model": model.spec.name} | result.to_dict())
        return 0
    labelled = result.whole.recall is not None
    header = ("form", "bytes", "of float", "GB a million", *(("recall",) if labelled else ()), "agreement")
    front = result.front[-SHOWN:]
    rows = [_row(o, result.whole, "*" if o is result.best else "") for o in front]
    rows.append(_row(result.whole, result.whole, "", name="everything, float32"))
    print_table(
        header,
        rows,
        numbers=len(header) - 1,
        title=f"within {budget} bytes an item: k={result.k}, {result.documents} items, {result.queries} queries, "
        f"{model.spec.name}",
    )
    print(result.verdict)
    return 0


def _row(option: Option, whole: Option, mark: str, *, name: str = "") -> tuple[str, ...]:
    measured = ([] if option.recall is None else [str(option.recall)]) + [str(option.agreement)]
    return (
        f"{name or option.form} {mark}".rstrip(),
        f"{option.bytes_per_item:.0f}",
        f"{100 * option.bytes_per_item / whole.bytes_per_item:.1f}%",
        f"{option.bytes_per_item / 1000:.2f}",
        *measured,
    )
