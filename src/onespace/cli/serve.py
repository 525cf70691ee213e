"""``onespace serve``: the model, and a store if wanted, over HTTP."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from onespace.cli.options import Subparsers, add_model_options, command
from onespace.cli.output import emit_json, note

if TYPE_CHECKING:
    from onespace.serve.options import ServeOptions

EXAMPLES = """
onespace serve                                               # the shipped model and the page, on this machine only
onespace serve --store pictures.db                           # with a store: search, explain, map
onespace serve --new-key reports >> keys.txt                 # prints a key on stderr, and its line for the file
onespace serve --host 0.0.0.0 --api-keys keys.txt --workers 4
curl localhost:7997/v1/embeddings -H 'Content-Type: application/json' -d '{"input": ["a whale", "一只蓝鲸"]}'
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(
        subparsers, "serve", "serve the model over HTTP, in the formats that clients already speak", EXAMPLES
    )
    add_model_options(parser)
    add = parser.add_argument
    add("--swap", action="append", metavar="MODEL", help="a model that POST /admin/model may change to; repeatable")
    add("--alias", action="append", metavar="NAME", help="a further name for the model, which clients may ask for")
    add("--store", metavar="STORE", help="a store to search: a folder, or the address of a cluster")
    add("--read-only", action="store_true", help="open the store beside a process that writes to it")
    add("--host", default="127.0.0.1", help="where to listen (default: this machine only)")
    add("--port", type=int, default=7997, help="0 is any free one (default: 7997)")
    add("--workers", type=int, default=1, metavar="N", help="processes; with several the store is read-only")
    add("--api-keys", metavar="FILE", help="digests of the keys that may call; without it everyone may")
    add("--new-key", metavar="NAME", help="print a new key and its line for the file, and end")
    add("--admin", action="store_true", help="with --new-key: the key may change the model")
    add("--allow-remote-images", action="store_true", help="fetch pictures from public https addresses")
    add("--allow-host", action="append", metavar="NAME", help="a name by which the server is addressed; repeatable")
    add("--cors", action="append", metavar="ORIGIN", help="a site whose pages may call; repeatable")
    limits = parser.add_argument_group("limits", "beyond a queue's limit the answer is 429, beyond a request's 413")
    for name, kind, default, text in LIMITS:
        said = f"{text} (default: {default:,})"
        limits.add_argument(f"--max-{name}", type=kind, default=default, metavar="N", help=said)
    limits.add_argument("--deadline", type=float, default=30.0, metavar="S", help="seconds a request may take (30)")
    limits.add_argument("--grace", type=float, default=60.0, metavar="S", help="seconds to finish when stopped (60)")
    parser.set_defaults(run=run)


LIMITS = (
    ("queue", int, 256, "requests that wait or are being answered"),
    ("queue-tokens", int, 262_144, "tokens that wait for the model"),
    ("body", int, 32_000_000, "bytes of one body"),
    ("items", int, 2048, "items of one request"),
    ("pixels", int, 50_000_000, "pixels of one picture"),
)
"""Name, type, default and meaning of the limits that an option sets."""


def run(args: argparse.Namespace) -> int:
    """Serves until it is stopped."""
    from onespace.errors import LockedError, MissingExtra

    if args.new_key:
        return _new_key(args)
    try:
        from onespace.serve.run import serve
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("fastapi", "uvicorn", "prometheus_client", "starlette", "pydantic"):
            raise
        raise MissingExtra("onespace serve", str(error.name), "serve") from error
    options = options_of(args)
    if options.host not in ("127.0.0.1", "localhost", "::1") and options.api_keys is None:
        note("note: whoever reaches this address may use the server. --api-keys FILE asks for keys.")
    new = options.store and ":" not in options.store and not Path(options.store).exists()
    if new and not options.read_only and options.workers == 1:
        note(f"note: there is no store at {options.store} yet; an empty one is made.")
    if options.store and options.workers > 1:
        note("note: with several workers the store is read-only.")

    def ready(address: str) -> None:
        if args.json:
            emit_json({"address": address, "model": options.model, "store": options.store})
        else:
            note(f"onespace serves at {address} (routes: {address}/docs). Ctrl+C stops it.")

    try:
        serve(options, ready=ready)
    except LockedError as error:
        raise LockedError(f"{error} Here that is --read-only.") from error
    return 0


def options_of(args: argparse.Namespace) -> ServeOptions:
    """What was asked for on the command line."""
    from onespace.errors import InputError
    from onespace.serve.options import Limits, ServeOptions

    if args.workers < 1:
        raise InputError(f"--workers {args.workers} must be at least 1.")
    limits = Limits(
        requests=args.max_queue,
        queue_tokens=args.max_queue_tokens,
        body_bytes=args.max_body,
        items=args.max_items,
        picture_pixels=args.max_pixels,
        deadline=args.deadline,
    )
    same = {field.name: getattr(args, field.name) for field in fields(ServeOptions) if hasattr(args, field.name)}
    lists = {"swap": args.swap, "aliases": args.alias, "cors": args.cors, "hosts": args.allow_host}
    return ServeOptions(**{**same, **{k: tuple(v or ()) for k, v in lists.items()}, "limits": limits})


def _new_key(args: argparse.Namespace) -> int:
    """The key goes to the eye, its line to the file."""
    from onespace.serve.keys import digest, new_key

    key = new_key()
    line = f"{args.new_key} {digest(key)}{' admin' if args.admin else ''}"
    if args.json:
        emit_json({"name": args.new_key, "key": key, "line": line})
        return 0
    note(f"key: {key}\nIt isn't shown again. Send it as the header Authorization: Bearer {key}")
    print(line)
    return 0
