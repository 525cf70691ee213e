"""``onespace search``: what in a store is nearest to words, to a picture, or to both."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from onespace.cli.options import Subparsers, add_model_options, add_store_options, command, load_model
from onespace.cli.output import counted, emit_json, losses_told_here, note, width
from onespace.types import Item, Pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onespace.encoder import Encoder
    from onespace.results.thumbnails import Protocol
    from onespace.store import Found, Store

METRICS = ("cosine", "lexical", "maxsim", "blend")
ENOUGH = 10_000
"""Items up to which a store is looked through from end to end, without opening its engine, which only one can hold."""
LISTED = 4
"""Parts of one kind that a terminal shows."""
EXAMPLES = """
onespace search "a blue whale"
onespace search "一条龙" -k 5 --filter kind=image --filter year=2020..2026 --explain
onespace search --image whale.png "but red" --store pictures.db --html found.html
onespace search --queries questions.txt --json
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(subparsers, "search", "find what is nearest to words, to a picture, or to both", EXAMPLES)
    asked = parser.add_argument_group("what to look for")
    asked.add_argument(
        "words", nargs="?", metavar="WORDS", help="a text; with --image it says what should be different"
    )
    asked.add_argument("--image", metavar="FILE", help="a picture")
    asked.add_argument(
        "--queries",
        metavar="FILE",
        help="many at once: .txt, a text a line; .jsonl, rows with text, image; - for a pipe",
    )
    where = parser.add_argument_group("where, and how")
    add_store_options(where)
    where.add_argument("-k", type=int, default=10, metavar="N", help="hits to show (default: 10)")
    where.add_argument("--offset", type=int, default=0, metavar="N", help="hits to skip: a further page")
    where.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="COND",
        help="on metadata: name=value, name=a,b, name=1..5, name>=1 or name<5; may be repeated, and all must hold",
    )
    where.add_argument("--metric", choices=METRICS, help="which score (default: a blend of all that the store keeps)")
    where.add_argument(
        "--blend", nargs=3, type=float, metavar=("DENSE", "SPARSE", "MULTI"), help="how much each of the three counts"
    )
    where.add_argument(
        "--fusion", choices=("score", "rrf"), default="score", help="rrf adds up ranks instead of scores"
    )
    where.add_argument("--fair", action="store_true", help="make scores of texts, pictures and pairs comparable")
    where.add_argument("--exact", action="store_true", help="look at every item, to check what the engine misses")
    shown = parser.add_argument_group("what to show")
    shown.add_argument("--explain", action="store_true", help="say which words and places give each score")
    shown.add_argument("--html", metavar="OUT.html", help="write a contact sheet with boxes and scores that add up")
    shown.add_argument(
        "--thumbnails", choices=("auto", "always", "never"), default="auto", help="pictures in the terminal"
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Searches, and prints what was found."""
    from onespace.cli.filters import read_filters
    from onespace.results.view import explained

    queries, filter = _queries(args), read_filters(args.filter)
    model = load_model(args)
    with _open(args, model) as store, losses_told_here():
        started = perf_counter()
        found = _search(args, store, queries, filter)
        seconds, items = perf_counter() - started, store.count(filter)
    if args.explain or args.html:
        found = [explained(hits, model, query) for hits, query in zip(found, queries, strict=True)]
    about = f"{counted(items, 'item')} of {args.store}{' that fit' if filter else ''}, {model.spec.name}"
    if args.html:
        _write_sheet(args, model, queries, found, about)
    if args.json:
        emit_json(_to_dict(args, model, queries, found, items, seconds))
        return 0
    for query, hits in zip(queries, found, strict=True):
        if len(queries) > 1:
            print(f"\n{_said(query)}")
        sys.stdout.writelines(_listed(args, model, hits))
    note(f"{about}, {seconds:.2f} s")
    if args.html:
        note(f"contact sheet: {args.html}")
    return 0


# -- asking ----------------------------------------------------------------------------------------------------------


def _queries(args: argparse.Namespace) -> list[Item]:
    from onespace.errors import InputError
    from onespace.files.records import read_records

    if args.queries is None:
        picture = Path(args.image) if args.image else None
        if picture is None and args.words is None:
            raise InputError("there is nothing to look for. Give some words, --image FILE, or --queries FILE.")
        return [args.words if picture is None else picture if args.words is None else Pair(args.words, picture)]
    if args.words is not None or args.image:
        raise InputError("--queries goes with neither words nor --image. Put them into the file.")
    queries: list[Item] = []
    for record in read_records([args.queries], stdin=sys.stdin.buffer):
        if record.item is None:
            raise InputError(f"{record.id} {record.problem}")
        queries.append(record.item)
    if not queries:
        raise InputError(f"{args.queries} holds no query. Write one a line.")
    return queries


def _search(
    args: argparse.Namespace, store: Store, queries: Sequence[Item], filter: dict[str, Any] | None
) -> list[list[Found]]:
    """The hits of each query."""
    from onespace.store import SearchOptions

    weights = tuple(args.blend) if args.blend else None
    options = SearchOptions(args.metric, weights, args.fusion, args.fair, args.exact)
    return store.search(
        list(queries), k=args.k, offset=args.offset, filter=filter, explain=args.fusion == "score", options=options
    )


def _open(args: argparse.Namespace, model: Encoder) -> Store:
    """The store, for reading; with its engine where there is much to look through and nobody else holds it."""
    from onespace.errors import MissingExtra, PassportError, StoreError
    from onespace.store import Store, StoreOptions
    from onespace.store.log import Log
    from onespace.store.places import Place

    place = Place.of(args.store, log=args.log)
    if (log := Log.found(place.log)) is None:
        raise StoreError(f"{args.store} holds no store. Make one: onespace index FOLDER --store {args.store}")
    many = log.count() > ENOUGH
    log.close()
    options = StoreOptions(log=args.log, api_key=os.environ.get("ONESPACE_API_KEY"))
    if many and not args.exact:
        try:
            return Store.open(args.store, model, options=replace(options, build=False))
        except PassportError:
            raise
        except (StoreError, MissingExtra) as error:
            note(f"note: every item is looked at, which takes longer: {error}")
    return Store.open(args.store, model, options=replace(options, read_only=True))


# -- telling ---------------------------------------------------------------------------------------------------------


def _said(query: Item) -> str:
    """A query in words."""
    if isinstance(query, Pair):
        return f"{query.text} + {', '.join(map(str, query.images))}"
    return str(query)


def _to_dict(
    args: argparse.Namespace,
    model: Encoder,
    queries: Sequence[Item],
    found: Sequence[Sequence[Found]],
    items: int,
    seconds: float,
) -> dict[str, Any]:
    from onespace.results.view import to_dict

    results = []
    for query, hits in zip(queries, found, strict=True):
        told = [to_dict(h) | ({"why": h.why.to_dict()} if args.explain and h.why else {}) for h in hits]
        images = [str(image) for image in query.images] if isinstance(query, Pair) else []
        text = query.text if isinstance(query, Pair) else query if isinstance(query, str) else None
        results.append({"text": text, "images": images or ([] if text is not None else [str(query)]), "hits": told})
    about = {"store": args.store, "model": model.spec.name, "items": items, "seconds": round(seconds, 4)}
    return about | {"results": results, "html": args.html}


def _listed(args: argparse.Namespace, model: Encoder, hits: Sequence[Found]) -> Iterator[str]:
    """The hits as lines, with pictures beside them where the terminal shows any."""
    from shutil import get_terminal_size

    from onespace.results.thumbnails import COLUMNS, beside
    from onespace.results.view import show

    if not hits:
        yield "nothing was found\n"
    protocol, tty = _protocol(args), sys.stdout.isatty()
    room = get_terminal_size().columns - (COLUMNS + 3 if protocol else 0) if tty else None
    for rank, hit in enumerate(hits, args.offset + 1):
        lines = [line if room is None else _cut(line, room) for line in _lines(args, rank, hit)]
        if tty:
            lines[0] = f"\x1b[1m{lines[0]}\x1b[0m"
        if protocol is None:
            yield "".join(f"{line}\n" for line in lines)
        else:
            yield beside(show(hit, model.spec.pixels), lines, protocol, cell=_cell()) + "\n"


def _lines(args: argparse.Namespace, rank: int, hit: Found) -> Iterator[str]:
    from onespace.explain.view import NAMES, label, listed
    from onespace.results.view import caption, facts, name, where

    yield f"{rank:3}  {hit.score:.4f}  {name(hit)}"
    indent = " " * 13
    if (words := caption(hit)) and words != name(hit):
        yield indent + words
    if told := facts(hit):
        yield indent + "  ".join(told)
    if place := where(hit):
        yield f"{indent}best at {place}"
    if hit.why is not None and len(hit.why.shares) > 1:
        yield indent + "  ".join(f"{NAMES[head]} {share:+.4f}" for head, share in hit.why.shares.items())
    if args.explain and hit.why is not None:
        for head, parts in listed(hit.why).items():
            told = [f"{label(part)} {part.score:+.4f}" for part in parts]
            more = f"  and {len(told) - LISTED} more" if len(told) > LISTED else ""
            yield f"{indent}{NAMES[head]}: {'  '.join(told[:LISTED])}{more}"


def _cut(line: str, columns: int) -> str:
    """The line, as much of it as a terminal of so many columns has room for."""
    if width(line) <= columns:
        return line
    while line and width(line) >= columns:
        line = line[:-1]
    return f"{line}…"


def _protocol(args: argparse.Namespace) -> Protocol | None:
    """How pictures are shown; never in a pipe, unless it is asked for."""
    from onespace.results.thumbnails import protocol

    if args.thumbnails == "never" or (args.thumbnails == "auto" and not sys.stdout.isatty()):
        return None
    return protocol(os.environ) or ("blocks" if args.thumbnails == "always" else None)


def _cell() -> tuple[int, int]:
    """Pixels of one cell of the terminal, as far as it says."""
    import struct

    from onespace.results.thumbnails import CELL

    try:
        import fcntl
        import termios

        rows, columns, wide, high = struct.unpack(
            "HHHH", fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
        )
        return (wide // columns, high // rows) if wide and high and rows and columns else CELL
    except (ImportError, OSError):
        return CELL


def _write_sheet(
    args: argparse.Namespace, model: Encoder, queries: Sequence[Item], found: Sequence[Sequence[Found]], about: str
) -> None:
    from onespace.prepare.images import open_image
    from onespace.results.sheet import Answer, sheet
    from onespace.spec import PixelSpec

    pixels = model.spec.pixels or PixelSpec(size=1)
    answers = []
    for query, hits in zip(queries, found, strict=True):
        text = query.text if isinstance(query, Pair) else query if isinstance(query, str) else ""
        image = query.images[0] if isinstance(query, Pair) else None if isinstance(query, str) else query
        picture = None if image is None else open_image(image, where="the query", pixels=pixels).picture
        answers.append(Answer(text, picture, hits, args.offset + 1))
    Path(args.html).write_text(sheet(answers, about=about, pixels=pixels), encoding="utf-8")
