"""Runs a torch module on any device."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import torch

from onespace.engines import Batch, Output

if TYPE_CHECKING:
    from torch import nn


class TorchEngine:
    """Holds a module in eval mode; gradients are never recorded."""

    def __init__(self, module: nn.Module, *, device: str | None = None, dtype: torch.dtype = torch.float32) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.module = module.eval().to(self.device, dtype)
        self.dtype = dtype

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
