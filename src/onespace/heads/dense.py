"""The dense head: one unit vector per item."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pool(hidden: Tensor, mask: Tensor, pooling: str, *, unit: bool = True) -> Tensor:
    """hidden (N, T, D), mask (N, T) bool -> unit rows (N, D); ``pooling`` is ``cls``, ``mean`` or ``last``.

    ``unit=False`` leaves the rows at the length that they have.
    """
    if pooling == "cls":
        x = hidden[:, 0]
    elif pooling == "mean":
        weights = mask[:, :, None].to(hidden.dtype)
        x = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
    else:
        x = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
    return F.normalize(x.float(), dim=-1) if unit else x.float()  # (N, D)
