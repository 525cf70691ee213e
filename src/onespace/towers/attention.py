"""Multi-head attention, shared by every tower."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from onespace.towers.packing import Packing


class Attention(nn.Module):
    """Softmax attention with separate query, key and value projections (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Tensor, mask: Tensor | Packing | None = None, *, causal: bool = False, context: Tensor | None = None
    ) -> Tensor:
        """x (N, T, D), mask (N, T) bool or None -> (N, T, D). False columns of the mask are never attended to.

        With ``context`` (N, C, D), x asks and the context answers (cross-attention). With a `Packing` for a mask, x
        is packed, (tokens, D), and each sequence sees itself alone.
        """
        steps = x.shape[-2]
        x = ready(self.query, x)
        seen = x if context is None else ready(self.key, context)
        if mask is not None and not isinstance(mask, Tensor):
            return self.out(mask.attend(self.query(x), self.key(x), self.value(x), heads=self.heads))
        q, k, v = (split_heads(f(y), self.heads) for f, y in ((self.query, x), (self.key, seen), (self.value, seen)))
        columns = None if mask is None else mask[:, None, None, :]  # (N, 1, 1, T)
        if causal and columns is not None:
            order = torch.ones(steps, steps, dtype=torch.bool, device=columns.device).tril()
            columns, causal = columns & order, False  # (N, 1, T, T)
        return self.out(merge_heads(attend(q, k, v, columns, causal=causal)))  # (N, T, D)


def ready(layer: nn.Module, x: Tensor) -> Tensor:
    """x as a reduced layer computes with it (`onespace.towers.reduced`), once for all the layers that share it."""
    prepare = getattr(layer, "ready", None)
    return x if prepare is None else prepare(x)


SHORT = 128
"""Up to this many tokens, plain products train faster on a CPU than the fused kernel, whose backward pass is slow."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, causal: bool = False) -> Tensor:
    """softmax(q k' / sqrt(d)) v over (N, heads, T, d); ``mask`` broadcasts to (N, heads, T, T), True = seen."""
    if torch.is_grad_enabled() and q.device.type == "cpu" and q.shape[2] <= SHORT and not causal:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (N, h, T, T)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return scores.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, T, D) -> (N, heads, T, D/heads)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(N, heads, T, D/heads) -> (N, T, D)."""
    return x.transpose(1, 2).flatten(-2)


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation of OpenAI's CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x * torch.sigmoid(1.702 * x)


def activation(name: str) -> nn.Module:
    """The activation layer of that name: ``gelu`` (exact), ``gelu_tanh`` or ``quick_gelu``."""
    if name == "quick_gelu":
        return QuickGELU()
    return nn.GELU("tanh" if name == "gelu_tanh" else "none")
