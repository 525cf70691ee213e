"""``onespace export``: a model as a folder that the base install runs without torch."""

from __future__ import annotations

import argparse
import dataclasses

from onespace.cli.options import Subparsers, add_model_options, command, load_model
from onespace.cli.output import emit_json

EXAMPLES = """
onespace export --model models/bge-m3 --out bge-m3-onnx
onespace export --model BAAI/bge-visualized-m3 --precision fp16 --out visualized-m3-onnx
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(subparsers, "export", "write a model as ONNX, for use without torch", EXAMPLES)
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "int8"), default="fp32", help="of the stored weights (default: fp32)"
    )
    add_model_options(parser, fit=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exports, and says what was written."""
    from importlib.util import find_spec

    from onespace.errors import MissingExtra

    for package in ("torch", "onnx", "onnxscript"):
        if find_spec(package) is None:
            raise MissingExtra("export", package, "export")
    from onespace.export.graphs import export_onnx

    done = export_onnx(load_model(args), args.out, precision=args.precision)
    if args.json:
        emit_json(dataclasses.asdict(done) | {"folder": str(done.folder)})
    else:
        print(f"{done.folder}: {done.size / 1e6:.1f} MB, {done.precision}; least cosine with torch {done.cosine:.6f}")
    return 0
