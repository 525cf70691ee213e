"""Another model takes over between two batches: checked first, and without losing a request."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from serving import serving
from tiny_model import tiny_fused, tiny_spec

from onespace.encoder import Encoder
from onespace.families import mini
from onespace.serve.health import Canaries
from onespace.serve.keys import digest
from onespace.serve.metrics import Metrics
from onespace.store import Store

ADMIN = {"Authorization": "Bearer operator"}


@pytest.fixture(scope="module")
def folders(tiny_encoder, tmp_path_factory) -> tuple[Path, Path, Path]:
    """The tiny model, one of other weights, and the file of keys."""
    root = tmp_path_factory.mktemp("models")
    same, other = mini.save(tiny_encoder, root / "tiny"), mini.save(changed(tiny_encoder), root / "other")
    (root / "keys").write_text(f"operator {digest('operator')} admin")
    return Path(same), Path(other), root / "keys"


def changed(encoder: Encoder) -> Encoder:
    """The same model with other weights."""
    import torch

    other = tiny_fused(tiny_spec())
    with torch.no_grad():
        for parameter in other.engine.module.parameters():  # type: ignore[attr-defined]
            parameter.mul_(0.8 if parameter.ndim > 1 else 1.0)
    return other


def dense(client: httpx.Client) -> list[float]:
    reply = client.post("/embed", json={"inputs": "sea"}, headers=ADMIN)
    assert reply.status_code == 200
    return reply.json()[0]


def test_a_swap_changes_the_vectors_and_loses_no_request(folders, tiny_encoder):
    same, other, keys = folders
    options = {"model": str(same), "swap": (str(other),), "api_keys": str(keys)}
    with serving(tiny_encoder, **options) as client:
        before = dense(client)
        told = client.post("/admin/model", json={}, headers=ADMIN).json()
        assert told["canary_distance"] == pytest.approx(0, abs=1e-4)
        np.testing.assert_allclose(dense(client), before, atol=1e-5)
        seen: list[list[float]] = []
        stop = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=client.base_url, trust_env=False, timeout=20) as another:
                while not stop.is_set():
                    seen.append(dense(another))

        asking = threading.Thread(target=ask)
        asking.start()
        told = client.post("/admin/model", json={"model": str(other)}, headers=ADMIN).json()
        after = dense(client)
        stop.set()
        asking.join(20)
        assert told["canary_distance"] > 0.01
        assert np.abs(np.subtract(after, before)).max() > 0.01
        nearest = [min(np.abs(np.subtract(row, one)).max() for one in (before, after)) for row in seen]
        assert len(seen) > 1
        assert max(nearest) < 1e-4  # each is one model's or the other's
        assert client.get("/health").json() == {"status": "ok"}


def test_a_model_that_does_not_make_the_stores_vectors_is_refused(folders, tiny_encoder, tmp_path):
    same, other, keys = folders
    options = {"model": str(same), "swap": (str(other), str(tmp_path)), "api_keys": str(keys)}
    with Store.open(tmp_path / "pictures.db", tiny_encoder) as store:
        store.add(["sea whale"], ids=["t"])
        with serving(tiny_encoder, store=store, **options) as client:
            before = dense(client)
            refused = client.post("/admin/model", json={"model": str(other)}, headers=ADMIN)
            assert refused.status_code == 409
            assert "doesn't make" in refused.json()["error"]["message"]
            broken = client.post("/admin/model", json={"model": str(tmp_path)}, headers=ADMIN)
            assert broken.status_code == 409
            assert dense(client) == before
            assert client.post("/admin/model", json={}, headers=ADMIN).status_code == 200
            assert client.post("/search", json={"text": "sea"}, headers=ADMIN).json()["hits"][0]["id"] == "t"


def test_hanging_up_reads_keys_and_model_anew(folders, tiny_encoder, tmp_path, caplog):
    same, _, _ = folders
    keys = tmp_path / "keys"
    keys.write_text(f"a {digest('one')}")
    with serving(tiny_encoder, model=str(same), api_keys=str(keys)) as client:
        keys.write_text(f"a {digest('operator')}")
        client.service.reload()
        dense(client)
        keys.write_text("damaged")
        client.service.reload()
        dense(client)
        assert "nothing was changed" in caplog.text


def test_canaries_that_move_make_the_server_unwell(tiny_encoder):
    with serving(tiny_encoder, canary_every=0.01) as client:
        assert client.get("/health").status_code == 200
        client.service.batcher.encoder = changed(tiny_encoder)  # as a fault of the machine would
        with serving(tiny_encoder):  # time passes
            pass
        reply = client.get("/health")
        assert reply.status_code == 503
        assert reply.json() == {"status": "drifted"}
        drift = [line for line in client.get("/metrics").text.splitlines() if line.startswith("onespace_canary_drift")]
        assert float(drift[0].split()[1]) > 0.01


def test_canaries_of_another_shape_are_not_compared(tiny_encoder):
    canaries = Canaries(tiny_encoder, Metrics())
    canaries.measure(tiny_encoder)
    assert canaries.distance == pytest.approx(0, abs=1e-5)
    assert canaries.adopt(tiny_fused(tiny_spec(name="another"))) is None
