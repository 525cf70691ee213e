"""Damaged bodies and pictures get an answer that isn't a 500, soon, and without a traceback."""

from __future__ import annotations

import pytest
from serving import serving

from benchmarks.attack import attack
from onespace.store import Store


@pytest.mark.parametrize("seed", range(2))
def test_mutations(tmp_path, tiny_encoder, seed):
    with Store.open(tmp_path / "pictures.db", tiny_encoder) as store:
        store.add(["sea whale"], ids=["t"], metadata=[{"kind": "a"}])
        with serving(tiny_encoder, store=store) as client:
            findings = attack(str(client.base_url), n=500, seed=seed)
            assert client.get("/health").status_code == 200
    assert not findings.faults
    assert findings.slowest < 5
    assert findings.statuses[200] > 50
    assert findings.statuses[400] > 50
