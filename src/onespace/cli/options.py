"""Options that several commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onespace.encoder import Encoder

Subparsers = argparse._SubParsersAction  # the type that argparse hands out, which has no public name


def command(
    subparsers: Subparsers[argparse.ArgumentParser], name: str, summary: str, examples: str, details: str = ""
) -> argparse.ArgumentParser:
    """A command's parser with its summary, details below it, its examples and ``--json``."""
    parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.{details}",
        epilog="examples:\n" + "".join(f"  {line}\n" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs instead of text for people")
    return parser


def add_store_options(group: argparse._ArgumentGroup) -> None:
    """``--store`` and ``--log``."""
    group.add_argument(
        "--store",
        default="pictures.db",
        metavar="PLACE",
        help="a folder, or an address such as qdrant://host:6334/name or milvus://host:19530/name; a cluster's key is "
        "read from ONESPACE_API_KEY (default: pictures.db)",
    )
    group.add_argument("--log", metavar="FOLDER", help="the log of a store in a cluster (default: NAME.onespace)")


def words(text: str) -> tuple[str, ...]:
    """The type of an option that is a list.

    >>> words("dense,multi")
    ('dense', 'multi')
    """
    return tuple(text.split(","))


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
    model = load(source, weights=Path(args.weights) if args.weights else None, dtype=args.dtype)
    return model.with_fit(args.fit) if getattr(args, "fit", None) else model
