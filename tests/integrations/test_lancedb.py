"""A table of LanceDB whose vectors the shipped model makes, in its registry by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import onespace
from onespace.demo.experiment import PICTURES
from onespace.families import bge
from onespace.integrations.sentence_transformers import export_sentence_transformers

lancedb = pytest.importorskip("lancedb")
pytestmark = pytest.mark.filterwarnings("ignore")

WHALE, DRAGON = (PICTURES / "whale.png", PICTURES / "dragon.png")


def png(path: Path) -> bytes:
    file = io.BytesIO()
    PILImage.open(path).save(file, "PNG")
    return file.getvalue()


def function(**options: Any) -> Any:
    """From LanceDB's registry."""
    from lancedb.embeddings import get_registry

    from onespace.integrations.lancedb import OnespaceFunction  # which puts it there

    assert get_registry().get("onespace") is OnespaceFunction
    return get_registry().get("onespace").create(**options)


def table(tmp_path: Path, kind: Any, rows: list[Any], **options: Any) -> Any:
    from lancedb.pydantic import LanceModel, Vector

    ours = function(**options)

    class Thing(LanceModel):
        thing: kind = ours.SourceField()
        vector: Vector(ours.ndims()) = ours.VectorField()  # type: ignore[valid-type]

    made = lancedb.connect(tmp_path).create_table("things", schema=Thing)
    made.add([{"thing": row} for row in rows])
    return made


@pytest.mark.parametrize(
    ("kind", "rows", "items", "options"),
    [
        (str, ["a whale", "一条龙"], ["a whale", "一条龙"], {}),
        (bytes, [png(WHALE), png(DRAGON)], [WHALE, DRAGON], {}),
        (str, [str(WHALE), str(DRAGON)], [WHALE, DRAGON], {"images": True}),
    ],
    ids=["texts", "pictures", "paths"],
)
def test_vectors_are_the_librarys(tmp_path: Path, kind: Any, rows: Any, items: Any, options: Any) -> None:
    made = table(tmp_path, kind, rows, **options)
    model = onespace.load()
    kept = np.stack(made.to_arrow()["vector"].to_pylist())
    assert np.allclose(kept, np.asarray(model.encode(items).dense), atol=1e-6)
    opened = lancedb.connect(tmp_path).open_table("things")  # reads the function from the table
    cosines = np.asarray(model.encode(["a dragon"], role="query").dense) @ np.asarray(model.encode(items).dense).T
    found = [row["thing"] for row in opened.search("a dragon").limit(2).to_list()]
    assert found == [rows[i] for i in np.argsort(-cosines[0])]


def test_a_picture_asks(tmp_path: Path) -> None:
    made = table(tmp_path, str, ["a whale", "a dragon"])
    asked = function().compute_query_embeddings(PILImage.open(WHALE))
    assert np.allclose(asked[0], np.asarray(onespace.load().encode([WHALE], role="query").dense)[0], atol=1e-6)
    assert made.search(asked[0]).limit(1).to_list()[0]["thing"] == "a whale"


def test_queries_and_documents_are_marked(tmp_path: Path) -> None:
    encoder = bge.tiny()  # has a prefix for each
    ours = function(name=str(export_sentence_transformers(encoder, tmp_path / "model")))
    asked, kept = ours.compute_query_embeddings("a")[0], ours.compute_source_embeddings(["a"])[0]
    assert np.allclose(asked, np.asarray(encoder.encode(["a"], role="query").dense)[0], atol=1e-6)
    assert np.allclose(kept, np.asarray(encoder.encode(["a"], role="document").dense)[0], atol=1e-6)
