"""What there is to do: which files are new, changed or gone since they were indexed. No model is needed for it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from onespace.index.documents import Broken
from onespace.index.manifest import Indexed, Manifest
from onespace.index.readers import READERS, ROWS, digest
from onespace.index.rows import Columns
from onespace.index.walk import File, Selection, walk

Status: TypeAlias = Literal["new", "changed", "touched"]
VERSION = "1"
"""Of the readers: files that an earlier version read are read again."""


@dataclass(frozen=True)
class IndexOptions:
    """What is indexed, and how tables are read."""

    selection: Selection = field(default_factory=Selection)
    columns: Columns | None = None
    """By default each table's are as they were when it was first read."""

    def columns_of(self, name: str, manifest: Manifest) -> Columns:
        """The columns by which a table is read."""
        known = manifest.files.get(name)
        if self.columns is not None or known is None or not known.reading:
            return self.columns or Columns()
        return Columns(*json.loads(known.reading)[2:])

    def reading(self, file: File, manifest: Manifest) -> str:
        """What the documents of a file depend on besides its content: another text, and it is read again."""
        columns = self.columns_of(file.name, manifest) if file.suffix in ROWS else Columns()
        return json.dumps([VERSION, str(manifest.base.folder), *astuple(columns)])


@dataclass(frozen=True)
class Plan:
    """The files to look at, and what was found out about the others."""

    todo: list[tuple[File, Status]]
    """``touched`` ones have their old content under a new time."""
    gone: list[str]
    files: int = 0
    """Unchanged files."""
    items: int = 0
    """Items of unchanged files."""
    skipped: int = 0
    """Files of a kind that isn't indexed."""
    broken: tuple[Broken, ...] = ()
    """What can't be looked at, and what of unchanged files can't be indexed."""

    @property
    def nothing(self) -> bool:
        """Whether the store is in step."""
        return not self.todo and not self.gone

    def of(self, status: Status) -> list[File]:
        """The files that are new, changed or touched."""
        return [file for file, told in self.todo if told == status]


def make_plan(paths: Sequence[str | Path], manifest: Manifest, options: IndexOptions) -> Plan:
    """Compares files with the manifest: by size and time, and where these differ by content.

    Files that went from below the paths are gone; those that the options only leave out are left as they are.

    Raises:
        InputError: a path that isn't there, or a file named outright of a kind that isn't indexed.
    """
    base = manifest.base
    found = walk(paths, options.selection, base=base, suffixes=READERS)
    todo: list[tuple[File, Status]] = []
    items, broken = 0, [Broken(*told) for told in found.broken]
    for name, file in found.files.items():
        known = manifest.files.get(name)
        status = _status(file, known, manifest, options)
        if known is not None and status is None:
            items += known.items
            broken += known.broken
        elif status is not None:
            todo.append((file, status))
    gone = [name for name in _below(paths, manifest) if name not in found.files and _is_gone(base.path(name))]
    return Plan(todo, gone, len(found.files) - len(todo), items, found.skipped, tuple(broken))


def _status(file: File, known: Indexed | None, manifest: Manifest, options: IndexOptions) -> Status | None:
    if known is None:
        return "new"
    if known.pending or known.reading != options.reading(file, manifest):
        return "changed"
    if file.suffix in ROWS and not all(seen.unchanged for seen in manifest.pictures(file.name)):
        return "changed"
    if (known.size, known.mtime) == (file.size, file.mtime):
        return None
    try:
        return "touched" if known.size == file.size and digest(file.path) == known.sha256 else "changed"
    except OSError:
        return "changed"  # its reader says what is wrong with it


def _below(paths: Sequence[str | Path], manifest: Manifest) -> Iterator[str]:
    """Names of the manifest that lie below the paths."""
    tops = [os.path.abspath(path) for path in paths]
    folders = tuple(top.rstrip(os.sep) + os.sep for top in tops)
    for name in manifest.files:
        path = str(manifest.base.path(name))
        if path in tops or path.startswith(folders):
            yield name


def _is_gone(path: Path) -> bool:
    """Whether there surely is no such file: one that can't be looked at may still be there."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
