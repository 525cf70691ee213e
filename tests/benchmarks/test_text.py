"""What is compared and what is left out, on a tiny model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import text
from benchmarks.text import Peer, compared
from onespace.encoder import Encoder

ITEMS = ["a red house", "two whales", "one two three four five"]


@pytest.fixture
def tiny(tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    """Loaded whatever is asked for, on a processor that has no bfloat16."""
    monkeypatch.setattr(text.onespace, "load", lambda *_, **__: tiny_encoder)
    monkeypatch.setattr(text, "kinds", lambda: ("float32",))
    return tiny_encoder


def test_what_cannot_run_is_left_out_with_its_reason(tiny: Encoder) -> None:
    def run(items: list[str]) -> np.ndarray:
        return np.asarray(tiny.encode(items, heads="dense").dense)

    peers = [Peer("absent", None, 2.0, "it isn't installed"), Peer("there", run, 1.5)]
    rows, seconds = compared("3 texts", Path(), ("float32", "bfloat16"), peers, ITEMS, note="n", times=2)
    assert [row.name for row in rows] == [
        f"BGE-M3 {kind}, 3 texts: {peer}" for kind in ("float32", "bfloat16") for peer in ("absent", "there")
    ]
    absent, measured, *slow = rows
    assert absent.note == "left out: it isn't installed"
    assert measured.ratio > 0
    assert measured.note == "cosine 1.000000; the peer multiplies 1.50 tokens for each useful one; n"
    assert [row.measured for row in slow] == [False, False]
    assert "emulates" in slow[1].note
    assert len(seconds) == 2


def test_a_text_that_no_memory_holds_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "free_bytes", lambda: 0.0)
    (row,) = text.longest(quick=False)
    assert "GiB, more than is free here" in row.note
    assert not row.measured
