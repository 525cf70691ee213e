"""Threads and budgets of the torch engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from onespace.engines import torch_engine
from onespace.engines.torch_engine import TorchEngine


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch on two threads, in a container that allows one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(torch_engine, "cores", lambda: 1)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_threads_are_no_more_than_the_quota_allows() -> None:
    engine = TorchEngine(nn.Linear(2, 2), device="cpu")
    assert torch.get_num_threads() == 1
    assert engine.tokens == 1024


@pytest.mark.usefixtures("two_threads")
def test_threads_that_someone_set_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    TorchEngine(nn.Linear(2, 2), device="cpu")
    assert torch.get_num_threads() == 2
