"""Runs a torch module on any device."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import torch

from onespace.engines import Batch, Output, tokens_for
from onespace.engines.onnx_engine import cores
from onespace.errors import ModelError
from onespace.towers.reduced import reduce

if TYPE_CHECKING:
    from torch import nn


GPU_TOKENS = 16384
"""Tokens of one batch on another device than the CPU."""

log = logging.getLogger(__name__)


class TorchEngine:
    """Holds a module in eval mode; gradients are never recorded.

    On a CPU, ``bfloat16`` and ``int8`` are those of `onespace.towers.reduced`, which changes the module in place.

    Raises:
        ModelError: int8 on another device.
    """

    def __init__(self, module: nn.Module, *, device: str | None = None, dtype: torch.dtype = torch.float32) -> None:
        self.device = place(device)
        if self.device.type == "cpu":
            limit_threads()
        self.tokens = tokens_for(torch.get_num_threads()) if self.device.type == "cpu" else GPU_TOKENS
        if reduces(dtype, device):
            self.module, self.dtype = reduce(module.eval(), dtype), torch.float32
        elif dtype == torch.int8:
            raise ModelError(f"int8 runs on a CPU, not on {self.device}. Use dtype='bfloat16' there.")
        else:
            self.module, self.dtype = module.eval().to(self.device, dtype), dtype

    def run(self, batch: Batch, heads: Collection[Output]) -> dict[str, np.ndarray]:
        """See `onespace.engines.Engine`."""
        ids, mask, pixels = (None if a is None else torch.from_numpy(a) for a in (batch.ids, batch.mask, batch.pixels))
        if pixels is not None:
            pixels = pixels.to(self.device, self.dtype)
        if ids is not None and mask is not None:
            ids, mask = ids.to(self.device), mask.to(self.device)
        with torch.inference_mode():
            out = self.module(ids, mask, pixels, heads=tuple(heads))
        return {name: (t if t.dtype == torch.bool else t.float()).cpu().numpy() for name, t in out.items()}


def limit_threads() -> None:
    """Lowers torch's threads to the cores that this process may use, for it counts those that a container's quota bars.

    Nothing is changed where OMP_NUM_THREADS says how many there shall be.
    """
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > cores():
        log.info("torch runs on %d threads, not on %d: so many cores may be used.", cores(), torch.get_num_threads())
        torch.set_num_threads(cores())


def place(device: str | None) -> torch.device:
    """The device of that name; the first GPU, if any, by default."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def reduces(dtype: torch.dtype, device: str | None) -> bool:
    """Whether linear layers alone are reduced, and need the weights as they are stored: bfloat16 or int8 on a CPU."""
    return dtype in (torch.bfloat16, torch.int8) and place(device).type == "cpu"
