"""A process that has everything imported, and for each line of its input runs ``onespace index`` in a fork of itself.

A line is JSON: a working folder, in which ``stderr.txt`` is appended to, a list of arguments, and the number of the
moment around a write at which the fork kills itself (0: it doesn't). The fork's number is printed first, then the ids
of each batch that was acknowledged (``+ [...]``), and ``= CODE`` when it ended by itself. Forks are there to be killed;
a start from nothing would take seconds each.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from sqlite3 import Connection

import torch
import watchfiles  # noqa: F401

from onespace.cli.main import main
from onespace.index import encoding, indexer, readers  # noqa: F401
from onespace.store import Store, edge  # noqa: F401
from onespace.store.log import Log


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def dying(moment: int) -> Callable[[Log], AbstractContextManager[Connection]]:
    """`Log.writing` by which the process ends before, at the end of, or after some write."""
    write, passed = Log.writing, count(1)

    def pass_by() -> None:
        if next(passed) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def writing(self: Log) -> Iterator[Connection]:
        pass_by()
        with write(self) as db:
            yield db
            pass_by()
        pass_by()

    return writing


def child(folder: str, argv: list[str], moment: int) -> int:
    Log.writing = dying(moment)  # type: ignore[method-assign]
    os.chdir(folder)
    os.dup2(os.open("stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    keep = Store.add_encoded

    def keeping(self: Store, *args: object, **options: object) -> object:
        ids = keep(self, *args, **options)  # type: ignore[arg-type]
        say(f"+ {json.dumps(ids)}")
        return ids

    Store.add_encoded = keeping  # type: ignore[method-assign,assignment]
    with contextlib.redirect_stdout(sys.stderr):
        return main(["index", *argv])


def nurse(batch: int) -> None:
    indexer.BATCH = batch
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            code = child(*json.loads(line))
            say(f"= {code}")
            os._exit(code)
        say(str(pid))
        os.waitpid(pid, 0)
        say("ended")


if __name__ == "__main__":
    torch.set_num_threads(1)
    nurse(int(sys.argv[1]))
