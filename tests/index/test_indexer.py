from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from index_cases import CSV, IDS, MARKDOWN, age, assert_same, contents, counts, draw, index, write_pdf

from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.files import salvage
from onespace.index import Columns, Indexer, Selection
from onespace.index.encoding import encode
from onespace.store import SearchOptions, Store, StoreOptions

NAMES = {f"data/{id}" if "/" in id or "#" in id else id for id in IDS}


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many items each call encodes."""
    seen: list[int] = []

    def counting(model: Encoder, items: list[object], **options: object) -> object:
        seen.append(len(items))
        return salvage.salvage(model, items, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("onespace.index.encoding.salvage", counting)
    return seen


def test_a_folder_of_everything(data, tiny_encoder):
    report = index(tiny_encoder)
    assert report.broken == []
    assert counts(report) == (len(NAMES), 0, 0, 0)
    assert contents(tiny_encoder).keys() == NAMES
    with Store.open("pictures.db", tiny_encoder, options=StoreOptions(read_only=True)) as store:
        (row,) = store.iterate({"price": {"gte": 1.0, "lt": 2}})
        assert row.id == "data/things.csv#row=1"
        assert {k: v for k, v in row.metadata.items() if k != "hash"} == {
            "kind": "toy", "row": 1, "sku": 1, "price": 1.5, "path": "data/things.csv",
        }  # fmt: skip
        assert {s.id for s in store.iterate({"kind": "picture"})} == {n for n in NAMES if n.endswith(".png")}
        assert [s.metadata["page"] for s in store.iterate({"path": "data/notes/two.pdf"})] == [1, 2]
        (deep,) = store.get(["data/things.jsonl#row=1"])
        assert (deep.metadata["tags"], deep.metadata["n"], "deep" in deep.metadata) == (["red", "house"], 3, False)
        page, passage, row = store.get(
            ["data/notes/two.pdf#page=2", "data/notes/a.md#passage=1", "data/things.csv#row=1"]
        )
        assert (page.reference.modality, page.reference.text) == ("pair", "the sea")
        assert passage.reference.text == MARKDOWN[passage.metadata["start"] : passage.metadata["end"]].strip()
        assert Path(row.reference.pictures[0].path).samefile("data/pics/0.png")
        best = store.search(Path("data/pics/deep/5.png"), k=1, options=SearchOptions(metric="cosine"))[0]
        assert (best.id, Path(best.path)) == ("data/pics/deep/5.png", Path("data/pics/deep/5.png").absolute())


def test_items_have_the_vectors_that_encode_gives(data, tiny_encoder):
    index(tiny_encoder)
    with Store.open("pictures.db", tiny_encoder, options=StoreOptions(read_only=True)) as store:
        kept = store.vectors(["data/pics/2.png", "data/notes/b.txt#passage=1"])
    expected = tiny_encoder.encode([Path("data/pics/2.png"), "red snow"])
    np.testing.assert_allclose(kept.dense, expected.dense, atol=1e-5)
    np.testing.assert_allclose(kept.multi.values, expected.multi.values, atol=2e-3)


def test_a_second_run_encodes_nothing(data, tiny_encoder, encoded):
    index(tiny_encoder)
    before = contents(tiny_encoder)
    encoded.clear()
    assert counts(index(tiny_encoder)) == (0, 0, 0, len(NAMES))
    assert not encoded
    assert_same(contents(tiny_encoder), before)


def test_changes_are_followed_and_only_they_are_encoded(data, tiny_encoder, encoded):
    index(tiny_encoder)
    encoded.clear()
    draw(Path("data/pics/0.png"), 100)  # a row names it too
    age(Path("data/pics/1.png"), 60)
    Path("data/pics/2.png").unlink()
    draw(Path("data/pics/new.png"), 101)
    shutil.move("data/pics/deep", "data/pics/moved")
    Path("data/notes/a.md").write_text("the red snow.\n\n" + MARKDOWN, "utf-8")
    write_pdf(Path("data/notes/two.pdf"), ["a red house"])
    Path("data/things.csv").write_text(CSV.replace(",20,", ",21,") + "4,mountain,,,\n", "utf-8")
    report = index(tiny_encoder)
    assert not report.broken
    # 0.png and its row, new.png, a page, row 4, and of a.md what isn't there already
    assert sum(encoded) <= 7
    assert_same(contents(tiny_encoder), _fresh(tiny_encoder))
    assert counts(index(tiny_encoder)) == (0, 0, 0, len(contents(tiny_encoder)))


def _fresh(model: Encoder, **options: object) -> dict[str, tuple[np.ndarray, str]]:
    index(model, store="fresh.db", **options)
    return contents(model, "fresh.db")


def test_what_is_there_already_is_copied(data, tiny_encoder, encoded):
    for i in range(3):
        shutil.copy("data/pics/0.png", f"data/copy{i}.png")
    report = index(tiny_encoder, "data/pics/0.png", *(f"data/copy{i}.png" for i in range(3)))
    assert (report.added, encoded) == (4, [1])
    assert len({vectors.tobytes() for vectors, _ in contents(tiny_encoder).values()}) == 1
    encoded.clear()
    shutil.copy("data/pics/0.png", "data/later.png")
    shutil.copy("data/pics/0.png", "data/latest.png")
    assert index(tiny_encoder, "data/later.png", "data/latest.png").added == 2
    assert not encoded


def test_swapped_contents_are_copied_right(data, tiny_encoder, encoded):
    shutil.copy("data/pics/0.png", "data/pics/twin.png")
    index(tiny_encoder, "data/pics")
    encoded.clear()
    one, other = Path("data/pics/0.png").read_bytes(), Path("data/pics/1.png").read_bytes()
    Path("data/pics/0.png").write_bytes(other)
    Path("data/pics/1.png").write_bytes(one)
    shutil.copy("data/pics/1.png", "data/pics/more.png")
    index(tiny_encoder, "data/pics")
    found = contents(tiny_encoder)
    index(tiny_encoder, "data/pics", store="fresh.db")
    assert_same(found, contents(tiny_encoder, "fresh.db"))


def test_parts_of_an_item_are_copied_together(data, tiny_encoder):
    Path("long.jsonl").write_text('{"text": "%s"}\n' % ("the red dragon " * 40) * 3, "utf-8")
    draw(Path("wide/a.png"), 5, side=100)
    shutil.copy("wide/a.png", "wide/b.png")
    with (
        Store.open("parts.db", tiny_encoder, options=StoreOptions(on_loss="chunk")) as store,
        Indexer(store) as indexer,
    ):
        assert indexer.run(["long.jsonl"]).added == 3
        kept = store.vectors([f"long.jsonl#row={i}" for i in (1, 2, 3)])
        assert {len(kept.rows(i)) for i in range(3)} == {4}
        assert np.array_equal(kept.dense[kept.rows(0)], kept.dense[kept.rows(2)])


def test_ids_do_not_depend_on_where_the_command_is_run(data, tiny_encoder, monkeypatch):
    index(tiny_encoder)
    before = contents(tiny_encoder)
    monkeypatch.chdir("data/pics")
    assert counts(index(tiny_encoder, "../../data", store="../../pictures.db")) == (0, 0, 0, len(NAMES))
    assert counts(index(tiny_encoder, ".", store="../../pictures.db")) == (0, 0, 0, 6)
    assert_same(contents(tiny_encoder, "../../pictures.db"), before)


def test_a_store_that_moved_with_its_files_finds_them_again(data, tiny_encoder, encoded, monkeypatch):
    index(tiny_encoder)
    encoded.clear()
    Path("elsewhere").mkdir()
    shutil.move("data", "elsewhere/data")
    shutil.move("pictures.db", "elsewhere/pictures.db")
    monkeypatch.chdir("elsewhere")
    report = index(tiny_encoder)
    assert (report.added, report.removed, sum(encoded)) == (0, 0, 0)
    with Store.open("pictures.db", tiny_encoder, options=StoreOptions(read_only=True)) as store:
        assert Path(store.get(["data/pics/0.png"])[0].reference.pictures[0].path).samefile("data/pics/0.png")


def test_what_is_left_out_stays_and_what_went_goes(data, tiny_encoder):
    index(tiny_encoder)
    Path("data/pics/0.png").unlink()
    report = index(tiny_encoder, selection=Selection(globs=("*.txt",)))
    assert counts(report) == (0, 0, 1, 1)
    shutil.rmtree("data/notes")
    assert index(tiny_encoder, "data/pics").removed == 0
    assert index(tiny_encoder).removed == 11  # the row that names 0.png went too
    with pytest.raises(InputError, match="notes isn't there"):
        index(tiny_encoder, "data/notes")


def test_broken_files_are_told_of_once_read_and_cost_nothing_else(data, tiny_encoder, encoded):
    Path("data/pics/bad.png").write_bytes(b"junk")
    Path("data/notes/bad.pdf").write_bytes(b"%PDF-1.4 junk")
    Path("data/notes/latin.txt").write_bytes(b"caf\xe9")
    with Path("data/things.jsonl").open("a") as file:
        file.write('no json\n[1]\n"text"\n{"image": "lost.png"}\n{"image": "https://host/a.png"}\n{"text": 1}\n')
    Path("data/things.csv").write_text(CSV + "5,a,b,c,d,e\n", "utf-8")
    Path("data/other.csv").write_text("a,b\n1,2\n", "utf-8")
    report = index(tiny_encoder)
    told = {b.name.removeprefix("data/"): b.reason for b in report.broken}
    assert told.keys() == {
        "pics/bad.png", "notes/bad.pdf", "notes/latin.txt", "things.csv#row=4", "other.csv",
        *(f"things.jsonl#row={i}" for i in range(4, 10)),
    }  # fmt: skip
    assert told["pics/bad.png"].startswith("isn't a picture that can be read")
    assert told["notes/bad.pdf"].startswith("isn't a PDF that can be read")
    assert told["notes/latin.txt"] == "isn't utf-8 (byte 3). Save the file as UTF-8."
    assert told["things.csv#row=4"] == "has more cells than the 5 columns of the header."
    assert told["other.csv"].startswith("has no column 'text'; it has 'a', 'b'.")
    assert told["things.jsonl#row=7"].startswith(f"the picture {Path('data/lost.png').absolute()} doesn't exist")
    assert "remote address" in told["things.jsonl#row=8"]
    assert counts(report) == (len(NAMES), 0, 0, 0)
    encoded.clear()
    again = index(tiny_encoder)
    assert (counts(again), again.broken, encoded) == ((0, 0, 0, len(NAMES)), report.broken, [])
    draw(Path("data/pics/bad.png"), 50)
    draw(Path("data/lost.png"), 51)
    mended = index(tiny_encoder)
    assert mended.added == 3
    assert {b.name.removeprefix("data/") for b in mended.broken} == told.keys() - {"pics/bad.png", "things.jsonl#row=7"}


def test_a_file_that_breaks_takes_its_items_along(data, tiny_encoder):
    index(tiny_encoder)
    Path("data/pics/0.png").write_bytes(b"junk")
    Path("data/notes/two.pdf").write_bytes(b"junk")
    report = index(tiny_encoder)
    lost = {"data/pics/0.png", "data/things.csv#row=1", *(f"data/notes/two.pdf#page={i}" for i in (1, 2))}
    assert report.removed == len(lost)
    assert contents(tiny_encoder).keys() == NAMES - lost


def test_what_cannot_be_looked_at_stays(data, tiny_encoder, monkeypatch):
    index(tiny_encoder)
    draw(Path("data/pics/0.png"), 77)

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("onespace.index.indexer.digest", refuse)
        report = index(tiny_encoder)
    assert {b.reason for b in report.broken} == {"can't be read (Permission denied). Check its permissions."}
    assert report.removed == 0
    assert index(tiny_encoder).changed == 2


def test_a_kind_that_needs_a_package_is_tried_again(data, tiny_encoder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "pypdfium2", None)
        report = index(tiny_encoder)
    assert [b.reason for b in report.broken] == [
        "reading PDF needs pypdfium2, which isn't installed. Run: pip install 'onespace[pdf]'"
    ]
    assert index(tiny_encoder).added == 2


def test_columns(data, tiny_encoder):
    Path("shop.csv").write_text("sku;title;file\na1;red;data/pics/0.png\na2;snow;\n;sea;\n", "utf-8-sig")
    columns = Columns.of("text=title,image=file,id=sku")
    assert counts(index(tiny_encoder, "shop.csv", columns=columns)) == (3, 0, 0, 0)
    assert contents(tiny_encoder).keys() == {"a1", "a2", "shop.csv#row=3"}
    assert counts(index(tiny_encoder, "shop.csv")) == (0, 0, 0, 3)  # read as before
    Path("shop.csv").write_text("sku;title;file\na2;snow;\n", "utf-8")
    assert counts(index(tiny_encoder, "shop.csv")) == (0, 1, 2, 0)  # it is row 1 now
    assert counts(index(tiny_encoder, "shop.csv", columns=Columns.of("text=sku"))) == (1, 0, 1, 0)


def test_two_items_cannot_have_one_id(data, tiny_encoder):
    Path("a.jsonl").write_text('{"text": "one", "id": "x"}\n{"text": "two", "id": "x"}\n', "utf-8")
    Path("b.jsonl").write_text('{"text": "three", "id": "x"}\n{"text": "four"}\n', "utf-8")
    report = index(tiny_encoder, "a.jsonl")
    assert [(b.name, b.reason) for b in report.broken] == [
        ("x", "a.jsonl has another item with this id. Give each its own.")
    ]
    report = index(tiny_encoder, "a.jsonl", "b.jsonl")
    assert [b.reason[:7] for b in report.broken] == ["a.jsonl", "a.jsonl"]
    assert contents(tiny_encoder)["x"][1].startswith("one ")
    Path("a.jsonl").unlink()
    Path("c.jsonl").write_text('{"text": "one", "id": "x"}\n', "utf-8")
    Path("b.jsonl").unlink()
    assert counts(index(tiny_encoder, ".", selection=Selection(recursive=False))) == (0, 1, 1, 0)  # it moved
    assert contents(tiny_encoder).keys() == {"x"}


def test_items_of_others_are_left_alone(data, tiny_encoder):
    with Store.open("pictures.db", tiny_encoder) as store:
        store.add(["a whale", "snow"], ids=["data/pics/0.png", "mine"], metadata=[{}, {"path": "data/gone.png"}])
    report = index(tiny_encoder)
    assert [b.reason for b in report.broken] == ["the store has another item with this id. Give each its own."]
    assert contents(tiny_encoder).keys() == NAMES | {"mine"}
    assert contents(tiny_encoder)["data/pics/0.png"][1] == "a whale []"


def test_a_lost_manifest_is_made_of_the_store(data, tiny_encoder, encoded):
    index(tiny_encoder)
    with Store.open("pictures.db", tiny_encoder) as store, store._log.writing() as db:
        db.execute("DROP TABLE files")
        db.execute("DROP TABLE file_pictures")
        db.execute("DELETE FROM meta WHERE name = 'base'")
    encoded.clear()
    Path("data/pics/3.png").unlink()
    assert counts(index(tiny_encoder)) == (0, 0, 1, len(NAMES) - 1)
    assert not encoded


def test_one_way_with_losses_a_store(data, tiny_encoder):
    index(tiny_encoder, on_loss="chunk")
    with pytest.raises(InputError, match="was indexed with on_loss='chunk', not 'warn'"):
        index(tiny_encoder)


def test_a_run_can_be_stopped_and_goes_on(data, tiny_encoder, monkeypatch):
    monkeypatch.setattr("onespace.index.indexer.BATCH", 4)
    for polls in (3, 9):
        with Store.open("pictures.db", tiny_encoder) as store, Indexer(store) as indexer:
            polled = iter([False] * polls)
            assert indexer.run(["data"], stop=lambda polled=polled: next(polled, True)).interrupted
            assert len(store) < len(NAMES)
    assert not index(tiny_encoder).interrupted
    assert_same(contents(tiny_encoder), _fresh(tiny_encoder))


def cut_off(model: Encoder) -> None:
    """A run that ends after the store acknowledged its first batch, and before that was noted."""
    with Store.open("pictures.db", model) as store, Indexer(store) as indexer:
        indexer.manifest.finish = lambda files: 1 / 0  # type: ignore[assignment,method-assign]
        with pytest.raises(ZeroDivisionError):
            indexer.run(["data"])


def test_a_file_that_went_after_a_run_was_cut_off_is_followed(data, tiny_encoder):
    cut_off(tiny_encoder)
    assert "data/pics/0.png" in contents(tiny_encoder)
    Path("data/pics/0.png").unlink()
    index(tiny_encoder)
    assert contents(tiny_encoder).keys() == NAMES - {"data/pics/0.png", "data/things.csv#row=1"}


def test_a_file_that_came_back_after_a_run_was_cut_off_is_read_again(data, tiny_encoder):
    index(tiny_encoder)
    before = contents(tiny_encoder)
    shutil.copytree("data", "copy", copy_function=shutil.copy2)
    draw(Path("data/pics/0.png"), 70)
    cut_off(tiny_encoder)
    shutil.rmtree("data")
    shutil.copytree("copy", "data", copy_function=shutil.copy2)
    index(tiny_encoder)
    assert_same(contents(tiny_encoder), before)


def test_batches_may_come_back_in_any_order(data, tiny_encoder, monkeypatch):
    monkeypatch.setattr("onespace.index.indexer.BATCH", 4)
    shutil.copy("data/pics/0.png", "data/pics/twin.png")
    with Store.open("pictures.db", tiny_encoder) as store, Indexer(store) as indexer:
        plan = indexer.start(indexer.plan(["data"]))
        for batch in reversed(list(indexer.batches(plan))):
            indexer.take(batch, encode(tiny_encoder, batch))
        indexer.remove_gone(plan)
        assert indexer.plan(["data"]).nothing
    assert_same(contents(tiny_encoder), _fresh(tiny_encoder))


def test_searches_go_on_while_a_batch_is_encoded(data, tiny_encoder):
    index(tiny_encoder, "data/notes")
    entered, go = threading.Event(), threading.Event()

    class Waiting:
        module = tiny_encoder.engine.module  # type: ignore[attr-defined]

        def run(self, batch: object, heads: object) -> object:
            if threading.current_thread().name == "indexing":
                entered.set()
                assert go.wait(30)
            return tiny_encoder.engine.run(batch, heads)  # type: ignore[arg-type]

    model = Encoder(tiny_encoder.spec, tiny_encoder.tokenizer, Waiting())  # type: ignore[arg-type]
    with Store.open("pictures.db", model) as store, Indexer(store) as indexer:
        thread = threading.Thread(target=lambda: indexer.run(["data"]), name="indexing")
        thread.start()
        assert entered.wait(30)
        for options in (SearchOptions(), SearchOptions(exact_below=0)):
            assert len(store.search("red whale", k=3, options=options)) == 3
        with Store.open("pictures.db", tiny_encoder, options=StoreOptions(read_only=True)) as beside:
            assert len(beside.search("red whale", k=3)) == 3
        assert thread.is_alive()
        go.set()
        thread.join()
    assert contents(tiny_encoder).keys() == NAMES


def test_a_model_of_texts_alone_tells_of_the_pictures(data, tiny_encoder):
    spec = tiny_encoder.spec
    texts = replace(spec, name="texts", image=None, pixels=None, trained=("text/dense", "text/sparse", "text/multi"))
    model = Encoder(texts, tiny_encoder.tokenizer, tiny_encoder.engine)
    report = index(model)
    assert {b.name for b in report.broken} == {
        n for n in NAMES if n.endswith((".png", "row=1", "row=3")) and "jsonl" not in n
    }
    assert "data/notes/two.pdf#page=1" in contents(model)


@pytest.mark.parametrize("target", ["milvus:lite.db", "qdrant::memory:"])
def test_other_homes(data, tiny_encoder, target):
    pytest.importorskip({"m": "milvus_lite", "q": "qdrant_client"}[target[0]])
    with Store.open(target, tiny_encoder) as store, Indexer(store) as indexer:
        assert counts(indexer.run(["data"])) == (len(NAMES), 0, 0, 0)
        Path("data/pics/0.png").unlink()
        assert counts(indexer.run(["data"])) == (0, 0, 2, len(NAMES) - 2)  # the row that names it went too
        assert len(store.search("red", k=50, options=SearchOptions(exact_below=0))) == len(NAMES) - 2
