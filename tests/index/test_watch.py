from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
from index_cases import counts, draw

from onespace.errors import MissingExtra
from onespace.index import Indexer
from onespace.index.indexer import Report
from onespace.index.watch import watch
from onespace.store import Store

WAIT = 60


@pytest.fixture
def watched(data: Path, tiny_encoder: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue[Report]]:
    """Reports of a watch over ``data/pics`` in another thread."""
    monkeypatch.setattr("onespace.index.watch.QUIET", 50)
    reports: Queue[Report] = Queue()
    stop = threading.Event()
    with Store.open("pictures.db", tiny_encoder) as store, Indexer(store) as indexer:  # type: ignore[arg-type]

        def run() -> None:
            for report in watch(indexer, ["data/pics"], stop=stop):
                reports.put(report)

        thread = threading.Thread(target=run)
        thread.start()
        yield reports
        stop.set()
        thread.join(WAIT)
        assert not thread.is_alive()


def test_a_folder_is_followed(watched):
    assert counts(watched.get(timeout=WAIT)) == (6, 0, 0, 0)
    draw(Path("data/pics/deep/new.png"), 50)
    assert until(watched, "added", 1)
    Path("data/pics/0.png").unlink()
    assert until(watched, "removed", 1)
    draw(Path("data/pics/1.png"), 51)
    assert until(watched, "changed", 1)


def until(reports: Queue[Report], what: str, count: int) -> bool:
    """Whether runs together did something so many times."""
    while count > 0:
        count -= getattr(reports.get(timeout=WAIT), what)
    return count == 0


def test_watching_needs_a_package(data, tiny_encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with (
        Store.open("pictures.db", tiny_encoder) as store,
        Indexer(store) as indexer,
        pytest.raises(MissingExtra, match=r"pip install 'onespace\[watch\]'"),
    ):
        next(watch(indexer, ["data"], stop=threading.Event()))
