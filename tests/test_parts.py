from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onespace.embeddings import Embeddings
from onespace.errors import InputError
from onespace.parts import Part, Parts

PARTS = Parts.of(
    [0, 0, 1, 2, 2],
    [
        Part(box=(0, 0, 9, 9)),
        Part("cell", (1, 2, 3, 4), picture=1),
        Part(span=(0, 3)),
        *[Part("window", span=(0, 2))] * 2,
    ],
)


def embeddings(parts: Parts | None) -> Embeddings:
    n = 5
    return Embeddings(("image", "image", "text", "text", "text"), dense=np.eye(n, dtype=np.float32), parts=parts)


def test_rows_belong_to_items() -> None:
    e = embeddings(PARTS)
    assert (len(e), e.items) == (5, 3)
    assert [e.rows(i).tolist() for i in range(3)] == [[0, 1], [2], [3, 4]]
    assert e.rows(-1).tolist() == [3, 4]
    with pytest.raises(InputError, match="row 3 is outside the 3 rows"):
        e.rows(3)
    plain = embeddings(None)
    assert (plain.items, plain.rows(4).tolist()) == (5, [4])


def test_some_rows_number_their_items_anew() -> None:
    parts = embeddings(PARTS)[[4, 1, 3]].parts
    assert parts is not None
    assert parts.owner.tolist() == [0, 1, 0]
    assert parts.kind == ("window", "cell", "window")
    assert parts.box(1) == (1, 2, 3, 4)
    assert parts.pictures is not None
    assert parts.pictures.tolist() == [0, 1, 0]
    nothing = embeddings(PARTS)[:0]
    assert (nothing.items, len(nothing)) == (0, 0)


def test_stacking_numbers_items_on_and_takes_whole_ones() -> None:
    both = Embeddings.concatenate([embeddings(PARTS), embeddings(None), embeddings(PARTS)])
    assert both.parts is not None
    assert both.parts.owner.tolist() == [0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 10]
    assert both.items == 11
    assert both.parts.box(5) is None
    assert both.parts.span(5) is None
    assert Embeddings.concatenate([embeddings(None)] * 2).parts is None


@pytest.mark.parametrize("parts", [PARTS, Parts.whole(5), None])
def test_parts_are_saved_and_opened(tmp_path: Path, parts: Parts | None) -> None:
    embeddings(parts).save(tmp_path / "e.npz")
    got = Embeddings.open(tmp_path / "e.npz").parts
    if parts is None:
        assert got is None
        return
    assert got is not None
    assert got.kind == parts.kind
    for name in ("owner", "boxes", "spans", "pictures"):
        np.testing.assert_array_equal(getattr(got, name), getattr(parts, name))
