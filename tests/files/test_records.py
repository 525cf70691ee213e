from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from onespace.errors import InputError
from onespace.files.records import Record, read_records, to_record
from onespace.types import Image, Pair


def test_a_folder_gives_its_pictures_in_order(tmp_path: Path) -> None:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name in ("z.PNG", "a.jpg", "notes.md", "b/deep/c.webp", "b/a.gif"):
        (tmp_path / name).touch()
    found = [r.item.relative_to(tmp_path).as_posix() for r in read_records([str(tmp_path)]) if isinstance(r.item, Path)]
    assert found == ["a.jpg", "z.PNG", "b/a.gif", "b/deep/c.webp"]


def test_a_text_file_gives_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "titles.txt"
    file.write_bytes("\ufeff一只蓝鲸\n\n  a whale \r\n".encode() + b"\xff\xfe\n")
    first, second, third = read_records([str(file)])
    assert (first.id, first.item) == (f"{file}:1", "一只蓝鲸")
    assert (second.id, second.item) == (f"{file}:3", "a whale")
    assert third.item is None
    assert "UTF-8" in third.problem


def test_rows_of_every_kind(tmp_path: Path) -> None:
    file = tmp_path / "things.jsonl"
    file.write_text(
        '{"text": "a whale", "id": 7}\n{"image": "pics/a.png"}\n{"text": "b", "image": "b.png"}\n'
        '{"image": "data:image/png;base64,AAAA"}\n{"text": ""}\n'
        '{"txt": 1}\n[1]\n{"text": 3}\n{"image": 3}\nnot json\n',
        "utf-8",
    )
    rows = list(read_records([str(file)]))
    assert [r.item for r in rows[:5]] == [
        "a whale",
        tmp_path / "pics/a.png",
        Pair("b", tmp_path / "b.png"),
        Image("data:image/png;base64,AAAA"),
        "",
    ]
    assert [r.id for r in rows[:2]] == ["7", f"{file}:2"]
    assert all(r.item is None for r in rows[5:])
    words = ("neither", "a list", "a int", '"image" is a int', "isn't JSON")
    assert all(word in r.problem for word, r in zip(words, rows[5:], strict=True))


@pytest.mark.parametrize(("data", "items"), [(b"\n a\nb\n", ["a", "b"]), (b'\n{"text": "x"}\n', ["x"]), (b"", [])])
def test_standard_input_is_lines_or_rows(data: bytes, items: list[str]) -> None:
    assert [r.item for r in read_records(["-"], stdin=io.BytesIO(data))] == items


def test_standard_input_must_be_given() -> None:
    with pytest.raises(InputError, match="stdin="):
        list(read_records(["-"]))


def test_a_missing_text_file_is_named() -> None:
    with pytest.raises(InputError, match=r"gone\.txt: No such file"):
        list(read_records(["gone.txt"]))


def test_any_other_file_is_a_picture() -> None:
    assert list(read_records(["gone.png"])) == [Record("gone.png", Path("gone.png"), image="gone.png")]


def test_a_fingerprint_changes_with_the_picture(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    record = Record("a", file, image=str(file))
    prints = {record.fingerprint}
    file.write_bytes(b"1")
    prints.add(record.fingerprint)
    os.utime(file, ns=(1, 1))
    prints.add(record.fingerprint)
    assert len(prints) == 3


def test_a_row_may_name_the_searches_that_it_answers() -> None:
    def queries(value: object) -> tuple[str, ...]:
        return to_record({"text": "a whale", "query": value}, "x:1", Path()).queries

    assert (queries("sea"), queries(["sea", 7]), queries(None), queries({})) == (("sea",), ("sea", "7"), (), ())
    assert to_record({"image": "a.png", "query": "sea"}, "x:1", Path()).queries == ("sea",)
