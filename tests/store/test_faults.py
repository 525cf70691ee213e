"""What can go wrong with a disk, an engine, a process or a model, and what is there afterwards."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_cases import IDS, fill, run

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.errors import InputError, LockedError, PassportError, StoreError
from onespace.store import SearchOptions, Store, StoreOptions
from onespace.store.edge import EdgeEngine

ENGINE = SearchOptions(exact_below=0)
WRITER = Path(__file__).parent / "writer.py"


def engine_of(store: Store) -> object:
    assert store._keeper is not None
    return store._keeper.engine


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_a_killed_writer_loses_and_doubles_nothing(tmp_path, tiny_encoder):
    folder, random_ = tmp_path / "pictures.db", random.Random(0)
    acknowledged: set[int] = set()
    first = 0
    for mode in ("", "build", "", "build", ""):
        with run(WRITER, folder, str(first), mode) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "open\n"
            time.sleep(random_.uniform(0.02, 1.2 if mode else 0.4))
            writer.kill()
            said = writer.stdout.read().splitlines(keepends=True)
        acknowledged |= {int(line) for line in said if line.endswith("\n")}
        first = max(acknowledged, default=-1) + 1
    assert acknowledged
    with Store.open(folder, tiny_encoder) as store:
        ids = [item.id for item in store.iterate()]
        assert len(ids) == len(set(ids))
        assert acknowledged <= set(ids)
        assert set(ids) <= set(range(first + 8))  # at most the one batch that was under way
        assert store.count({"id": {"gte": 0}}) == len(ids)
        assert engine_of(store).count() == len(ids)
        rows = engine_of(store).dense(store.vectors([0]).dense[0], k=len(ids))
        assert len(set(rows)) == len(ids)


def test_a_second_writer_is_told_who_has_it(tmp_path, tiny_encoder):
    folder = tmp_path / "pictures.db"
    writer = run(WRITER, folder, "0", "wait")
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(LockedError, match=f"open in process {writer.pid} on "):
            Store.open(folder, tiny_encoder)
        assert writer.stdout.readline() == "0\n"
        with Store.open(folder, tiny_encoder, options=StoreOptions(read_only=True)) as beside:
            assert len(beside.search("whale")) == 8
            with pytest.raises(StoreError, match="read-only"):
                beside.add(["a"])
    finally:
        writer.kill()
        writer.communicate()
    Store.open(folder, tiny_encoder).close()


def test_a_second_store_in_one_process_is_refused_too(open_store):
    open_store()
    with pytest.raises(LockedError):
        open_store()


def test_a_full_disk_keeps_what_was_acknowledged(open_store):
    store = fill(open_store())
    (pages,) = store._log._writer.execute("PRAGMA page_count").fetchone()
    store._log._writer.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(StoreError, match=r"disk is full.*Make room"):
        store.add([f"whale {i}" for i in range(100)])
    assert {hit.id for hit in store.search("red", k=100, options=ENGINE)} == set(IDS)
    store._log._writer.execute("PRAGMA max_page_count = 1000000")
    store.add(["a whale"], ids=["late"])
    store.close()
    assert len(open_store()) == len(IDS) + 1


def test_a_nearly_full_disk_is_not_written(open_store, monkeypatch):
    store = fill(open_store())
    monkeypatch.setattr("onespace.store.keeper.RESERVE", 10**18)
    for call in (lambda: store.add(["late"]), lambda: store.delete("whale"), store.compact):
        with pytest.raises(StoreError, match=r"the disk has \d+ MB left.*Make room"):
            call()
    assert {hit.id for hit in store.search("red", k=100, options=ENGINE)} == set(IDS)
    store.close()
    assert len(open_store().search("red", k=100, options=ENGINE)) == len(IDS)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(open_store, tmp_path):
    fill(open_store()).close()
    folder = tmp_path / "pictures.db"
    modes = {path: path.stat().st_mode for path in [folder, *folder.iterdir()]}
    try:
        for path in modes:
            path.chmod(0o555 if path.is_dir() else 0o444)
        with pytest.raises(StoreError, match="read_only=True"):
            open_store()
        assert len(open_store(read_only=True).search("red", k=100)) == len(IDS)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def test_a_folder_in_a_file_cannot_be_made(tmp_path, tiny_encoder):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StoreError, match="can't be made"):
            Store.open(path, tiny_encoder)


def test_reading_needs_a_store(tmp_path, tiny_encoder):
    with pytest.raises(StoreError, match="holds no store"):
        Store.open(tmp_path / "none", tiny_encoder, options=StoreOptions(read_only=True))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("left", [0.4, 0.9])
def test_a_truncated_log_is_an_error(open_store, tmp_path, left):
    fill(open_store()).close()
    path = tmp_path / "pictures.db" / "log.sqlite"
    os.truncate(path, int(path.stat().st_size * left))
    with pytest.raises(StoreError, match=r"damaged or cut short.*copy back"):
        open_store()


def test_what_is_no_log_is_an_error(open_store, tmp_path):
    (tmp_path / "pictures.db").mkdir()
    (tmp_path / "pictures.db" / "log.sqlite").write_bytes(b"something else" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        open_store()


def test_a_newer_log_is_an_error(open_store):
    store = fill(open_store())
    store._log.set_meta(version="99")
    store.close()
    with pytest.raises(StoreError, match="layout 99; this onespace reads 1"):
        open_store()


def test_a_damaged_engine_is_built_anew(open_store, tmp_path):
    store = fill(open_store())
    before = [(h.id, h.score) for h in store.search("red whale", k=6, options=ENGINE)]
    store.close()
    files = [p for p in sorted((tmp_path / "pictures.db").glob("engine-*/**/*")) if p.is_file() and p.stat().st_size]
    keep = tmp_path / "keep"
    shutil.copytree(tmp_path / "pictures.db", keep)
    for path in [p for p in files if p.suffix == ".json" or p.name in ("id_tracker.mappings", "first-index")][:5]:
        os.truncate(path, path.stat().st_size // 3)
        again = open_store()
        assert [(h.id, h.score) for h in again.search("red whale", k=6, options=ENGINE)] == before
        assert engine_of(again).count() == len(IDS)
        again.close()
        shutil.rmtree(tmp_path / "pictures.db")
        shutil.copytree(keep, tmp_path / "pictures.db")
    for engine in (tmp_path / "pictures.db").glob("engine-*"):
        shutil.rmtree(engine)
    again = open_store()
    assert engine_of(again).count() == len(IDS)
    assert [(h.id, h.score) for h in again.search("red whale", k=6, options=ENGINE)] == before


class Failing:
    """An engine that stops taking rows after some."""

    def __init__(self, engine: object, rows: int) -> None:
        self._engine, self._rows = engine, rows

    def upsert(self, rows: list[object]) -> None:
        self._rows -= len(rows)
        if self._rows < 0:
            raise RuntimeError("no space left on device")
        self._engine.upsert(rows)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)


def test_an_engine_that_fails_is_caught_up_later(home, open_store):
    store = open_store(home)
    assert store._keeper is not None
    engine = store._keeper.engine
    store._keeper.engine = Failing(engine, rows=3)  # type: ignore[assignment]
    store.add(["a whale", "a house"], ids=[0, 1])
    with pytest.raises(StoreError, match=r"engine failed \(no space left on device\).*in the log"):
        store.add(["a lake", "the sea"], ids=[2, 3])
    assert len(store) == 4
    assert {hit.id for hit in store.search("sea", options=SearchOptions(exact=True))} == {0, 1, 2, 3}
    store._keeper.engine = engine
    store.add(["late"], ids=[4])
    assert engine.count() == 5
    assert {hit.id for hit in store.search("sea", options=ENGINE)} == {0, 1, 2, 3, 4}


def test_a_cluster_that_is_not_there(tmp_path, tiny_encoder):
    with pytest.raises(StoreError, match=r"qdrant://127\.0\.0\.1:1/things: the engine failed"):
        Store.open("qdrant://127.0.0.1:1/things", tiny_encoder, options=StoreOptions(log=tmp_path / "log"))


def test_a_collection_of_somebody_else_is_left_alone(tmp_path, tiny_encoder):
    ours = Store.open(f"milvus:{tmp_path / 'a'}", tiny_encoder)
    fill(ours).close()
    shutil.copytree(tmp_path / "a" / "milvus.db", tmp_path / "b" / "milvus.db")
    with pytest.raises(StoreError, match="already holds 6 rows"):
        Store.open(f"milvus:{tmp_path / 'b'}", tiny_encoder)


@pytest.mark.parametrize(
    "target",
    ["", "http://host/name", "qdrant://host", "qdrant://host:x/name", "milvus:", "qdrant:here", "milvus://:1/a"],
)
def test_no_place_for_a_store(target, tiny_encoder):
    with pytest.raises(InputError, match="A store is a folder"):
        Store.open(target, tiny_encoder)


def test_a_closed_store_says_so(open_store):
    store = fill(open_store())
    store.close()
    store.close()
    for call in (lambda: store.add(["a"]), lambda: store.search("a"), store.compact, lambda: len(store)):
        with pytest.raises(StoreError, match="closed"):
            call()


# -- passports ---------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "lock"}


class Drifting:
    """The same engine with a little added to what it gives."""

    def __init__(self, encoder: Encoder, drift: float) -> None:
        self.module = encoder.engine.module  # type: ignore[attr-defined]
        self._engine, self._drift = encoder.engine, drift

    def run(self, batch: object, heads: object) -> dict[str, np.ndarray]:
        out = self._engine.run(batch, heads)  # type: ignore[arg-type]
        return {k: v if v.dtype == bool else (v + self._drift).astype(np.float32) for k, v in out.items()}


def other_weights(encoder: Encoder) -> Encoder:
    import copy

    import torch

    from onespace.engines.torch_engine import TorchEngine

    module = copy.deepcopy(encoder.engine.module)  # type: ignore[attr-defined]
    with torch.no_grad():
        next(p for p in module.parameters() if p.ndim > 1).mul_(-1)
    return Encoder(encoder.spec, encoder.tokenizer, TorchEngine(module, device="cpu"))


def with_margin(encoder: Encoder, margin: float) -> Encoder:
    assert encoder.spec.pixels is not None
    pixels = replace(encoder.spec.pixels, margin=margin)
    return Encoder(replace(encoder.spec, pixels=pixels), encoder.tokenizer, encoder.engine)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_weights, r"weights have the digest .* the largest distance is \d\.\d+ \(allowed"),
        (lambda m: m.with_fit("crop"), "pixels.fit is 'crop', not 'pad'.*largest distance"),
        (lambda m: with_margin(m, 0.08), r"pixels\.margin is 0\.08, not 0\.0\. .*largest distance"),
        (
            lambda m: Encoder(replace(m.spec, document_prefix="passage: "), m.tokenizer, m.engine),
            "document_prefix is 'passage: ', not ''",
        ),
        (lambda m: Encoder(replace(m.spec, name="other"), m.tokenizer, m.engine), "the model is 'other', not 'tiny'"),
        (lambda m: Encoder(m.spec, m.tokenizer, Drifting(m, 0.02)), "give other numbers here.*Go back to the runtime"),
        (lambda m: Encoder(m.spec, m.tokenizer, Drifting(m, float("nan"))), "can't be compared"),
    ],
)
def test_another_model_is_refused_and_nothing_is_written(open_store, tiny_encoder, tmp_path, change, said):
    fill(open_store()).close()
    before = contents(tmp_path / "pictures.db")
    for read_only in (False, True):
        with pytest.raises(PassportError, match=said):
            open_store(model=change(tiny_encoder), read_only=read_only)
    assert contents(tmp_path / "pictures.db") == before
    assert len(open_store().search("whale", k=9)) == len(IDS)


def test_a_passport_from_before_there_were_margins_stands_for_a_model_without_one(open_store, tiny_encoder, tmp_path):
    fill(open_store()).close()
    with closing(sqlite3.connect(tmp_path / "pictures.db" / "log.sqlite")) as db, db:
        (text,) = db.execute("SELECT value FROM meta WHERE name = 'passport'").fetchone()
        passport = json.loads(text)
        assert passport["spec"]["pixels"].pop("margin") == 0
        db.execute("UPDATE meta SET value = ? WHERE name = 'passport'", [json.dumps(passport)])
    with open_store() as store:
        assert len(store.search("whale", k=9)) == len(IDS)
    with pytest.raises(PassportError, match=r"pixels\.margin is 0\.08"):
        open_store(model=with_margin(tiny_encoder, 0.08))


def test_the_same_model_with_other_rounding_is_let_in(open_store, tiny_encoder):
    fill(open_store()).close()
    assert len(open_store(model=Encoder(tiny_encoder.spec, tiny_encoder.tokenizer, Drifting(tiny_encoder, 1e-5)))) == 6


def test_canaries_are_16_of_every_kind(tiny_encoder):
    from onespace.store.passport import canaries, sing

    sung = sing(tiny_encoder, ("dense", "sparse", "multi"))
    assert len(canaries(tiny_encoder)) == 16
    assert {m: sung.modalities.count(m) for m in sung.modalities} == {"text": 8, "image": 4, "pair": 4}
    assert isinstance(sung, Embeddings)


# -- building beside ------------------------------------------------------------------------------------------------


def test_searches_and_changes_go_on_while_the_graph_is_built(open_store, tmp_path):
    store = open_store()
    store.add([f"whale {i}" for i in range(200)], ids=list(range(200)))
    old = engine_of(store)
    store.compact(wait=False)
    builder = store._keeper._builder
    assert builder is not None
    answered = 0
    store.delete([0, 1])
    store.add(["the sea", "whale 2 again"], ids=["new", 2])
    while builder.is_alive():
        assert len(store.search("sea", k=5, options=ENGINE)) == 5
        answered += 1
    assert answered
    assert engine_of(store) is not old
    assert engine_of(store).count() == len(store) == 199
    found = {hit.id for hit in store.search("sea", k=300, options=SearchOptions(exact_below=0, fetch=300))}
    assert found == {item.id for item in store.iterate()}
    store.close()
    assert len(list((tmp_path / "pictures.db").glob("engine-*"))) == 1
    assert engine_of(open_store()).count() == 199


def test_what_changes_after_a_graph_was_built_is_in_it(open_store):
    store = fill(open_store())
    keeper = store._keeper
    store.compact(wait=False)
    while keeper._child is None:
        assert keeper._builder is not None
    with keeper._changing:  # the new engine is taken over only after this
        while keeper._child.poll() is None:
            time.sleep(0.01)
        store.delete(["whale", "dragon"])
        store.add(["late"], ids=["late"])
    keeper.build(wait=True)
    assert engine_of(store).count() == len(store) == len(IDS) - 1


def test_a_build_that_dies_leaves_the_store_whole(open_store, tmp_path):
    store = fill(open_store())
    store.compact(wait=False)
    while store._keeper._child is None:
        assert store._keeper._builder is not None
    store._keeper._child.kill()
    with pytest.raises(StoreError, match="the graph wasn't built"):
        store._keeper.build(wait=True)
    assert len(store.search("red", options=ENGINE)) == len(IDS)
    assert len(list((tmp_path / "pictures.db").glob("engine-*"))) == 1


def test_closing_stops_a_build(open_store, tmp_path):
    store = fill(open_store())
    store.compact(wait=False)
    store.close()
    assert len(list((tmp_path / "pictures.db").glob("engine-*"))) == 1
    assert len(open_store().search("red", options=ENGINE)) == len(IDS)


def test_a_graph_is_built_when_the_store_has_grown(open_store, monkeypatch):
    monkeypatch.setattr("onespace.store.keeper.GROWTH", 5)
    store = open_store()
    old = engine_of(store)
    store.add(["a", "b", "c", "d"])
    assert store._keeper._builder is None
    store.add(["e"])
    builder = store._keeper._builder
    assert builder is not None
    builder.join()
    assert engine_of(store) is not old
    assert not store._keeper.grown()


def test_threads_search_while_others_write(home, open_store):
    store = fill(open_store(home))
    failed: list[BaseException] = []
    done = threading.Event()

    def search() -> None:
        try:
            while not done.is_set():
                assert len(store.search("red whale", k=3, options=ENGINE)) == 3
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(10):
        store.add([f"sea {i}", f"lake {i}"], ids=[100 + i, 200 + i])
        store.delete([100 + i])
    done.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(store) == 16


def test_another_spelling_of_the_path_writes_nothing_again(tmp_path, tiny_encoder, monkeypatch):
    with Store.open(tmp_path / "pictures.db", tiny_encoder) as store:
        store.add(["a whale", "the sea"], ids=["a", "b"])
    written: list[int] = []
    monkeypatch.setattr(EdgeEngine, "upsert", lambda _, rows: written.extend(range(len(rows))))
    monkeypatch.chdir(tmp_path)
    with Store.open("pictures.db", tiny_encoder) as store:
        assert len(store) == 2
    assert not written


def test_milvus_in_a_folder_is_the_stores_own_under_another_spelling(tmp_path, tiny_encoder, monkeypatch):
    pytest.importorskip("milvus_lite")
    monkeypatch.chdir(tmp_path)
    with Store.open("milvus:pictures.db", tiny_encoder) as store:
        store.add(["a whale", "the sea"], ids=["a", "b"])
    with Store.open(f"milvus:{tmp_path}/pictures.db", tiny_encoder) as store:
        assert {hit.id for hit in store.search("a whale", k=2, options=SearchOptions(exact_below=0))} == {"a", "b"}
