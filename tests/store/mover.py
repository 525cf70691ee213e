"""A process that moves a store to `other_model`, a few items at a time, until it is killed. Its argument is the folder.

It prints "ready" when the model is made, and the id of each item that it goes on to encode.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import lru_cache

from tiny_model import tiny_fused, tiny_spec

from onespace.encoder import Encoder
from onespace.spec import HeadSpec
from onespace.store import migrate


@lru_cache(maxsize=1)
def other_model() -> Encoder:
    """Another model than the tiny one: other weights, other widths."""
    spec = tiny_spec(name="other", heads=HeadSpec(dense=24, sparse="tokens", sparse_skip=(0, 1), multi=8))
    return tiny_fused(replace(spec, text=replace(spec.text, width=24)))  # type: ignore[type-var]


def main(folder: str) -> None:
    migrate.BATCH = 4
    model = other_model()
    print("ready", flush=True)
    migrate.migrate(folder, model, options=migrate.MigrateOptions(again=lambda item: print(item.id, flush=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
