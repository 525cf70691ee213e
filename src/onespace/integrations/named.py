"""Models by name, each loaded once: for libraries that keep a name in a file and come back with it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onespace.encoder import Encoder


@lru_cache(maxsize=4)
def model_named(name: str | None) -> Encoder:
    """What `onespace.load` gives for a folder or a name; None is the shipped model."""
    from onespace.families import load

    return load(name)
