"""Copies between the processor's memory and the device that computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Transfer(Protocol):
    """Both ways, for a whole batch at once."""

    def send(self, arrays: Sequence[np.ndarray | None]) -> list[Tensor | None]:
        """The arrays on the device, ready for what is computed next."""
        ...

    def fetch(self, tensors: Mapping[str, Tensor]) -> Callable[[], dict[str, np.ndarray]]:
        """Begins to bring tensors back; what is returned waits for them, and for nothing later."""
        ...


def transfer(device: torch.device) -> Transfer:
    """The one for that device."""
    return Overlapped(device) if device.type == "cuda" else Plain(device)


class Plain:
    """At once: nothing is copied for a CPU, and other devices are waited for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def send(self, arrays: Sequence[np.ndarray | None]) -> list[Tensor | None]:
        """See `Transfer`."""
        return [None if a is None else torch.from_numpy(a).to(self.device) for a in arrays]

    def fetch(self, tensors: Mapping[str, Tensor]) -> Callable[[], dict[str, np.ndarray]]:
        """See `Transfer`."""
        arrays = {name: t.cpu().numpy() for name, t in tensors.items()}
        return lambda: arrays


class Overlapped:
    """Through page-locked memory, on streams of its own: copies run beside what is computed, and none is waited for.

    Each direction has its stream, since results wait for their batch while the next batch is already on its way.
    ``cuda`` is `torch.cuda`, or what stands for it in tests.
    """

    def __init__(self, device: torch.device, *, cuda: Any = torch.cuda) -> None:
        self.device, self._cuda = device, cuda
        self._up, self._down = cuda.Stream(device), cuda.Stream(device)

    def send(self, arrays: Sequence[np.ndarray | None]) -> list[Tensor | None]:
        """See `Transfer`."""
        compute = self._cuda.current_stream(self.device)
        with self._cuda.stream(self._up):
            sent = [None if a is None else self._pinned(a).to(self.device, non_blocking=True) for a in arrays]
        compute.wait_stream(self._up)
        for tensor in sent:
            if tensor is not None:
                tensor.record_stream(compute)  # its memory isn't given away before what is computed has read it
        return sent

    def fetch(self, tensors: Mapping[str, Tensor]) -> Callable[[], dict[str, np.ndarray]]:
        """See `Transfer`."""
        self._down.wait_stream(self._cuda.current_stream(self.device))
        with self._cuda.stream(self._down):
            hosts = {name: t.to("cpu", non_blocking=True) for name, t in tensors.items()}  # torch page-locks these
            done = self._down.record_event()
        for tensor in tensors.values():
            tensor.record_stream(self._down)

        def wait() -> dict[str, np.ndarray]:
            done.synchronize()
            return {name: host.numpy() for name, host in hosts.items()}

        return wait

    def _pinned(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).pin_memory()
