"""What a worker of Ray's imports in the tests: a model that says where it was loaded, and a deadly item."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import onespace
from onespace.encoder import Encoder


@dataclass(frozen=True)
class Loader:
    """Loads the shipped model, and leaves the number of the process in a folder."""

    folder: Path

    def __call__(self) -> Encoder:
        (self.folder / str(os.getpid())).touch()
        return onespace.load()


def deadly() -> str:
    """An item that ends whoever opens it."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""
