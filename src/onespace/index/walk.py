"""Which files there are: below folders and named outright, by their endings, in one order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from onespace.errors import InputError


@dataclass(frozen=True)
class Selection:
    """Which files of a folder are taken. Files that are named outright always are."""

    globs: tuple[str, ...] = ()
    """Patterns of which a file must match one; none lets every file through."""
    exclude: tuple[str, ...] = ()
    """Patterns of which a file, and each folder above it, must match none."""
    recursive: bool = True

    def takes(self, path: str) -> bool:
        """Whether a file is taken, by its path inside the folder.

        A pattern with a slash is held against the whole path, another one against the name alone; ``*`` stands for
        slashes too.

        >>> Selection(globs=("*.png",), exclude=("old/*",)).takes("new/a.png")
        True
        """
        return (not self.globs or _matches(path, self.globs)) and not _matches(path, self.exclude)

    def enters(self, folder: str) -> bool:
        """Whether a folder is looked into, by its path inside the first one; hidden ones aren't."""
        return self.recursive and not folder.rpartition("/")[2].startswith(".") and not _matches(folder, self.exclude)


@dataclass(frozen=True, slots=True)
class File:
    """One file as it was met; ``name`` is its path seen from the base, with forward slashes."""

    path: Path
    name: str
    size: int
    mtime: int
    """Nanoseconds."""
    sha256: str = ""

    @property
    def suffix(self) -> str:
        """The ending, in lower case."""
        return self.path.suffix.lower()


@dataclass
class Found:
    """What a walk came upon."""

    files: dict[str, File] = field(default_factory=dict)
    skipped: int = 0
    """Files of a kind that isn't indexed."""
    broken: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of what could not be looked at."""


@dataclass(frozen=True)
class Base:
    """The folder that names are seen from, so that an item's id is the same wherever a command is run."""

    folder: Path

    def name(self, path: str | Path) -> str:
        """The name of a path: relative with forward slashes, or the whole path when it is on another drive."""
        absolute = os.path.abspath(path)
        try:
            return Path(os.path.relpath(absolute, self.folder)).as_posix()
        except ValueError:
            return Path(absolute).as_posix()

    def seen_from(self, folder: Path) -> str:
        """How a store in a folder notes it: relative, or whole when it is on another drive."""
        folder = folder.absolute()
        return os.path.relpath(self.folder, folder) if self.folder.drive == folder.drive else str(self.folder)

    def path(self, name: str) -> Path:
        """The inverse of `name`."""
        return Path(os.path.normpath(self.folder / name))


def walk(paths: Sequence[str | Path], selection: Selection, *, base: Base, suffixes: Iterable[str]) -> Found:
    """Looks through folders, in the order of names; each file is met once.

    Raises:
        InputError: a path that isn't there, or a file named outright whose ending isn't known.
    """
    found, known = Found(), frozenset(suffixes)
    for path in map(Path, paths):
        if path.is_dir():
            for file in _below(path, selection, found, base):
                _add(file, found, base, known)
        elif not path.exists():
            raise InputError(f"{path} isn't there. Check the path; nothing was changed.")
        elif path.suffix.lower() not in known:
            raise InputError(f"{path}: the ending {path.suffix!r} isn't known. Known are {', '.join(sorted(known))}.")
        else:
            _add(path, found, base, known)
    return found


def _below(folder: Path, selection: Selection, found: Found, base: Base) -> Iterator[Path]:
    def note(error: OSError) -> None:
        found.broken.append((base.name(error.filename), f"can't be looked into ({error.strerror}). Give leave to."))

    for root, folders, files in os.walk(folder, onerror=note):
        inside = Path(os.path.relpath(root, folder))
        folders[:] = sorted(name for name in folders if selection.enters((inside / name).as_posix()))
        for name in sorted(files):
            if not name.startswith(".") and selection.takes((inside / name).as_posix()):
                yield Path(root, name)


def _add(path: Path, found: Found, base: Base, known: frozenset[str]) -> None:
    if path.suffix.lower() not in known:
        found.skipped += 1
        return
    name = base.name(path)
    try:
        name.encode()
        info = path.stat()
    except UnicodeEncodeError:
        found.broken.append((ascii(name), "has a name that isn't text. Rename it."))
        return
    except OSError as error:
        found.broken.append((name, f"can't be looked at ({error.strerror}). Check what it links to."))
        return
    if stat.S_ISREG(info.st_mode):
        found.files.setdefault(name, File(Path(os.path.abspath(path)), name, info.st_size, info.st_mtime_ns))
    else:
        found.skipped += 1


def _matches(path: str, patterns: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)
