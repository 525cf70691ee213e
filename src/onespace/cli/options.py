"""Options that several commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onespace.encoder import Encoder

Subparsers = argparse._SubParsersAction  # the type that argparse hands out, which has no public name


def command(
    subparsers: Subparsers[argparse.ArgumentParser], name: str, summary: str, examples: str
) -> argparse.ArgumentParser:
    """A command's parser with its summary, its examples and ``--json``."""
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="examples:\n" + "".join(f"  {line}\n" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs instead of text for people")
    return parser


def add_model_options(parser: argparse.ArgumentParser, *, fit: bool = True) -> None:
    """``--model``, ``--weights``, ``--dtype`` and ``--fit``."""
    parser.add_argument(
        "--model", metavar="NAME", help="a name from `onespace models` or a folder (default: the shipped model)"
    )
    parser.add_argument("--weights", metavar="FILE", help="a weights file that isn't in the model's folder")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16", "int8"),
        help="numbers that a torch model computes with: bfloat16 is several times faster on recent processors "
        "(default: float32)",
    )
    if fit:
        parser.add_argument(
            "--fit",
            choices=("crop", "pad", "squash"),
            help="how a picture is brought to a square (default: the model's own)",
        )


def load_model(args: argparse.Namespace) -> Encoder:
    """The encoder that the options ask for."""
    from pathlib import Path

    from onespace.families import load

    source = Path(args.model) if args.model and Path(args.model).exists() else args.model
    model = load(source, weights=Path(args.weights) if args.weights else None, dtype=getattr(args, "dtype", None))
    return model.with_fit(args.fit) if getattr(args, "fit", None) else model
