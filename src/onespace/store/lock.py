"""One process has a store open for writing; another one is told which."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from onespace.errors import LockedError, StoreError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Lock:
    """Holds ``folder/lock`` until `release`, or until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Raises `LockedError` when another has it, and `StoreError` when the folder can't be written."""
        self.path = folder / "lock"
        try:
            self._file = self.path.open("a+b")
        except OSError as error:
            raise StoreError(
                f"{folder} can't be written ({error.strerror}). Change its permissions, or open the store with "
                "StoreOptions(read_only=True)."
            ) from error
        try:
            _take(self._file.fileno())
        except OSError:
            self._file.seek(0)
            holder = _said(self._file.read())
            self._file.close()
            raise LockedError(
                f"{folder} is open in {holder}. Close it there first; StoreOptions(read_only=True) opens it beside."
            ) from None

    def sign(self) -> None:
        """Writes down who holds it."""
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        self._file.truncate(0)
        self._file.write(json.dumps(holder).encode())
        self._file.flush()

    def release(self) -> None:
        """Lets another take it."""
        self._file.close()


def _take(handle: int) -> None:
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt  # type: ignore[unreachable, unused-ignore]

    os.lseek(handle, 1 << 20, os.SEEK_SET)  # beyond what is written there, so that it can be read
    msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)


def _said(content: bytes) -> str:
    try:
        holder = json.loads(content)
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
