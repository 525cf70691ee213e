"""Copies beside the computation: their order, on a device that only writes down what it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from onespace.engines.transfer import Overlapped, Plain, transfer

CPU = torch.device("cpu")


class Streams:
    """What `Overlapped` uses of `torch.cuda`; all is done at once, and written down."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.names = iter(("up", "down"))
        self.now = self.compute = Stream(self, "compute")

    def Stream(self, device: torch.device) -> Stream:
        return Stream(self, next(self.names))

    def current_stream(self, device: torch.device) -> Stream:
        return self.now

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.now = self.now, stream
        yield
        self.now = before


class Stream:
    def __init__(self, cuda: Streams, name: str) -> None:
        self.cuda, self.name = cuda, name

    def wait_stream(self, other: Stream) -> None:
        self.cuda.log.append(f"{self.name} waits for {other.name}")

    def record_event(self) -> Any:
        log, name = self.cuda.log, self.name
        log.append(f"event on {name}")
        return type("Event", (), {"synchronize": lambda _: log.append(f"we wait for {name}")})()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Streams:
    cuda = Streams()
    copy = torch.Tensor.to

    def to(tensor: torch.Tensor, device: Any, *, non_blocking: bool = False) -> torch.Tensor:
        cuda.log.append(f"copy on {cuda.now.name}{'' if non_blocking else ', blocking'}")
        return copy(tensor, device)

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: cuda.log.append("pin") or tensor)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda _, stream: cuda.log.append(f"kept for {stream.name}"))
    return cuda


def test_what_is_sent_is_pinned_and_waited_for_by_the_device_alone(cuda: Streams) -> None:
    ids, nothing, pixels = Overlapped(CPU, cuda=cuda).send((np.arange(3), None, np.ones(2, np.float32)))
    assert nothing is None
    assert ids is not None
    assert ids.tolist() == [0, 1, 2]
    assert pixels is not None
    copies = ["pin", "copy on up"] * 2
    assert cuda.log == [*copies, "compute waits for up", "kept for compute", "kept for compute"]


def test_results_are_fetched_together_and_waited_for_once(cuda: Streams) -> None:
    later = Overlapped(CPU, cuda=cuda).fetch({"dense": torch.ones(2, 3), "mask": torch.tensor([True])})
    begun = [
        "down waits for compute",
        "copy on down",
        "copy on down",
        "event on down",
        "kept for down",
        "kept for down",
    ]
    assert cuda.log == begun
    out = later()
    assert cuda.log == [*begun, "we wait for down"]
    assert out["dense"].shape == (2, 3)
    assert out["mask"].dtype == bool


def test_a_cpu_copies_nothing() -> None:
    given = np.arange(4)
    plain = transfer(CPU)
    assert isinstance(plain, Plain)
    sent, nothing = plain.send((given, None))
    assert nothing is None
    assert sent is not None
    assert np.shares_memory(plain.fetch({"same": sent})()["same"], given)
