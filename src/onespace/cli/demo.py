"""``onespace demo``: the experiment on our own pictures, as a story on the terminal and a report on disk."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from onespace.cli.options import Subparsers, add_model_options, command, load_model
from onespace.cli.output import emit_json, losses_told_here, pad, print_table, width

if TYPE_CHECKING:
    from onespace.demo.experiment import Result

EXAMPLES = """
onespace demo
onespace demo --out demo-output
onespace demo --model BAAI/bge-visualized-m3 --json
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(
        subparsers, "demo", "compare texts, pictures and pairs of both: the whole idea in a minute", EXAMPLES
    )
    parser.add_argument(
        "--out",
        default="demo-output",
        metavar="DIR",
        help="folder for the heat map, the report and the numbers (default: demo-output)",
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the experiment, prints it and writes the report."""
    from onespace.demo import experiment, report

    model = load_model(args)
    with losses_told_here():
        result = experiment.run(model)
    paths = report.save(result, args.out)
    if args.json:
        emit_json(report.to_dict(result) | {"files": {k: str(p) for k, p in paths.items()}})
        return 0
    _tell(result)
    print("\nWritten:")
    for what, path in paths.items():
        print(f"  {what:9} {path}")
    return 0


def _tell(result: Result) -> None:
    from onespace.demo.experiment import GROUPS, IDS, METRICS, THINGS
    from onespace.demo.report import about_metrics, told

    spec = result.model.spec
    print(f"{spec.name} puts {len(THINGS)} things into one space of {len(result.vector(IDS[0]))} dimensions:")
    wide = max(width(t.id) for t in THINGS)
    for thing in THINGS:
        print(f"  {pad(thing.id, wide)}  {' + '.join(filter(None, (thing.picture, thing.text)))}")
    for group in GROUPS:
        print()
        print_table(
            ("", "", *METRICS),
            [(a, b, *(f"{result.value(m, a, b):.4f}" for m in METRICS)) for a, b in group.rows],
            numbers=len(METRICS),
            title=f"({group.title[0]}) {group.title[1:].strip()}",
        )
    print("\nThe first 10 values of a vector:")
    for i in ("pair/logo", "image/logo"):
        print(f"  {i:10}  {' '.join(f'{x:+.4f}' for x in result.vector(i)[:10])}")
    print("\nWhat the numbers show:")
    yes, no = ("✓", "✗") if (sys.stdout.encoding or "").lower().startswith("utf") else ("yes", "no ")
    for finding in told(result):
        print(f"  {yes if finding.agrees else no} {finding.expected}\n    {finding.words}")
    print(f"    {about_metrics(result)}")
