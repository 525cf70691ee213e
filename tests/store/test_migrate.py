"""A store moves to another model: what it holds, what serves meanwhile, and what a kill costs."""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest
from mover import other_model
from store_cases import IDS, ITEMS, METADATA, fill, run

import onespace
from onespace.encoder import Encoder
from onespace.errors import InputError, LockedError, PassportError, StoreError
from onespace.store import SearchOptions, Store, StoreOptions
from onespace.store import migrate as moving
from onespace.store.edge import EdgeEngine
from onespace.store.lock import Lock
from onespace.store.log import Log
from onespace.store.migrate import MigrateOptions, migrate
from onespace.store.places import Place

MOVER = Path(__file__).parent / "mover.py"
ENGINE = SearchOptions(exact_below=0)
DROP, WAIT = MigrateOptions(lost="drop"), MigrateOptions(wait=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures.db"


@pytest.fixture
def written(folder: Path, tmp_path: Path, tiny_encoder: Encoder, pictures) -> Path:
    """A store of texts, files and pairs; all of them can be read again."""
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, picture in zip(paths, pictures, strict=False):
        picture.save(path)
    items = ["a whale", "the red house", *paths, onespace.Pair("the sea", paths[0]), onespace.Pair("two", paths[:2])]
    with Store.open(folder, tiny_encoder) as store:
        store.add(items, ids=list(range(len(items))), metadata=[{"n": i} for i in range(len(items))])
    return folder


def same_as_new(folder: Path, tmp_path: Path, items: dict[object, object]) -> None:
    """The store holds what a new one would, made by the other model."""
    model = other_model()
    with Store.open(folder, model) as store, Store.open(tmp_path / "fresh.db", model) as fresh:
        fresh.add(list(items.values()), ids=list(items))  # type: ignore[arg-type]
        assert {item.id for item in store.iterate()} == set(items)
        assert store._keeper is not None
        assert store._keeper.engine.count() == store._log.rows() == fresh._log.rows()
        if items:
            ids = list(items)
            assert store.vectors(ids).dense == pytest.approx(fresh.vectors(ids).dense, abs=1e-5)  # type: ignore[arg-type]
        for query in ("red whale", "the sea"):
            found, wanted = (one.search(query, k=100, options=ENGINE) for one in (store, fresh))
            scores = {hit.id: hit.score for hit in wanted}
            assert {hit.id: hit.score for hit in found} == pytest.approx(scores, abs=2e-3)


def test_a_moved_store_holds_what_a_new_one_would(written, tmp_path, tiny_encoder):
    before = Store.open(written, tiny_encoder)
    items = {i.id: i for i in before.iterate()}
    before.close()
    done = migrate(written, other_model())
    assert (done.items, done.encoded, done.removed, done.lost, done.switched) == (7, 7, 0, {}, True)
    (engine,) = written.glob("engine-*")
    assert engine.name != "engine-first"
    assert not (written / "log.sqlite").exists()
    with Store.open(written, other_model()) as store:
        assert [(i.id, i.metadata, i.reference) for i in store.iterate()] == [
            (i.id, i.metadata, i.reference) for i in items.values()
        ]
        assert store.count({"n": {"gte": 5}}) == 2
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    wanted = ["a whale", "the red house", *paths, onespace.Pair("the sea", paths[0]), onespace.Pair("two", paths[:2])]
    same_as_new(written, tmp_path, dict(enumerate(wanted)))
    with pytest.raises(PassportError, match="the model is 'tiny', not 'other'"):
        Store.open(written, tiny_encoder)


def test_a_store_that_has_moved_is_not_filled_again(written, monkeypatch):
    assert migrate(written, other_model()).switched
    put: list[int] = []
    monkeypatch.setattr(EdgeEngine, "upsert", lambda _, rows: put.extend(range(len(rows))))
    with Store.open(written, other_model()) as store:
        assert len(store) == 7
    assert not put


def test_a_store_that_has_moved_is_left_alone_and_may_move_back(written, tiny_encoder):
    migrate(written, other_model())
    again = migrate(written, other_model())
    assert (again.encoded, again.items, again.switched) == (0, 7, True)
    assert migrate(written, tiny_encoder).switched
    with Store.open(written, tiny_encoder) as store:
        assert len(store) == 7
        assert store.search("a whale", k=1, options=SearchOptions(metric="cosine"))[0].id == 0
    assert len(list(written.glob("model-*"))) == 1


def test_the_old_store_serves_and_changes_meanwhile(written, tmp_path, tiny_encoder):
    """Changes are followed, whichever side of the move they fall on; a store that is open isn't taken from anyone."""
    writer = Store.open(written, tiny_encoder)
    changes = [
        lambda: writer.add(["a late house"], ids=["late"]),
        lambda: writer.add(["another whale"], ids=[0]),  # moved already
        lambda: writer.add(["by the lake"], ids=[6]),  # still to come
        lambda: writer.delete(1),
        lambda: writer.delete(5),
    ]

    def disturb(_: object) -> None:
        if changes:
            changes.pop(0)()
        assert writer.search("whale", k=1)

    moving_now = MigrateOptions(again=disturb)
    done = migrate(written, other_model(), options=moving_now)
    assert not changes
    assert not done.switched
    assert f"process {os.getpid()}" in done.held
    assert writer.search("a late house", k=1, options=SearchOptions(metric="cosine"))[0].id == "late"
    writer.add(["the last"], ids=["last"])
    writer.close()
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    done = migrate(written, other_model())
    assert (done.switched, done.encoded) == (True, 1)
    wanted: dict[object, object] = {2: paths[0], 3: paths[1], 4: paths[2]}
    wanted |= {"late": "a late house", 0: "another whale", 6: "by the lake", "last": "the last"}
    same_as_new(written, tmp_path, wanted)


def test_waiting_follows_until_the_store_is_closed(written, tiny_encoder):
    writer = Store.open(written, tiny_encoder)

    def close_later() -> None:
        time.sleep(0.3)
        writer.add(["late"], ids=["late"])
        time.sleep(1.2)
        writer.add(["later"], ids=["later"])
        writer.close()

    thread = threading.Thread(target=close_later)
    thread.start()
    done = migrate(written, other_model(), options=WAIT)
    thread.join()
    assert (done.switched, done.items, done.held) == (True, 9, "")
    with Store.open(written, other_model()) as store:
        assert None not in store.get(["late", "later"])


def test_a_change_in_the_last_moment_is_followed(written, tiny_encoder, monkeypatch):
    def lock_late(folder: Path) -> Lock:
        with Store.open(written, tiny_encoder) as writer:
            writer.add(["late"], ids=["late"])
        return Lock(folder)

    monkeypatch.setattr(moving, "Lock", lock_late)
    done = migrate(written, other_model())
    assert (done.switched, done.items) == (True, 8)


@pytest.mark.skipif(os.name == "nt", reason="open files stay where they are there")
def test_whoever_searches_the_old_store_goes_on_with_what_is_open(written, tiny_encoder):
    with Store.open(written, tiny_encoder, options=StoreOptions(read_only=True)) as reader:
        before = [(hit.id, hit.score) for hit in reader.search("red whale")]
        assert migrate(written, other_model()).switched
        assert [(hit.id, hit.score) for hit in reader.search("red whale")] == before


# -- what can't be read again ----------------------------------------------------------------------------------------


def test_lost_items_block_the_switch_until_they_are_back(written, tmp_path, tiny_encoder):
    hidden = tmp_path / "hidden.png"
    (tmp_path / "2.png").rename(hidden)
    done = migrate(written, other_model())
    assert (done.switched, done.items, list(done.lost)) == (False, 6, [4])
    assert "2.png" in done.lost[4]
    with Store.open(written, tiny_encoder) as store:
        assert len(store.search("red", k=10)) == 7
    hidden.rename(tmp_path / "2.png")
    done = migrate(written, other_model())
    assert (done.switched, done.items, done.encoded, done.lost) == (True, 7, 1, {})


def test_a_version_that_is_out_of_date_is_no_stand_in(written, tmp_path, tiny_encoder, pictures):
    with Store.open(written, tiny_encoder) as store:
        assert migrate(written, other_model()).items == 7
        pictures[3].save(tmp_path / "new.png")
        store.add([tmp_path / "new.png"], ids=[0])
        (tmp_path / "new.png").unlink()
        done = migrate(written, other_model())
        assert (done.items, list(done.lost)) == (6, [0])
    assert migrate(written, other_model(), options=DROP).items == 6


def test_lost_items_may_be_dropped(written, tmp_path):
    (tmp_path / "0.png").write_bytes(b"not a picture any more")
    (tmp_path / "2.png").unlink()
    done = migrate(written, other_model(), options=DROP)
    assert (done.switched, done.items, set(done.lost)) == (True, 3, {2, 4, 5, 6})
    same_as_new(written, tmp_path, {0: "a whale", 1: "the red house", 3: tmp_path / "1.png"})


def test_the_kept_picture_may_stand_in(folder, tiny_encoder):
    fill(Store.open(folder, tiny_encoder)).close()
    lost = migrate(folder, other_model()).lost
    assert set(lost) == {"grey", "pair"}
    assert all("was given as bytes or pixels" in why for why in lost.values())
    done = migrate(folder, other_model(), options=MigrateOptions(lost="thumbnail"))
    assert (done.switched, done.items, done.lost) == (True, 6, {})
    with Store.open(folder, other_model()) as store:
        assert [item.metadata for item in store.iterate({"kind": "image"})] == [METADATA[4]]
        assert {item.id for item in store.iterate()} == set(IDS)
        grey = store.get(["grey"])[0]
        assert grey is not None
        assert grey.reference.thumbnail is not None
        again = other_model().encode([grey.reference.thumbnail])
        assert store.vectors(["grey"]).dense == pytest.approx(again.dense, abs=1e-5)


def test_items_may_be_made_anew_by_the_caller(folder, tiny_encoder):
    fill(Store.open(folder, tiny_encoder)).close()
    made = dict(zip(IDS, ITEMS, strict=True))
    options = MigrateOptions(again=lambda stored: made[stored.id] if stored.reference.pictures else None)
    assert migrate(folder, other_model(), options=options).switched
    with Store.open(folder, other_model()) as store:
        fresh = other_model().encode(ITEMS)
        assert store.vectors(IDS).dense == pytest.approx(fresh.dense, abs=1e-5)


def test_a_file_that_changed_is_taken_as_it_is_now(written, tmp_path, pictures):
    pictures[3].save(tmp_path / "1.png")
    assert migrate(written, other_model()).switched
    with Store.open(written, other_model()) as store:
        assert store.vectors([3]).dense == pytest.approx(other_model().encode([tmp_path / "1.png"]).dense, abs=1e-5)
        kept = store.get([3])[0]
        assert kept is not None
        assert kept.reference.pictures[0].sha256 == sha256((tmp_path / "1.png").read_bytes()).hexdigest()
        assert store.search(tmp_path / "1.png", k=1, options=SearchOptions(metric="cosine"))[0].id == 3


# -- kills -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9 there")
def test_a_killed_move_goes_on(folder, tmp_path, tiny_encoder):
    items = {i: f"whale {i} by the lake" for i in range(120)}
    with Store.open(folder, tiny_encoder) as store:
        store.add(list(items.values()), ids=list(items))
    random_, moved = random.Random(1), []
    for _ in range(4):
        with run(MOVER, folder) as mover:
            assert mover.stdout is not None
            assert mover.stdout.readline() == "ready\n"
            for _ in range(random_.randint(1, 30)):
                mover.stdout.readline()
            time.sleep(random_.uniform(0, 0.02))
            mover.kill()
        for log in folder.glob("model-*/log.sqlite"):
            half = Log(log, read_only=True)
            moved.append(0 if half.new else half.count())
            half.close()
        with Store.open(folder, tiny_encoder if not (folder / "current").exists() else other_model()) as store:
            assert len(store.search("whale", k=200)) == 120
    assert moved == sorted(moved)
    assert 0 < moved[-1] < 120
    done = migrate(folder, other_model())
    assert done.switched
    assert done.encoded <= 120 - max(moved, default=0)  # what was moved before isn't encoded again
    same_as_new(folder, tmp_path, dict(items))


STEPS = ("engine", "current", "clear")


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_of_the_switch_leaves_one_whole_store(written, tmp_path, tiny_encoder, monkeypatch, step):
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if step == "clear":
            patch.setattr("onespace.store.switch._clear", kill)
        else:
            real = os.replace

            def replace_(source: Path, target: Path) -> None:
                if target.name.startswith(step):
                    kill()
                real(source, target)

            patch.setattr("onespace.store.switch.os.replace", replace_)
        with pytest.raises(Killed):
            migrate(written, other_model())
    switched = step == "clear"
    with Store.open(written, other_model() if switched else tiny_encoder) as store:
        assert len(store.search("red whale", k=10, options=ENGINE)) == 7
    done = migrate(written, other_model())
    assert (done.switched, done.encoded) == (True, 0)
    assert not (written / "log.sqlite").exists()
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    wanted = ["a whale", "the red house", *paths, onespace.Pair("the sea", paths[0]), onespace.Pair("two", paths[:2])]
    same_as_new(written, tmp_path, dict(enumerate(wanted)))
    assert len(list(written.glob("engine-*"))) == 1


def test_two_moves_at_once_are_one_too_many(written, tiny_encoder):
    def second(_: object) -> None:
        with pytest.raises(LockedError):
            migrate(written, other_model())

    assert migrate(written, other_model(), options=MigrateOptions(again=second)).switched


# -- beside ----------------------------------------------------------------------------------------------------------


def test_another_place_is_kept_in_step(written, tmp_path, tiny_encoder):
    out = tmp_path / "new.db"
    done = migrate(written, other_model(), out=out)
    assert (done.items, done.switched, done.store) == (7, False, str(out))
    with Store.open(written, tiny_encoder) as store:
        store.delete([0, 1])
        store.add(["late"], ids=["late"])
        done = migrate(written, other_model(), out=out)  # one that is open is read all the same
        assert (done.items, done.encoded, done.removed) == (6, 1, 2)
    with Store.open(out, other_model()) as store:
        assert {item.id for item in store.iterate()} == {2, 3, 4, 5, 6, "late"}


def test_a_store_that_has_moved_can_be_kept_in_step_elsewhere(written, tmp_path, tiny_encoder):
    migrate(written, other_model())
    for encoded in (7, 0):
        assert migrate(written, tiny_encoder, out=tmp_path / "new.db").encoded == encoded


def test_other_peoples_items_are_left_alone(written, tmp_path):
    with Store.open(tmp_path / "new.db", other_model()) as store:
        store.add(["mine"], ids=["mine"])
    with pytest.raises(InputError, match="holds items that aren't of this move"):
        migrate(written, other_model(), out=tmp_path / "new.db")
    with Store.open(tmp_path / "new.db", other_model()) as store:
        assert [item.id for item in store.iterate()] == ["mine"]


@pytest.mark.skipif(find_spec("milvus_lite") is None, reason="milvus_lite isn't installed")
def test_vectors_elsewhere_are_moved_to_yet_another_place(tmp_path, tiny_encoder):
    old, new = f"milvus:{tmp_path / 'old'}", f"milvus:{tmp_path / 'new'}"
    with Store.open(old, tiny_encoder) as store:
        store.add(["a whale", "the red house"], ids=["a", "b"])
    with pytest.raises(InputError, match="Say with out"):
        migrate(old, other_model())
    assert migrate(old, other_model(), out=new).items == 2
    with Store.open(new, other_model()) as store:
        found = store.search("a whale", k=2, options=replace(ENGINE, metric="cosine"))
        assert [hit.id for hit in found] == ["a", "b"]


# -- what else is in a log -------------------------------------------------------------------------------------------


def test_what_others_keep_in_the_log_is_carried_over(written):
    log = Log(Place.of(written).log)
    with log.writing() as db:
        db.execute("CREATE TABLE files (name TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
        db.execute("CREATE INDEX files_size ON files (size)")
        db.executemany("INSERT INTO files VALUES (?, ?)", [("a", 1), ("b", 2)])
    log.set_meta(base="..")
    log.close()
    assert migrate(written, other_model()).switched
    log = Log(Place.of(written).log)
    assert log.select("SELECT * FROM files ORDER BY name") == [("a", 1), ("b", 2)]
    assert log.select("SELECT name FROM sqlite_schema WHERE name = 'files_size'")
    assert (log.meta("base"), log.count()) == ("..", 7)
    log.close()


def test_items_in_parts_stay_in_parts(folder, tiny_encoder):
    text = "house by the lake " * 30
    with Store.open(folder, tiny_encoder, options=StoreOptions(on_loss="chunk")) as store:
        store.add([text, "a whale"], ids=["long", "short"])
        rows = store._log.rows()
    assert rows > 2
    assert migrate(folder, other_model()).switched
    with Store.open(folder, other_model()) as store:
        assert store._log.rows() == rows
        assert store.search("the lake", k=1, options=SearchOptions(metric="cosine"))[0].span is not None


def test_the_heads_that_were_chosen_stay_chosen(folder, tiny_encoder):
    with Store.open(folder, tiny_encoder, options=StoreOptions(heads=("dense", "sparse"), multi="float32")) as store:
        store.add(["a whale"])
    assert migrate(folder, other_model()).switched
    with Store.open(folder, other_model()) as store:
        assert (store.shape.heads, store.shape.precision) == (("dense", "sparse"), "float32")


def test_many_items_get_their_graph_before_the_switch(folder, tiny_encoder, monkeypatch):
    monkeypatch.setattr(moving.keeper, "GROWTH", 20)
    with Store.open(folder, tiny_encoder, options=StoreOptions(build=False)) as store:
        store.add([f"whale {i}" for i in range(30)])
    assert migrate(folder, other_model()).switched
    with Store.open(folder, other_model()) as store:
        assert int(store._log.meta("built")) == 30
        assert len(store.search("whale", k=30, options=ENGINE)) == 30


# -- refusals --------------------------------------------------------------------------------------------------------


def test_what_cannot_be_moved(written, tmp_path):
    with pytest.raises(StoreError, match="holds no store"):
        migrate(tmp_path / "none.db", other_model())
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "half.db").mkdir()
    (tmp_path / "half.db" / "log.sqlite").touch()
    with pytest.raises(StoreError, match="holds no store yet"):
        migrate(tmp_path / "half.db", other_model())
    with pytest.raises(InputError, match="is the store itself"):
        migrate(written, other_model(), out=written)


def test_an_unfinished_move_of_another_model_is_swept_away(written, tmp_path, tiny_encoder):
    (tmp_path / "2.png").rename(tmp_path / "hidden.png")
    assert not migrate(written, other_model()).switched
    third = onespace.Encoder(replace(tiny_encoder.spec, name="third"), tiny_encoder.tokenizer, tiny_encoder.engine)
    (tmp_path / "hidden.png").rename(tmp_path / "2.png")
    assert migrate(written, third).switched
    assert len(list(written.glob("model-*"))) == 1
    assert migrate(written, other_model()).encoded == 7
