"""Search, explanations that add up, items and the map, over a real store."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image as PILImage
from serving import serving, uri

from onespace.store import Store, StoreOptions
from onespace.types import Pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_encoder, pictures) -> Path:
    """A store of texts, pictures (one of them a file) and a pair."""
    root = tmp_path_factory.mktemp("store")
    pictures[0].save(root / "noise.png")
    with Store.open(root / "pictures.db", tiny_encoder) as store:
        store.add(
            ["sea whale", "red dragon", root / "noise.png", Pair("house by the lake", pictures[1])],
            ids=["t", 7, "file", "pair"],
            metadata=[{"kind": "text"}, {"kind": "text", "caption": "A dragon"}, {"kind": "picture"}, {}],
        )
    return root / "pictures.db"


@pytest.fixture(scope="module")
def shelf(folder, tiny_encoder) -> Iterator[httpx.Client]:
    with Store.open(folder, tiny_encoder) as store, serving(tiny_encoder, store=store) as client:
        yield client


def test_search_by_text_picture_and_both_gives_what_the_store_gives(shelf, pictures):
    image = uri(pictures[1])
    queries = {"sea": {"text": "sea"}, "picture": {"image": image}, "both": {"text": "lake", "image": image}}
    items = {"sea": "sea", "picture": pictures[1], "both": Pair("lake", pictures[1])}
    for name, body in queries.items():
        told = shelf.post("/search", json=body | {"k": 3, "explain": True}).json()
        want = shelf.service.store.search(items[name], k=3)
        assert [hit["id"] for hit in told["hits"]] == [found.id for found in want]
        assert [hit["score"] for hit in told["hits"]] == pytest.approx([found.score for found in want], abs=1e-4)
        assert all(sum(hit["parts"].values()) == pytest.approx(hit["score"], abs=1e-5) for hit in told["hits"])
        assert told["receipts"][0]["modality"] == {"sea": "text", "picture": "image", "both": "pair"}[name]


def test_search_takes_filters_pages_and_modes(shelf):
    found = shelf.post("/search", json={"text": "sea", "filter": {"kind": "text"}}).json()["hits"]
    assert {hit["id"] for hit in found} == {"t", 7}
    assert [hit["caption"] for hit in found if hit["id"] == 7] == ["A dragon"]
    whole = shelf.post("/search", json={"text": "sea", "mode": "cosine"}).json()["hits"]
    page = shelf.post("/search", json={"text": "sea", "mode": "cosine", "offset": 1, "k": 2}).json()["hits"]
    assert [hit["id"] for hit in page] == [hit["id"] for hit in whole[1:3]]
    wrong = shelf.post("/search", json={"text": "sea", "filter": {"year": {"near": 1}}})
    assert wrong.status_code == 400
    assert "near" in wrong.json()["error"]["message"]
    assert shelf.post("/search", json={}).status_code == 400


@pytest.mark.parametrize("mode", [None, "blend", "cosine", "lexical", "maxsim"])
@pytest.mark.parametrize("id", ["t", 7, "file", "pair"])
def test_an_explanation_adds_up_to_the_score_of_the_hit(shelf, pictures, id, mode):
    for query in ({"text": "sea by the lake"}, {"image": uri(pictures[2])}):
        hits = shelf.post("/search", json=query | {"mode": mode, "k": 9}).json()["hits"]
        told = shelf.post("/explain", json={"query": query, "id": id, "mode": mode}).json()
        score = next(hit["score"] for hit in hits if hit["id"] == id)
        assert told["score"] == pytest.approx(score, abs=1e-4)
        assert told["sum"] == pytest.approx(told["score"], abs=1e-5, rel=1e-5)
        assert sum(told["shares"].values()) == pytest.approx(told["sum"])
        assert sum(part["score"] for part in told["parts"]) == pytest.approx(told["sum"])


def test_an_item_in_parts_is_explained_by_its_best(tmp_path, tiny_encoder):
    text = "sea whale " * 40 + "the red dragon flies over the snow mountain"
    with Store.open(tmp_path / "long.db", tiny_encoder, options=StoreOptions(on_loss="chunk")) as store:
        store.add([text], ids=["long"])
        with serving(tiny_encoder, store=store) as client:
            (hit,) = client.post("/search", json={"text": "red dragon mountain", "explain": True}).json()["hits"]
            told = client.post("/explain", json={"query": "red dragon mountain", "id": "long"}).json()
    assert hit["span"][0] > 0
    assert told["score"] == pytest.approx(hit["score"], abs=1e-3)


def test_a_heat_map_has_the_shape_of_the_picture(shelf, pictures):
    for id, size in (("file", pictures[0].size), ("pair", pictures[1].size)):
        told = shelf.post("/explain", json={"query": "sea", "id": id}).json()
        assert tuple(told["size"]) == pytest.approx(size, abs=1)
        drawn = PILImage.open(io.BytesIO(base64.b64decode(told["heat_map"].partition(",")[2])))
        assert drawn.mode == "RGBA"
        assert drawn.width / drawn.height == pytest.approx(size[0] / size[1], rel=0.05)
        assert told["box"] is not None
        assert told["cells"]
    assert shelf.post("/explain", json={"query": "sea", "id": "t"}).json()["heat_map"] is None
    assert shelf.post("/explain", json={"query": "sea", "id": "none"}).status_code == 404


def test_items_are_paged_and_shown_without_their_paths(shelf, folder):
    first = shelf.get("/items", params={"limit": 3}).json()
    rest = shelf.get("/items", params={"limit": 3, "after": first["next"]}).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == ["t", 7, "file", "pair"]
    assert first["total"] == 4
    assert rest["next"] is None
    assert [one["caption"] for one in first["items"]] == ["sea whale", "A dragon", "noise.png"]
    assert str(folder.parent) not in shelf.get("/items").text
    assert shelf.get("/items/7").json()["caption"] == "A dragon"
    assert shelf.get("/items/none").status_code == 404
    thumbnail = shelf.get("/items/file/thumbnail")
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert thumbnail.content[:2] == b"\xff\xd8"
    assert shelf.get("/items/t/thumbnail").status_code == 404


def test_the_map_shows_every_item(shelf):
    told = shelf.get("/map").json()
    assert [point["id"] for point in told["points"]] == ["t", 7, "file", "pair"]
    assert max(abs(point[axis]) for point in told["points"] for axis in "xy") == pytest.approx(1)
    assert shelf.get("/map", params={"method": "tsne"}).status_code == 422


def test_one_map_at_a_time_leaves_threads_for_others(shelf, monkeypatch):
    began, go = threading.Event(), threading.Event()
    draw = shelf.service.atlas.draw

    def slow(method):
        began.set()
        assert go.wait(20)
        return draw(method)

    monkeypatch.setattr(shelf.service.atlas, "draw", slow)
    first = threading.Thread(target=lambda: httpx.get(f"{shelf.base_url}/map", trust_env=False, timeout=20))
    first.start()
    assert began.wait(20)
    refused = [shelf.get("/map") for _ in range(5)]
    assert [reply.status_code for reply in refused] == [429] * 5
    assert shelf.get("/items/t").status_code == 200
    go.set()
    first.join(20)
    assert shelf.get("/map").status_code == 200


def test_items_are_added_found_and_taken_away(tmp_path, tiny_encoder, pictures):
    with Store.open(tmp_path / "new.db", tiny_encoder) as store, serving(tiny_encoder, store=store) as client:
        body = {
            "items": [
                {"text": "sea", "metadata": {"year": 2024, "tags": ["a", "b"]}},
                {"id": 3, "image": uri(pictures[0])},
            ]
        }
        ids = client.post("/items", json=body).json()["ids"]
        assert ids[1] == 3
        assert client.post("/items", json=body).json()["ids"] == ids
        assert len(store) == 2
        assert client.get("/items").json()["items"][0]["metadata"] == {"year": 2024, "tags": ["a", "b"]}
        assert client.post("/search", json={"text": "sea", "filter": {"tags": "b"}}).json()["hits"][0]["id"] == ids[0]
        client.post("/items", json={"items": [{"id": "a/b.pdf#page=3", "image": uri(pictures[1])}]})
        assert client.get("/items/a/b.pdf%23page=3").json()["id"] == "a/b.pdf#page=3"
        assert client.get("/items/a%2Fb.pdf%23page=3/thumbnail").content[:2] == b"\xff\xd8"
        assert client.delete("/items/a/b.pdf%23page=3").json() == {"deleted": 1}
        assert client.delete("/items/3").json() == {"deleted": 1}
        assert client.delete("/items/3").status_code == 404
        twice = client.post("/items", json={"items": [{"text": "x"}, {"text": "x"}]})
        assert twice.status_code == 400
        nested = client.post("/items", json={"items": [{"text": "x", "metadata": {"a": {"b": 1}}}]})
        assert nested.status_code == 422
        assert store.get([3]) == [None]


def test_a_store_that_is_read_only_here_is_searched_and_not_changed(folder, tiny_encoder):
    options = StoreOptions(read_only=True)
    with Store.open(folder, tiny_encoder, options=options) as store, serving(tiny_encoder, store=store) as client:
        assert client.post("/search", json={"text": "sea"}).json()["hits"]
        assert client.get("/info").json()["store"] == {
            "items": 4,
            "heads": ["dense", "sparse", "multi"],
            "read_only": True,
        }
        for reply in (
            client.post("/items", json={"items": ["x"]}),
            client.post("/items", json={"items": [{"text": "x"}]}),
        ):
            assert reply.status_code in (409, 422)
        assert client.delete("/items/t").status_code == 409
        assert len(store) == 4
