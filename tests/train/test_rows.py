"""Every layout of a row gives the example that it says, and every broken one names its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onespace.errors import InputError
from onespace.train.rows import key, to_example
from onespace.types import Image, Pair

HERE = Path("/data")


def read(row: Any):
    return to_example(row, "rows.jsonl:7", HERE)


def test_flag_embedding_s_rows() -> None:
    row = {"query": "q", "pos": ["a", "b"], "neg": ["c"], "pos_scores": [0.9, 1], "neg_scores": [0.1], "type": "normal"}
    example = read(row)
    assert example.query.item == "q"
    assert [r.item for r in example.positives] == ["a", "b"]
    assert [r.item for r in example.negatives] == ["c"]
    assert (example.positive_scores, example.negative_scores) == ((0.9, 1.0), (0.1,))


def test_visualized_bge_s_rows() -> None:
    example = read({"q_img": "day.png", "q_text": "at night", "positive_value": "night.png", "hn_image": ["noon.png"]})
    assert example.query.item == Pair("at night", HERE / "day.png")
    assert [r.item for r in example.positives] == [HERE / "night.png"]
    assert [r.item for r in example.negatives] == [HERE / "noon.png"]
    text = read({"q_img": None, "q_text": "a whale", "positive_value": "whale.png"})
    assert (text.query.item, text.positives[0].item) == ("a whale", HERE / "whale.png")


def test_captioned_pictures_and_objects() -> None:
    caption = read({"text": "a whale", "image": "whale.png", "id": 3})
    assert (caption.query.item, caption.positives[0].item) == ("a whale", HERE / "whale.png")
    pair = read({"query": {"image": "a.png"}, "pos": {"text": "a", "image": "data:image/png;base64,xx"}})
    assert pair.query.item == HERE / "a.png"
    assert pair.positives[0].item == Pair("a", Image("data:image/png;base64,xx"))


def test_cells_of_a_table() -> None:
    example = read({"query_text": "at night", "query_image": "day.png", "pos_image": "night.png", "neg": ""})
    assert example.query.item == Pair("at night", HERE / "day.png")
    assert example.negatives == ()


def test_a_row_written_is_the_row_read(tmp_path: Path) -> None:
    example = to_example({"q_img": "a.png", "q_text": "t", "pos": ["b", ""], "neg_img": ["c.png"]}, "x:1", tmp_path)
    again = to_example(json.loads(example.to_json()), "y:2", Path("/elsewhere"))
    assert [key(r) for r in (again.query, *again.positives, *again.negatives)] == [
        key(r) for r in (example.query, *example.positives, *example.negatives)
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([1], "is a list, not an object"),
        ({"query": "q"}, 'needs one "query" and a "pos"'),
        ({"query": ["a", "b"], "pos": "c"}, 'needs one "query" and a "pos"'),
        ({"text": "a"}, "It has: text"),
        ({"query": {"picture": "a.png"}, "pos": "b"}, 'has neither "text" nor "image"'),
        ({"query": 3, "pos": "b"}, "is a int, not an object"),
        ({"query": "q", "pos": ["a", "b"], "pos_image": ["c.png"]}, "2 texts and 1 pictures"),
        ({"query": "q", "pos": ["a"], "pos_scores": [1, 2]}, "pos_scores holds 2 numbers for 1 items"),
        ({"query": "q", "pos": ["a"], "pos_scores": ["much"]}, "pos_scores must be numbers"),
    ],
)
def test_a_broken_row_names_its_place(row: Any, words: str) -> None:
    with pytest.raises(InputError, match=r"^rows\.jsonl:7: ") as caught:
        read(row)
    assert words in str(caught.value)
