"""``onespace convert``: a weights file of any readable kind to one .safetensors file."""

from __future__ import annotations

import argparse

from onespace.cli.options import Subparsers, command
from onespace.cli.output import emit_json

EXAMPLES = """
onespace convert Visualized_m3.pth --out visualized-m3.safetensors
onespace convert bge-m3/pytorch_model.bin --out bge-m3/model.safetensors
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(
        subparsers, "convert", "turn a weights file into .safetensors, which loads safely and fast", EXAMPLES
    )
    parser.add_argument("source", metavar="FILE", help="a .pth, .pt or .bin file, or an index of shards")
    parser.add_argument("--out", required=True, metavar="FILE", help="ends in .safetensors")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Converts, and says what was written."""
    from importlib.util import find_spec
    from pathlib import Path

    from onespace.errors import InputError, MissingExtra

    if find_spec("torch") is None:
        raise MissingExtra("convert", "torch", "torch")
    if Path(args.out).suffix != ".safetensors":
        raise InputError(f"{args.out}: the result is a .safetensors file. Choose a name that ends so.")
    from onespace.checkpoint import convert

    target = convert(Path(args.source), Path(args.out))
    size = target.stat().st_size
    if args.json:
        emit_json({"out": str(target), "bytes": size})
    else:
        print(f"{target}: {size / 1e6:.1f} MB")
    return 0
