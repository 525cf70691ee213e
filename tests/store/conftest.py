"""Stores in each home, made in a folder of the test's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest

from onespace.encoder import Encoder
from onespace.store import Store, StoreOptions
from onespace.store.engine import Layout
from onespace.store.milvus import MilvusEngine
from onespace.store.places import Place
from onespace.store.qdrant import QdrantEngine

Opener = Callable[..., Store]

HOMES = {"embedded": "qdrant_edge", "qdrant": "qdrant_client", "milvus": "milvus_lite"}
CLUSTER = os.environ.get("ONESPACE_CLUSTER")
"""An address such as ``qdrant://host:6334``: the suite is then run there too, in collections of its own."""


@pytest.fixture(params=[*HOMES, *(["cluster"] if CLUSTER else [])])
def home(request: pytest.FixtureRequest) -> str:
    if request.param in HOMES and find_spec(HOMES[request.param]) is None:
        pytest.skip(f"{HOMES[request.param]} isn't installed")
    return str(request.param)


@pytest.fixture
def open_store(tmp_path: Path, tiny_encoder: Encoder) -> Iterator[Opener]:
    """Opens the one store of a test, again and again; closes what is left open."""
    opened: list[Store] = []
    folder = tmp_path / "pictures.db"
    targets = {"embedded": str(folder), "qdrant": "qdrant::memory:", "milvus": f"milvus:{folder}"}
    targets["cluster"] = f"{CLUSTER}/onespace_test_{uuid4().hex[:12]}"

    def open_(home: str = "embedded", *, model: Encoder = tiny_encoder, **options: object) -> Store:
        store = Store.open(targets[home], model, options=StoreOptions(log=folder, **options))  # type: ignore[arg-type]
        opened.append(store)
        return store

    yield open_
    for store in opened:
        store.close()
    if any(store.place.name.startswith(str(CLUSTER)) for store in opened):
        drop(targets["cluster"])


def drop(target: str) -> None:
    """Takes a test's collection off the cluster."""
    cluster = Place.of(target).cluster
    assert cluster is not None
    if target.startswith("milvus"):
        engine: MilvusEngine | QdrantEngine = MilvusEngine(cluster, Layout(1, 0))
        engine._client.drop_collection(cluster.collection)
    else:
        engine = QdrantEngine(cluster, Layout(1, 0))
        engine._client.delete_collection(cluster.collection)
    engine.close()
