"""``onespace serve``: the model, and a store if wanted, over HTTP."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from onespace.cli.options import Subparsers, add_model_options, command
from onespace.cli.output import emit_json, note
from onespace.serve.options import Limits, ServeOptions

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
    add("--host", default=ServeOptions.host, help="where to listen (default: this machine only)")
    add("--port", type=int, default=ServeOptions.port, help="0 is any free one (default: 7997)")
    add(
        "--workers",
        type=int,
        default=ServeOptions.workers,
        metavar="N",
        help="processes; with several the store is read-only",
    )
    add("--api-keys", metavar="FILE", help="digests of the keys that may call; without it everyone may")
    add("--new-key", metavar="NAME", help="print a new key and its line for the file, and end")
    add("--admin", action="store_true", help="with --new-key: the key may change the model")
    add("--allow-remote-images", action="store_true", help="fetch pictures from public https addresses")
    add("--allow-host", action="append", metavar="NAME", help="a name by which the server is addressed; repeatable")
    add("--cors", action="append", metavar="ORIGIN", help="a site whose pages may call; repeatable")
    limits = parser.add_argument_group("limits", "beyond a queue's limit the answer is 429, beyond a request's 413")
    for name, field, text in LIMITS:
        default = getattr(Limits, field)
        said = f"{text} (default: {default:,})"
        limits.add_argument(f"--max-{name}", dest=field, type=int, default=default, metavar="N", help=said)
    for name, default, text in (
        ("deadline", Limits.deadline, "seconds a request may take"),
        ("grace", ServeOptions.grace, "seconds to finish when stopped"),
    ):
        limits.add_argument(f"--{name}", type=float, default=default, metavar="S", help=f"{text} ({default:.0f})")
    parser.set_defaults(run=run)


LIMITS = (
    ("queue", "requests", "requests that wait or are being answered"),
    ("queue-tokens", "queue_tokens", "tokens that wait for the model"),
    ("body", "body_bytes", "bytes of one body"),
    ("items", "items", "items of one request"),
    ("pixels", "picture_pixels", "pixels of one picture"),
)
"""Option, field and meaning of the limits that an option sets."""


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

    if args.workers < 1:
        raise InputError(f"--workers {args.workers} must be at least 1.")
    limits, same = (
        {field.name: getattr(args, field.name) for field in fields(kind) if hasattr(args, field.name)}
        for kind in (Limits, ServeOptions)
    )
    lists = {"swap": args.swap, "aliases": args.alias, "cors": args.cors, "hosts": args.allow_host}
    return ServeOptions(**{**same, **{k: tuple(v or ()) for k, v in lists.items()}, "limits": Limits(**limits)})


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
