"""What a Qdrant cluster is asked over REST, call by call, against a server that writes everything down."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from onespace.store.engine import Layout, Row
from onespace.store.filters import Filter

pytest.importorskip("qdrant_client")

from onespace.store.qdrant import Cluster, QdrantEngine

DONE = {"operation_id": 0, "status": "completed"}
ANSWERS = {
    "GET /collections/things/exists": {"exists": False},
    "PUT /collections/things": True,
    "PUT /collections/things/points?wait=true": DONE,
    "POST /collections/things/points/delete?wait=true": DONE,
    "POST /collections/things/points/count": {"count": 7},
    "POST /collections/things/points/query": {"points": [{"id": i, "version": 0, "score": 0.5} for i in (3, 1)]},
    "DELETE /collections/things": True,
}


class Recorder(BaseHTTPRequestHandler):
    calls: list[tuple[str, object, str | None]]

    def answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        call = f"{self.command} {self.path}"
        self.calls.append((call, body, self.headers.get("api-key")))
        content = json.dumps({"result": ANSWERS[call], "status": "ok", "time": 0.0}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[tuple[int, list[tuple[str, object, str | None]]]]:
    calls: list[tuple[str, object, str | None]] = []
    handler = type("Handler", (Recorder,), {"calls": calls})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield http.server_port, calls
        http.shutdown()
        thread.join()


def test_the_calls_of_a_collection(server):
    port, calls = server
    cluster = Cluster("127.0.0.1", port, "things", shards=3, replicas=2)
    engine = QdrantEngine(cluster, Layout(2, 10))
    assert [call for call, _, _ in calls] == ["GET /collections/things/exists", "PUT /collections/things"]
    made = calls[1][1]
    assert made["vectors"] == {"dense": {"size": 2, "distance": "Cosine"}}
    assert made["sparse_vectors"] == {"sparse": {}}
    assert (made["shard_number"], made["replication_factor"]) == (3, 2)

    half = np.array([0.5, -0.5], np.float32)
    engine.upsert([Row(1, half, np.array([4]), half[:1], {"kind": "a"}), Row(2, half, np.array([]), half[:0], {})])
    points = calls[-1][1]["points"]
    assert points[0] == {
        "id": 1,
        "vector": {"dense": [0.5, -0.5], "sparse": {"indices": [4], "values": [0.5]}},
        "payload": {"metadata": {"kind": "a"}},
    }
    assert points[1]["vector"] == {"dense": [0.5, -0.5]}

    engine.delete([1, 2])
    assert calls[-1][1] == {"points": [1, 2]}
    assert engine.count() == 7
    assert calls[-1][1] == {"exact": True}

    filter = Filter.of({"kind": ["a", True], "n": {"gte": 2, "lt": 3}, "day": {"gte": "2026"}, "m": 4})
    assert engine.dense(half, k=5, filter=filter) == [3, 1]
    asked = calls[-1][1]
    assert (asked["query"], asked["using"], asked["limit"], asked["with_payload"]) == (
        {"nearest": [0.5, -0.5]},
        "dense",
        5,
        False,
    )
    key = {name: f'metadata."{name}"' for name in ("kind", "n", "m")}
    kinds = [{"key": key["kind"], "match": {"value": value}} for value in ("a", True)]
    assert asked["filter"] == {
        "must": [
            {"should": kinds},
            {"should": [{"key": key["n"], "range": {"gte": 2.0, "lt": 3.0}}]},
            {"should": [{"key": key["m"], "range": {"gte": 4.0, "lte": 4.0}}]},
        ]
    }
    assert engine.sparse(np.array([4]), half[:1], k=5) == [3, 1]
    assert calls[-1][1]["query"] == {"nearest": {"indices": [4], "values": [0.5]}}
    before = len(calls)
    assert engine.sparse(np.array([]), half[:0], k=5) == []
    assert len(calls) == before
    engine.clear()
    assert [call for call, _, _ in calls[before:]] == ["DELETE /collections/things", "PUT /collections/things"]
    engine.close()


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_the_key_goes_with_every_call(server):
    port, calls = server
    QdrantEngine(Cluster("127.0.0.1", port, "things", api_key="secret"), Layout(2, 0)).close()
    assert {key for _, _, key in calls} == {"secret"}
