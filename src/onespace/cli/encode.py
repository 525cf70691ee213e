"""``onespace encode``: pictures, texts and pairs from files, folders or a pipe, to one file of vectors."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from onespace.cli.options import Subparsers, add_model_options, command, load_model, words
from onespace.cli.output import emit_json, losses_told_here, note

if TYPE_CHECKING:
    from onespace.files.vectors import Progress

EXAMPLES = """
onespace encode photos/ --out vectors.npz
onespace encode titles.txt things.jsonl --out vectors.parquet --heads dense,sparse
cat lines.txt | onespace encode - --out vectors.jsonl
"""
DETAILS = """
A folder gives its pictures, .txt one text a line, .jsonl one {"text": ..., "image": ..., "id": ...} a line, "-" lines
or such rows from a pipe, and any other file is a picture. A run that was stopped goes on where it stopped when the
same command is given again.
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(subparsers, "encode", "turn pictures, texts and pairs into a file of vectors", EXAMPLES, DETAILS)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="files, folders, or - for standard input")
    parser.add_argument("--out", required=True, metavar="FILE", help="ends in .npz, .parquet or .jsonl")
    parser.add_argument(
        "--heads",
        metavar="LIST",
        type=words,
        help="some of dense,sparse,multi (default: all that the model has)",
    )
    parser.add_argument(
        "--role", choices=("document", "query"), default="document", help="for models that tell them apart"
    )
    parser.add_argument(
        "--on-loss",
        choices=("warn", "error"),
        default="warn",
        help="error: an item that would lose content counts as broken",
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first item that can't be encoded")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Encodes, then says what was written and what was not."""
    from onespace.files.records import read_records
    from onespace.files.vectors import Plan, encode_to_file

    plan = Plan(heads=args.heads, role=args.role, on_loss=args.on_loss, strict=args.strict)
    records = read_records(args.inputs, stdin=sys.stdin.buffer)
    watch = _show if sys.stderr.isatty() else None
    model = load_model(args)
    with losses_told_here():
        result = encode_to_file(model, records, args.out, plan=plan, progress=watch)
    if watch:
        print(file=sys.stderr)
    if args.json:
        emit_json(
            {
                "out": str(result.path),
                "rows": result.rows,
                "resumed": result.resumed,
                "lossy": result.lossy,
                "broken": [{"id": name, "reason": why} for name, why in result.broken],
            }
        )
        return 0
    earlier = f", {result.resumed} records of them from the run before" if result.resumed else ""
    print(f"{result.path}: {result.rows} rows{earlier}")
    if result.lossy:
        note(f"note: {result.lossy} rows were seen only in part; their receipts say what was cut off.")
    for name, why in result.broken:
        note(f"left out: {name}: {why}")
    return 0


def _show(progress: Progress) -> None:
    broken = f", {progress.broken} left out" if progress.broken else ""
    print(f"\r{progress.seen} records{broken}", end="", file=sys.stderr, flush=True)
