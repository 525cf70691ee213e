"""Streams: drawn by step alone, resumable anywhere, shuffled in a window, held-out rows kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import train_toys

from onespace.errors import InputError
from onespace.train.data import Drawn, Loader, Source
from onespace.types import Image


def lines(path: Path, rows: list[dict[str, object]]) -> Source:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return Source(path)


def numbers(path: Path, count: int, *, name: str = "q") -> Source:
    return lines(path, [{"query": f"{name}{i}", "pos": [f"a{i}", f"b{i}"], "neg": [f"n{i}"]} for i in range(count)])


def asked(drawn: list[Drawn]) -> list[str]:
    return [d.query.text for d in drawn]


def test_a_step_is_the_same_however_it_is_reached(tmp_path: Path) -> None:
    source = numbers(tmp_path / "rows.jsonl", 10)

    def loader(seed: int = 0) -> Loader:
        return Loader([source], batch=4, negatives=1, shuffle=5, seed=seed)

    one = loader()
    whole = [one.draw(step) for step in range(8)]
    assert loader().draw(5) == whole[5]
    assert one.draw(2) == whole[2]
    assert loader(1).draw(0) != whole[0]
    epochs = [query for drawn in whole for query in asked(drawn)]
    assert sorted(epochs[:10]) == sorted(epochs[10:20]) == sorted(f"q{i}" for i in range(10))
    assert epochs[:10] != epochs[10:20]


def test_positives_and_negatives_are_drawn_and_short_rows_filled(tmp_path: Path) -> None:
    rows = [{"query": "q", "pos": ["a", "b"], "neg": ["n"], "pos_scores": [5, 4], "neg_scores": [1]}] * 4
    drawn = Loader([lines(tmp_path / "rows.jsonl", rows)], batch=4, negatives=3).draw(0)
    for d in drawn:
        first = d.candidates[0].text
        assert first in ("a", "b")
        assert [r.text for r in d.candidates[1:]] == ["n", first, first]
        assert d.scores == ({"a": 5.0, "b": 4.0}[first], 1.0, float("-inf"), float("-inf"))
    assert {d.candidates[0].text for d in drawn} == {"a", "b"}


def test_sources_take_turns(tmp_path: Path) -> None:
    sources = [numbers(tmp_path / f"{name}.jsonl", 4, name=name) for name in "xy"]
    loader = Loader(sources, batch=2)
    kinds = [{query[0] for query in asked(loader.draw(step))} for step in range(4)]
    assert kinds == [{"x"}, {"y"}, {"x"}, {"y"}]
    assert sorted(asked(loader.draw(0)) + asked(loader.draw(2))) == ["x0", "x1", "x2", "x3"]


def test_held_out_rows_are_never_learnt_from(tmp_path: Path) -> None:
    numbers(tmp_path / "rows.jsonl", 200)
    source = Source(tmp_path / "rows.jsonl", held=0.25)
    held, learnt = ({e.query.text for e in source.examples(held=h)} for h in (True, False))
    assert not held & learnt
    assert len(held | learnt) == 200
    assert 25 < len(held) < 75


def test_tables_and_folders(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('\ufeffquery,pos_image\n"a, or b",x.png\n\nc,y.png\n', "utf-8")
    table = list(Source(tmp_path / "t.csv").examples())
    assert [(e.query.item, e.positives[0].item) for e in table] == [
        ("a, or b", tmp_path / "x.png"),
        ("c", tmp_path / "y.png"),
    ]
    folder = tmp_path / "pictures"
    (folder / "in").mkdir(parents=True)
    train_toys.draw(train_toys.NAMES[0], 0).save(folder / "in" / "a.png")
    (folder / "in" / "a.txt").write_text("a flag\n", "utf-8")
    (folder / "b.png").write_bytes(b"")
    (beside,) = Source(folder).examples()
    assert (beside.query.item, beside.positives[0].item) == ("a flag", folder / "in" / "a.png")
    (folder / "metadata.csv").write_text("file_name,text\nb.png,nothing\n", "utf-8")
    (listed,) = Source(folder).examples()
    assert (listed.query.item, listed.positives[0].item) == ("nothing", folder / "b.png")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Source(tmp_path / "none.jsonl")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"pass \.jsonl, \.csv or \.tsv"):
        Source(tmp_path / "a.png")
    with pytest.raises(InputError, match="2 rows are fewer than batch=3"):
        Loader([numbers(tmp_path / "few.jsonl", 2)], batch=3)
    (tmp_path / "broken.jsonl").write_text('{"query": "a", "pos": "b"}\n\n{"query"\n', "utf-8")
    with pytest.raises(InputError, match=r"broken.jsonl:3: isn't JSON"):
        list(Source(tmp_path / "broken.jsonl").examples())
    (tmp_path / "latin.csv").write_bytes(b"query,pos\n\xe9,b\n")
    with pytest.raises(InputError, match=r"latin.csv:.*UTF-8"):
        list(Source(tmp_path / "latin.csv").examples())


def test_a_data_uri_stays_one(tmp_path: Path) -> None:
    (e,) = lines(tmp_path / "r.jsonl", [{"text": "a", "image": "data:image/png;base64,AA"}]).examples()
    assert e.positives[0].item == Image("data:image/png;base64,AA")
