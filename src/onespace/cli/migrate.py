"""``onespace migrate``: a store moves to another model while it is searched and changed."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from onespace.cli.options import Subparsers, add_model_options, command, load_model
from onespace.cli.output import counted, emit_json, losses_told_here, note

if TYPE_CHECKING:
    from collections.abc import Callable

    from onespace.encoder import Encoder
    from onespace.store import Stored
    from onespace.store.migrate import Migration
    from onespace.store.places import Place
    from onespace.types import Item

EXAMPLES = """
onespace migrate pictures.db --model models/bge-visualized-m3
onespace migrate pictures.db --model NEW --lost drop --wait
onespace migrate qdrant://localhost:6334/pictures --model NEW --out qdrant://localhost:6334/pictures2
"""
DETAILS = """
Every item is read again from its file, or from the text that the store kept, and encoded into a new store beside. The
old one is searched meanwhile, and may be changed: changes are followed. Then the new one takes its place, in one step.
A move that was stopped, however it was, goes on when the same command is given again.
"""
SHOWN = 20
"""Lost items that are listed."""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(subparsers, "migrate", "move a store to another model while it is searched", EXAMPLES, DETAILS)
    parser.add_argument("store", metavar="STORE", help="the store to move")
    parser.add_argument(
        "--out",
        metavar="PLACE",
        help="make a new store there, and leave the old one as it is; a cluster's key is read from ONESPACE_API_KEY",
    )
    parser.add_argument("--log", metavar="FOLDER", help="the log of a store in a cluster (default: NAME.onespace)")
    parser.add_argument(
        "--lost",
        choices=("stop", "drop", "thumbnail"),
        default="stop",
        help="items whose file is gone: stop before the switch (default), leave them out, or take the small picture "
        "that the store kept",
    )
    parser.add_argument("--wait", action="store_true", help="wait for a process that has the store open to close it")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Moves, and says what was moved and what is in the way."""
    from onespace.store.migrate import MigrateOptions, migrate
    from onespace.store.places import Place

    place = Place.of(args.store, log=args.log)
    model = load_model(args)
    _politely()
    key = os.environ.get("ONESPACE_API_KEY")
    options = MigrateOptions(lost=args.lost, again=_pages(place, model), log=args.log, api_key=key)
    with losses_told_here():
        done = migrate(args.store, model, out=args.out, options=options, progress=None)
        if done.held and args.wait:
            note(f"{counted(done.items, 'item')} ready; waiting: {done.held}")
            done = migrate(args.store, model, out=args.out, options=replace(options, wait=True), progress=None)
    if args.out:
        _keep_base(place, Place.of(args.out))
    finished = (done.switched or args.out is not None) and not (done.lost and args.lost == "stop")
    if args.json:
        emit_json(done.to_dict() | {"finished": finished})
    else:
        _tell(args, done, finished)
    return 0 if finished else 2


def _tell(args: argparse.Namespace, done: Migration, finished: bool) -> None:
    removed = f", {done.removed} removed" if done.removed else ""
    now = f"{done.encoded} encoded now{removed}, {done.seconds:.1f} s"
    state = "with" if finished else "ready for"
    print(f"{done.store}: {counted(done.items, 'item')} {state} {done.model} ({now})")
    what = "left out" if args.lost == "drop" else "lost"
    for id, why in list(done.lost.items())[:SHOWN]:
        note(f"{what}: {id}: {why}")
    if len(done.lost) > SHOWN:
        note(f"{what}: {len(done.lost) - SHOWN} more; --json lists them all")
    if finished:
        return
    if done.held:
        note(f"not switched yet: {done.held} Then give the same command again, or give it now with --wait.")
    else:
        kept = "" if args.out else f" {args.store} is as it was."
        note(
            f"not finished: {counted(len(done.lost), 'item')} can't be read again.{kept} Put their files back and give "
            "the same command again, or say what becomes of them: --lost drop or --lost thumbnail."
        )


def _pages(place: Place, model: Encoder) -> Callable[[Stored], Item | None]:
    """Draws the pages of documents again, which `onespace index` keeps without a file of their own."""
    from onespace.index.manifest import Manifest
    from onespace.index.pages import Page

    with Manifest.read(place) as manifest:
        base = manifest.base

    def again(stored: Stored) -> Item | None:
        path, page = stored.metadata.get("path"), stored.metadata.get("page")
        if stored.metadata.get("kind") != "page" or not isinstance(path, str) or not isinstance(page, int):
            return None
        return Page(base.path(path), page - 1, model.spec.modalities)()

    return again


def _keep_base(place: Place, out: Place) -> None:
    """Lets ``onespace index`` see the names of files from where it saw them in the old store."""
    from onespace.index.manifest import BASE, Manifest
    from onespace.store.log import Log

    with Manifest.read(place) as manifest, closing(Log(out.log)) as log:
        if manifest.meta(BASE):
            log.set_meta(**{BASE: manifest.base.seen_from(out.folder)})


def _politely() -> None:
    """Lets other processes go first."""
    if hasattr(os, "nice"):
        os.nice(10)
