"""The entry point ``onespace``: finds the command, runs it, and turns every foreseen error into one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from onespace import __version__
from onespace.errors import Error

COMMANDS = (
    "demo", "models", "encode", "compare", "index", "search", "migrate", "explain", "convert", "export",
    "plan", "evaluate", "serve", "choose", "train",
)  # fmt: skip
"""One module of this package each, with ``add_parser(subparsers)``; the parser's ``run`` takes the parsed arguments."""

FAILED, INTERRUPTED, PIPE_CLOSED = 2, 130, 141


def parser() -> argparse.ArgumentParser:
    """The whole command line; building it imports nothing heavy."""
    top = argparse.ArgumentParser(
        prog="onespace",
        description="Text, images and text+image pairs in one vector space.",
        epilog="onespace COMMAND --help shows examples. A first try: onespace demo",
    )
    top.add_argument("--version", action="version", version=f"onespace {__version__}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"onespace.cli.{name}").add_parser(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; returns its exit code: 0 done, 2 a foreseen error (one line on stderr)."""
    from onespace.cli.compare import name_files

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter still shows the rest
    args = parser().parse_args(name_files(sys.argv[1:] if argv is None else argv))
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except Error as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit flush stays silent too
        return PIPE_CLOSED
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}.")
    return code


def _fail(message: str) -> int:
    print("onespace: error:", " ".join(message.split()), file=sys.stderr)
    return FAILED
