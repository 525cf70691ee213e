"""Pictures that lie beside a table whose rows name them: their content, and whether it is still the same."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from onespace.prepare.sources import read_bytes
from onespace.types import Image


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture when it was last read; without a sha256 when it wasn't there, or was none."""

    path: str
    size: int
    mtime: int
    sha256: str

    @property
    def unchanged(self) -> bool:
        """Whether size and time of change are what they were."""
        return _stat(self.path) == (self.size, self.mtime)


@dataclass
class Pictures:
    """The pictures that the rows of one table name."""

    known: dict[str, Seen] = field(default_factory=dict)
    used: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Iterable[Seen]) -> Pictures:
        """With those of an earlier run, which aren't read again while they are unchanged."""
        return cls({seen.path: seen for seen in known})

    def sha256(self, image: Image | Path) -> str:
        """Of a picture's bytes. Raises `ImageError` when it can't be read."""
        if isinstance(image, Image):
            return sha256(read_bytes(image, where="the picture")).hexdigest()
        path = str(image)
        seen = self.used.get(path) or self.known.get(path)
        if seen is None or not seen.sha256 or not seen.unchanged:
            self.used[path] = seen = Seen(path, *_stat(path), "")
            seen = replace(seen, sha256=sha256(read_bytes(image, where=f"the picture {path}")).hexdigest())
        self.used[path] = seen
        return seen.sha256


def _stat(path: str) -> tuple[int, int]:
    """Size and time of change of a file, -1 where there is none."""
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return -1, -1
    return info.st_size, info.st_mtime_ns
