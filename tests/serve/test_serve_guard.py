"""Keys, hosts, origins, headers, limits; and that neither answers nor log lines repeat what was sent."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import serving

from onespace.errors import InputError
from onespace.serve.guard import HEADERS
from onespace.serve.keys import Keys, digest, new_key

SECRET = "zebra-unicorn-secret"
ITEM = {"items": ["sea"]}
CLIENT, ADMIN = new_key(), new_key()


@pytest.fixture(scope="module")
def keyed(tiny_encoder, tmp_path_factory) -> Iterator[httpx.Client]:
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    path.write_text(f"# who may\nreports {digest(CLIENT)}\n\noperator {digest(ADMIN)} admin\n")
    with serving(tiny_encoder, api_keys=str(path)) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# -- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{}, bearer("no"), bearer(CLIENT[:-1]), bearer(digest(CLIENT)), {"Authorization": CLIENT}]
)
def test_without_a_key_that_is_known_nothing_is_told(keyed, headers):
    for method, path in (("POST", "/encode"), ("GET", "/info"), ("GET", "/metrics"), ("GET", "/items"), ("GET", "/x")):
        reply = keyed.request(method, path, headers=headers)
        assert reply.status_code == 401, path
        assert reply.headers["www-authenticate"] == "Bearer"


def test_a_key_may_come_in_either_header(keyed):
    for headers in (bearer(CLIENT), {"x-api-key": CLIENT}):
        assert keyed.post("/encode", json=ITEM, headers=headers).status_code == 200


def test_what_holds_nothing_needs_no_key(keyed):
    assert [keyed.get(path).status_code for path in ("/", "/health", "/docs", "/openapi.json")] == [200] * 4
    assert keyed.get("/page/../keys.py").status_code in (401, 404)


def test_only_an_admin_may_change_the_model(keyed, client):
    for one, headers in ((keyed, bearer(CLIENT)), (client, {})):
        assert one.post("/admin/model", json={}, headers=headers).status_code == 403
    unknown = keyed.post("/admin/model", json={"model": "/etc"}, headers=bearer(ADMIN))
    assert unknown.status_code == 404
    assert "--swap" in unknown.json()["error"]["message"]


def test_the_file_holds_digests_and_says_what_is_wrong_with_it(tmp_path):
    file = tmp_path / "keys.txt"
    for content, told in (
        ("", "no key"),
        ("a b", "line 1"),
        (f"a {digest('x')} root", "line 1"),
        (f"#\na {CLIENT}", "line 2"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=told):
            Keys.read(file)
    with pytest.raises(InputError, match="can't be read"):
        Keys.read(tmp_path / "none.txt")
    file.write_text(f"a {digest(CLIENT)}")
    assert Keys.read(file).find(CLIENT).name == "a"
    assert Keys.read(file).find(ADMIN) is None
    assert CLIENT not in file.read_text()


# -- hosts, pages, headers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"), [("evil.example", 403), ("localhost", 200), ("127.0.0.1:80", 200), ("", 403)]
)
def test_names_that_were_made_to_mean_this_machine_are_refused(client, host, status):
    assert client.get("/info", headers={"Host": host}).status_code == status


def test_pages_of_other_sites_may_not_call(client, tiny_encoder):
    evil = {"Origin": "https://evil.example"}
    assert client.post("/encode", json=ITEM, headers=evil).status_code == 403
    assert "access-control-allow-origin" not in client.get("/info", headers=evil).headers
    own = {"Origin": f"http://{client.base_url.host}:{client.base_url.port}"}
    assert client.post("/encode", json=ITEM, headers=own).status_code == 200
    with serving(tiny_encoder, cors=("https://app.example",), hosts=("api.example",)) as other:
        app = {"Origin": "https://app.example", "Host": "api.example"}
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        assert other.options("/encode", headers=app | asked).headers["access-control-allow-origin"] == app["Origin"]
        reply = other.post("/encode", json=ITEM, headers=app)
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-origin"] == app["Origin"]
        assert other.post("/encode", json=ITEM, headers=evil).status_code == 403


def test_every_answer_has_the_headers(client):
    for reply in (client.get("/"), client.get("/info"), client.get("/none"), client.post("/encode", json={})):
        assert {name: reply.headers.get(name) for name in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy


def test_the_page_and_the_reference_ask_nothing_of_others(client):
    for path in ("/", "/docs"):
        text = client.get(path).text
        assert not [part for part in ("<script>", "style=", "//cdn", "https://") if part in text], path
    document = client.get("/openapi.json").json()
    for path in ("/v1/embeddings", "/v2/embed", "/v1/multimodalembeddings", "/embed", "/rerank", "/encode", "/search"):
        assert "post" in document["paths"][path]
        assert path in client.get("/docs").text


# -- limits ----------------------------------------------------------------------------------------------------------


def test_bodies_are_bounded_whether_their_length_is_said_or_not(tiny_encoder):
    with serving(tiny_encoder, body_bytes=1000) as client:
        large = b'{"items": ["' + b"a" * 5000 + b'"]}'
        json = {"Content-Type": "application/json"}
        assert client.post("/encode", content=large, headers=json).status_code == 413
        assert client.post("/encode", content=iter([large[:900], large[900:]]), headers=json).status_code == 413
        assert client.post("/encode", json=ITEM).status_code == 200
        gate_held = client.get("/metrics").text
        assert 'onespace_refusals_total{reason="body_too_large"} 2.0' in gate_held


def test_all_bodies_together_are_bounded(tiny_encoder):
    with serving(tiny_encoder, queue_bytes=1000) as client:
        reply = client.post("/encode", json={"items": ["a" * 2000]})
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) >= 1
        assert client.post("/encode", json=ITEM).status_code == 200


def test_requests_are_bounded_but_health_is_always_told(tiny_encoder):
    with serving(tiny_encoder, requests=1) as client:
        gate = threading.Event()
        client.service.batcher.call(lambda: gate.wait(20) and None)
        waiting = threading.Thread(target=lambda: httpx.post(f"{client.base_url}/encode", json=ITEM, trust_env=False))
        waiting.start()
        while "onespace_queue_requests 1.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        full = client.post("/v2/embed", json={"texts": ["sea"]})
        assert full.status_code == 429
        assert set(full.json()) == {"message"}
        assert client.get("/health").status_code == 200
        gate.set()
        waiting.join(20)
        assert client.post("/encode", json=ITEM).status_code == 200


def test_items_tokens_and_deadlines_are_bounded(tiny_encoder):
    with serving(tiny_encoder, items=3, queue_tokens=50, vectors=20) as client:
        assert client.post("/embed_all", json={"inputs": "sea whale lake house " * 3}).status_code == 413
        assert client.post("/encode", json={"items": ["sea whale lake house " * 3]}).status_code == 413
        assert client.post("/encode", json={"items": ["sea whale " * 9], "heads": ["dense"]}).status_code == 200
        assert client.post("/embed", json={"inputs": ["a"] * 4}).status_code == 413
        assert client.post("/embed", json={"inputs": ["sea whale lake house " * 3] * 3}).status_code == 413
        gate = threading.Event()
        client.service.batcher.call(lambda: gate.wait(20) and None)
        reply = client.post("/embed", json={"inputs": "sea"}, headers={"X-Deadline-Ms": "50"})
        gate.set()
        assert reply.status_code == 429
        assert reply.json()["error_type"] == "Overloaded"
        assert client.post("/embed", json={"inputs": "sea"}, headers={"X-Deadline-Ms": "x"}).status_code == 422
        assert client.post("/embed", json={"inputs": "sea"}).status_code == 200


def test_a_body_that_trickles_is_given_up(tiny_encoder):
    with serving(tiny_encoder, deadline=0.3) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as slow:
            slow.sendall(b'POST /encode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"items":')
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        assert client.post("/encode", json=ITEM).status_code == 200


# -- what is told ----------------------------------------------------------------------------------------------------


def test_nothing_that_was_sent_is_logged_or_told_again(client, caplog):
    caplog.set_level(logging.DEBUG)
    told = [
        client.post("/encode", json={"items": [SECRET]}).text,
        client.post("/encode", json={"items": [{"image": SECRET}]}).text,
        client.post("/encode", json={"items": SECRET}).text,
        client.post("/search", json={"text": SECRET, "k": SECRET}).text,
        client.get(f"/items/{SECRET}").text,
        client.get(f"/{SECRET}?{SECRET}").text,
        client.post("/encode", content=SECRET, headers={"Content-Type": "application/json"}).text,
        client.get("/metrics").text,
    ]
    assert not [text for text in told[1:] if SECRET in text]
    lines = [record.getMessage() for record in caplog.records if record.name.startswith(("onespace", "uvicorn"))]
    assert any("POST /encode 200" in line for line in lines)
    assert not [line for line in lines if SECRET in line]


def test_what_was_not_foreseen_is_told_to_the_log_by_its_place(tiny_encoder, caplog, monkeypatch):
    with serving(tiny_encoder) as client:

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError(SECRET)

        monkeypatch.setattr(client.service.reader, "read", broken)
        reply = client.post("/encode", json=ITEM)
        assert reply.status_code == 500
        assert reply.json()["error"]["code"] == "internal_error"
        assert "Zero" not in reply.text
        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert [line for line in told if line.startswith("unforeseen ZeroDivisionError at test_serve_guard.py")]
        assert not [line for line in told if SECRET in line]
        monkeypatch.undo()
        assert client.post("/encode", json=ITEM).status_code == 200


def test_metrics_count_tokens_pixels_cuts_and_refusals(tiny_encoder):
    with serving(tiny_encoder) as client:
        client.post("/embed", json={"inputs": "sea " * 100})
        client.post("/embed", json={"inputs": 5})
        text = client.get("/metrics").text
    numbers = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"}
    assert numbers["onespace_tokens_total"] == 40
    assert numbers["onespace_truncated_tokens_total"] == 63
    assert numbers['onespace_refusals_total{reason="invalid_request"}'] == 1
    assert numbers['onespace_requests_total{route="/embed",status="200"}'] == 1
    assert numbers["onespace_batch_items_count"] == 1
    assert numbers["onespace_canary_drift"] == 0
    assert numbers["onespace_queue_tokens"] == 0


def test_no_module_of_the_server_reads_pickles_or_runs_code() -> None:
    import onespace.serve as package

    for path in Path(package.__file__).parent.rglob("*.py"):
        text = path.read_text("utf-8")
        assert not [word for word in ("pickle", "eval(", "exec(", "yaml.load") if word in text], path
