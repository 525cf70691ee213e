from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PILImage

from onespace.errors import InputError
from onespace.evaluate.beir import read_beir, write_beir
from onespace.evaluate.readers import read_tasks
from onespace.evaluate.tables import read_rows
from onespace.evaluate.tasks import Classification, Retrieval, Sts
from onespace.types import Pair


def rows(path: Path, values: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in values), "utf-8")
    return path


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": "d1", "title": "Whales", "text": "live at sea"}, {"_id": "d2", "text": "a dragon"}]
    rows(folder / "corpus.jsonl", [*documents, {"_id": "d3", "image": "a.png"}])
    queries = [("q1", "whale"), ("d2", "dragon"), ("q3", "unjudged"), ("q4", "judged as nothing")]
    rows(folder / "queries.jsonl", [{"_id": name, "text": text, "language": "en"} for name, text in queries])
    lines = ("query-id\tcorpus-id\tscore", "q1\td1\t2", "q1\td3\t1", "d2\td3\t1", "q4\td1\t0", "q1\tgone\t1")
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines))
    return folder


def test_beir(beir: Path) -> None:
    (task,) = read_tasks(beir)
    assert isinstance(task, Retrieval)
    assert task.name == "tiny"
    assert list(task.documents) == ["Whales live at sea", "a dragon", beir / "a.png"]
    assert list(task.queries) == ["whale", "dragon"]
    assert list(task.answers) == [{0: 2.0, 2: 1.0}, {2: 1.0}]
    assert list(task.left_out) == [-1, 1]  # a document of the query's own id isn't ranked
    assert list(task.languages) == ["en", "en"]
    assert "1 judgements" in task.notes[0]


def test_qrels_without_a_header_or_with_four_columns(beir: Path) -> None:
    (beir / "qrels" / "dev.tsv").write_text("q1\t0\td2\t1\nq1\t0\td1\t0\n")
    assert list(read_beir(beir, split="dev").answers) == [{1: 1.0}]


@pytest.mark.parametrize(
    ("split", "text", "words"),
    [
        ("none", None, "Splits in .*: test"),
        ("bad", "q1\td1\t1\nq1\td1\tyes\n", "bad.tsv:2"),
        ("no", "x\ty\t1", "no query"),
    ],
)
def test_what_is_wrong_in_qrels_is_said(beir: Path, split: str, text: str | None, words: str) -> None:
    if text is not None:
        (beir / "qrels" / f"{split}.tsv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_tasks(beir, split=split)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    picture = tmp_path / "a b.png"
    task = Retrieval(
        "again",
        ["a text\twith a tab", picture, Pair("both", picture)],
        ["one", Pair("two", picture)],
        [{0: 1.0, 2: 2.5}, {1: 1.0}],
        languages=["en", "zh"],
        groups=[1, 0],
        names=(["d\t1", 'd"2', "d 3"], ["q1", "鲸"]),
    )
    back = read_beir(write_beir(task, tmp_path / "again"))
    assert back == Retrieval(**{**vars(task), "left_out": ()})
    with pytest.raises(InputError, match="d0 holds a picture in memory"):
        write_beir(Retrieval("t", [PILImage.new("RGB", (2, 2))], ["q"], [{0: 1.0}]), tmp_path / "no")


def test_captions_give_both_ways_and_a_search_in_each_language(tmp_path: Path) -> None:
    table = [("a.png", "a whale", "en"), ("b.png", "a dragon", "en"), ("a.png", "鲸鱼", "zh"), ("a.png", "big", "en")]
    path = rows(tmp_path / "c.jsonl", ({"image": i, "caption": c, "language": x} for i, c, x in table))
    forth, english, chinese = read_tasks(path)
    assert isinstance(forth, Retrieval)
    assert isinstance(english, Retrieval)
    assert isinstance(chinese, Retrieval)
    assert list(forth.documents) == [tmp_path / "a.png", tmp_path / "b.png"]
    assert list(forth.queries) == ["a whale", "a dragon", "鲸鱼", "big"]
    assert list(forth.answers) == [{0: 1.0}, {1: 1.0}, {0: 1.0}, {0: 1.0}]
    assert forth.groups == [0, 1, 0, 0]
    assert english.name == chinese.name != forth.name
    assert list(english.documents) == ["a whale", "a dragon", "big"]
    assert list(english.answers) == [{0: 1.0, 2: 1.0}, {1: 1.0}]
    assert (list(chinese.documents), list(chinese.queries)) == (["鲸鱼"], [tmp_path / "a.png"])


def test_csv_and_lists_of_captions(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('﻿image,caption\na.png,"a whale, blue"\n', "utf-8")
    assert read_tasks(tmp_path / "c.csv")[0].queries == ["a whale, blue"]  # type: ignore[union-attr]
    path = rows(tmp_path / "m.jsonl", [{"file_name": "a.png", "captions": ["one", "two"]}])
    assert read_tasks(path)[0].queries == ["one", "two"]  # type: ignore[union-attr]


def test_composed(tmp_path: Path) -> None:
    values = [("a.png", "in red", "b.png"), ("b.png", "in blue", ["a.png", "c.png"]), ("c.png", "the same", "c.png")]
    path = rows(tmp_path / "x.jsonl", ({"image": i, "text": t, "target": x} for i, t, x in values))
    (task,) = read_tasks(path)
    assert isinstance(task, Retrieval)
    assert task.queries[0] == Pair("in red", tmp_path / "a.png")
    assert list(task.documents) == [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    assert list(task.answers) == [{1: 1.0}, {0: 1.0, 2: 1.0}, {2: 1.0}]
    assert list(task.left_out) == [0, 1, -1]


def test_sts(tmp_path: Path) -> None:
    lines = "sentence1\tsentence2\tscore\tlang\na\tb\t4.5\ten\nc\td\t1\ten\ne\tf\t0\tzh\n"
    (tmp_path / "s.tsv").write_text(lines)
    assert read_tasks(tmp_path / "s.tsv") == [
        Sts("s", ["a", "c", "e"], ["b", "d", "f"], [4.5, 1, 0], languages=["en", "en", "zh"])
    ]
    (tmp_path / "s.tsv").write_text(lines.replace("4.5", "high"))
    with pytest.raises(InputError, match=r"s.tsv:2: 'high' isn't a number"):
        read_tasks(tmp_path / "s.tsv")


def test_a_folder_a_class(tmp_path: Path) -> None:
    for name in ("blue_whale", "dragon"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.png").touch()
    (task,) = read_tasks(tmp_path / "set")
    assert isinstance(task, Classification)
    assert (dict(task.classes), dict(task.templates)) == ({"": ["blue whale", "dragon"]}, {"": ["{}"]})
    assert list(task.labels) == [0, 1]
    about = {
        "names": {"blue_whale": {"en": "whale", "zh": "鲸"}, "dragon": {"en": "dragon", "zh": "龙"}},
        "templates": {"en": ["a {}", "{}"]},
    }
    (tmp_path / "set" / "classes.json").write_text(json.dumps(about))
    (task,) = read_tasks(tmp_path / "set")
    assert isinstance(task, Classification)
    assert dict(task.classes) == {"en": ["whale", "dragon"], "zh": ["鲸", "龙"]}
    assert dict(task.templates) == {"en": ["a {}", "{}"], "zh": ["{}"]}
    del about["names"]["dragon"]["zh"]  # type: ignore[attr-defined]
    (tmp_path / "set" / "classes.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="lacks the name of dragon in zh"):
        read_tasks(tmp_path / "set")
    (tmp_path / "set" / "classes.json").write_text("[1]")
    with pytest.raises(InputError, match="must be"):
        read_tasks(tmp_path / "set")


def test_what_cant_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="isn't there"):
        read_tasks(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no corpus\.jsonl"):
        read_tasks(tmp_path)
    with pytest.raises(InputError, match="layout='x'"):
        read_tasks(tmp_path, layout="x")  # type: ignore[arg-type]
    for name, text, words in (
        ("a.pdf", "", "isn't a table"),
        ("b.jsonl", "", "no rows"),
        ("c.jsonl", '{"a": 1}', "has the columns a"),
        ("d.jsonl", "{", "d.jsonl:1 isn't JSON"),
        ("e.jsonl", "[1]", "is a list"),
        ("f.csv", 'image,caption\na,"b\n', "unexpected end of data"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=words):
            read_tasks(tmp_path / name)
    (tmp_path / "g.csv").write_bytes(b"image,caption\na.png,\xff\n")
    with pytest.raises(InputError, match="isn't UTF-8"):
        list(read_rows(tmp_path / "g.csv"))
    with pytest.raises(InputError, match="has no 'image'"):
        read_tasks(rows(tmp_path / "h.jsonl", [{"image": "a.png", "caption": "x"}, {"caption": "y"}]))
