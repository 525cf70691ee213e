"""``onespace index``: files and folders into a store, and again when they change."""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

from onespace.cli.main import INTERRUPTED
from onespace.cli.options import Subparsers, add_model_options, add_store_options, command, load_model
from onespace.cli.output import emit_json, losses_told_here, note

if TYPE_CHECKING:
    from onespace.index import Indexer, Plan, Report
    from onespace.index.actors import Actors
    from onespace.index.documents import Broken

EXAMPLES = """
onespace index photos/ notes/ manual.pdf
onespace index shop.csv --columns text=title,image=file,id=sku --store shop.db
onespace index photos/ --glob '*.png' --exclude old --watch
onespace index photos/ --store qdrant://localhost:6334/pictures
onespace index photos/ --ray host:6379 --workers 8
"""
DETAILS = """
A folder gives its pictures, texts (.txt, .md: a passage each), PDF files (a page each, as a picture with its text) and
tables (.csv, .jsonl: a row each). What is in the store already is left alone, what changed is encoded again, and what
went from the folder goes from the store. Stop it at any moment: the same command goes on where it stopped. Names of
items are paths seen from the folder in which the store was first filled.
"""
SHOWN = 20
"""Names of each kind, and reasons, that are listed."""
ASKED = "asked"


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(
        subparsers, "index", "put files and folders into a store, and follow their changes", EXAMPLES, DETAILS
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="folders and files")
    where = parser.add_argument_group("where to")
    add_store_options(where)
    which = parser.add_argument_group("which files")
    which.add_argument(
        "--glob", action="append", default=[], metavar="PATTERN", help="only files like this; may be repeated"
    )
    which.add_argument(
        "--exclude", action="append", default=[], metavar="PATTERN", help="no files or folders like this; repeatable"
    )
    which.add_argument("--no-recursive", action="store_true", help="only files in the folders themselves")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--columns",
        metavar="ROLE=NAME,...",
        help="which columns of tables are the text, the image and the id (default: those so named)",
    )
    how.add_argument(
        "--on-loss",
        choices=("warn", "error", "chunk", "tile"),
        help="what is too long or too large: cut it, leave it out, or encode it in parts (default: as before, or warn)",
    )
    how.add_argument("--watch", action="store_true", help="go on, and follow every change until Ctrl-C")
    how.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="encode with Ray's actors: on the cluster at that address (auto: this machine's), or else on this machine",
    )
    how.add_argument(
        "--workers", type=int, metavar="N", help="Ray's actors (default: one for each GPU, or each 4 processors)"
    )
    how.add_argument("--dry-run", action="store_true", help="say what there is to do, and do nothing")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Looks at what there is to do, and does it; the model is loaded only for that."""
    from onespace.errors import InputError
    from onespace.index import Columns, Indexer, IndexOptions, Report, Selection
    from onespace.index.manifest import Manifest
    from onespace.index.plan import make_plan
    from onespace.store import Store, StoreOptions
    from onespace.store.places import Place

    actors = _actors(args)
    selection = Selection(tuple(args.glob), tuple(args.exclude), not args.no_recursive)
    options = IndexOptions(selection, Columns.of(args.columns) if args.columns else None)
    place = Place.of(args.store, log=args.log)
    with Manifest.read(place) as manifest:
        on_loss = manifest.agree(args.on_loss)
        plan = make_plan(args.paths, manifest, options)
        same = manifest.meta(ASKED) == _asked(args)
    if args.dry_run:
        _print_plan(args, plan)
        return 0
    if plan.nothing and same and not args.watch:
        _print(args, Report(unchanged=plan.items, broken=list(plan.broken)))
        return 0
    if plan.nothing and not plan.files and not place.log.exists() and not args.watch:
        raise InputError(f"there is nothing to index: {plan.skipped} files, none of a kind that is known.")
    key = os.environ.get("ONESPACE_API_KEY")
    kept = StoreOptions(on_loss=on_loss, log=args.log, api_key=key)
    model = load_model(args)
    with (
        losses_told_here(),
        Store.open(args.store, model, options=kept) as store,
        Indexer(store, options=options) as indexer,
        _interruptible() as stop,
    ):
        indexer.manifest.set_meta(**{ASKED: _asked(args)})
        if args.watch:
            return _watch(args, indexer, stop)
        report = indexer.run(args.paths, stop=stop.is_set, progress=None, actors=actors)
        _print(args, report)
        if store.building and not report.interrupted:
            note("building the graph by which searches are fast; Ctrl-C leaves that for the next run")
            while store.building and not stop.wait(0.1):
                pass
    return INTERRUPTED if report.interrupted else 0


def _watch(args: argparse.Namespace, indexer: Indexer, stop: Event) -> int:
    """Indexes again and again; says so when something happened."""
    from onespace.index.watch import watch

    note(f"watching {', '.join(args.paths)}; Ctrl-C ends it")
    told: object = None
    for report in watch(indexer, args.paths, stop=stop, progress=None):
        if told is None or report.added or report.changed or report.removed or report.broken != told:
            _print(args, report)
        told = report.broken
    return 0


@contextmanager
def _interruptible() -> Iterator[Event]:
    """An event that Ctrl-C sets, or a polite end from outside; a second time stops at once."""
    stop = Event()

    def handle(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        note("stopping after the batch under way; Ctrl-C again stops at once")

    before = {name: signal.signal(name, handle) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _actors(args: argparse.Namespace) -> Actors | None:
    """Those that were asked for. Raises `InputError` for options that don't go together."""
    from onespace.errors import InputError
    from onespace.index.actors import Actors

    if args.ray is None and args.workers is None:
        return None
    if args.ray is None or (args.workers is not None and args.workers < 1):
        raise InputError(f"--workers {args.workers}: it goes with --ray, and must be at least 1.")
    if args.watch:
        raise InputError("--ray is for much work at once, --watch for a little again and again. Leave one of them out.")
    source, weights, _ = json.loads(_asked(args))
    there = argparse.Namespace(**{**vars(args), "model": source, "weights": weights, "run": None})
    return Actors(partial(load_model, there), address=args.ray or None, workers=args.workers)


def _asked(args: argparse.Namespace) -> str:
    """What was asked of the model, kept so that a run without work needn't load it to see that it is the same."""
    source = os.path.abspath(args.model) if args.model and os.path.exists(args.model) else args.model
    return json.dumps([source, args.weights and os.path.abspath(args.weights), args.fit])


# -- telling ---------------------------------------------------------------------------------------------------------


def _print(args: argparse.Namespace, report: Report) -> None:
    if args.json:
        told = {"store": args.store} | report.to_dict()
        print(json.dumps(told, ensure_ascii=False), flush=True) if args.watch else emit_json(told)
        return
    counts = [f"{getattr(report, name):,} {name}" for name in ("added", "changed", "removed", "unchanged")]
    counts += [f"{len(report.broken):,} broken"] if report.broken else []
    encoded = report.added + report.changed
    rate = f" ({encoded / report.seconds:.1f} a second)" if encoded and report.seconds else ""
    clock = f"{time.strftime('%H:%M:%S')}  " if args.watch else ""
    print(f"{clock}{args.store}: {', '.join(counts)}, {report.seconds:.1f} s{rate}", flush=True)
    if report.lossy:
        note(f"note: {report.lossy:,} items were seen only in part; --on-loss says what else can be done.")
    for line in _grouped(report.broken):
        note(line)
    if report.interrupted:
        note("stopped; the same command goes on from here.")


def _print_plan(args: argparse.Namespace, plan: Plan) -> None:
    names = {status: [file.name for file in plan.of(status)] for status in ("new", "changed", "touched")}
    names["gone"] = plan.gone
    if args.json:
        told = {"store": args.store, "unchanged": plan.files, "skipped": plan.skipped}
        emit_json(told | names | {"broken": [asdict(b) for b in plan.broken]})
        return
    counts = [f"{len(some):,} {status}" for status, some in names.items() if some or status != "touched"]
    print(f"{args.store}: files: {', '.join(counts)}, {plan.files:,} unchanged, {plan.skipped:,} of other kinds")
    for status, some in names.items():
        for name in some[:SHOWN]:
            print(f"  {status:8}{name}")
        if some[SHOWN:]:
            print(f"  {'':8}and {len(some) - SHOWN:,} more {status}; --json names all")
    for line in _grouped(plan.broken):
        note(line)


def _grouped(broken: Sequence[Broken]) -> Iterator[str]:
    """A line for each that is broken, or for many that are broken for one reason."""
    groups: dict[str, list[str]] = {}
    for one in broken:
        groups.setdefault(one.reason, []).append(one.name)
    for why, names in list(groups.items())[:SHOWN]:
        more = f" and {len(names) - 1:,} more" if names[1:] else ""
        yield f"left out: {names[0]}{more}: {why}"
    if len(groups) > SHOWN:
        yield f"left out: {sum(map(len, list(groups.values())[SHOWN:])):,} others; --json names all."
