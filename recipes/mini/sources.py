"""The pinned packages, where they lie, and how a file inside one is read."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tomllib

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "mini"
PACKAGES = BUILD / "packages"


@dataclass(frozen=True)
class Package:
    """One pinned npm package; the fields are those of `sources.toml`."""

    name: str
    version: str
    role: str
    licence: str
    attribution: str
    home: str
    split: str = "train"
    categories: tuple[str, ...] = ()
    drop: str = ""
    strip: str = ""
    largest: bool = False
    kept_out: str = ""

    @property
    def style(self) -> str:
        """The short name of a drawing set, such as "noto"."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def archive(self) -> Path:
        """Where `npm pack` puts this package."""
        return PACKAGES / f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"

    def read(self, path: str) -> Any:
        """The JSON file at `path` inside the package."""
        return next(data for name, data in self.read_all(f"package/{path}") if name == path)

    def read_all(self, ending: str) -> Iterator[tuple[str, Any]]:
        """(path, JSON) of each file whose path ends so, sorted by path."""
        with tarfile.open(self.archive) as archive:
            files = ((m.name, archive.extractfile(m)) for m in archive if m.name.endswith(ending))
            found = {name.removeprefix("package/"): json.load(file) for name, file in files if file}
        yield from sorted(found.items())


@cache
def settings() -> dict[str, Any]:
    """`sources.toml` as it stands."""
    return tomllib.loads((HERE / "sources.toml").read_text(encoding="utf-8"))


@cache
def renames() -> dict[str, str]:
    """`renames.toml` as it stands: {"style:icon": emoji code points or English name}."""
    return tomllib.loads((HERE / "renames.toml").read_text(encoding="utf-8"))


@cache
def packages(*roles: str) -> tuple[Package, ...]:
    """The packages with one of these roles (all of them if none is named), in file order."""
    rows = (dict(row, categories=tuple(row.get("categories", ()))) for row in settings()["package"])
    return tuple(Package(**row) for row in rows if not roles or row["role"] in roles)


def package(name: str) -> Package:
    """The package of that npm name."""
    return next(p for p in packages() if p.name == name)


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object per line, whole or not at all; returns how many."""
    count, part = 0, path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    part.replace(path)
    return count


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows that `write_jsonl` wrote."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_json(path: Path, data: Any) -> None:
    """Write one JSON document, sorted as given, readable by people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
