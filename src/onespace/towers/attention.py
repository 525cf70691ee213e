"""Multi-head attention, shared by every tower."""

from __future__ import annotations

from itertools import groupby
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Runs: TypeAlias = tuple[tuple[int, int], ...]
"""Sequences laid end to end, as (how many, of which length) for each run of equal lengths: ((2, 9), (1, 5))."""


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
        self, x: Tensor, mask: Tensor | Runs | None = None, *, causal: bool = False, context: Tensor | None = None
    ) -> Tensor:
        """x (N, T, D), mask (N, T) bool or None -> (N, T, D). False columns of the mask are never attended to.

        With ``context`` (N, C, D), x asks and the context answers (cross-attention). With `Runs` for a mask, x is
        packed, (tokens, D), and each sequence sees itself alone.
        """
        steps = x.shape[-2]
        x = ready(self.query, x)
        seen = x if context is None else ready(self.key, context)
        if isinstance(mask, tuple):
            return self.out(attend_runs(self.query(x), self.key(x), self.value(x), mask, heads=self.heads))
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


def runs(mask: Tensor) -> Runs:
    """The runs of a batch, once its padding is left out.

    >>> runs(torch.tensor([[True, True, True], [True, True, False], [True, True, False]]))
    ((1, 3), (2, 2))
    """
    return tuple((len(list(same)), length) for length, same in groupby(mask.sum(1).tolist()) if length)


def attend_runs(q: Tensor, k: Tensor, v: Tensor, runs: Runs, *, heads: int) -> Tensor:
    """`attend` over packed sequences, (tokens, D) each and out; a run is one batch, cut out without a copy."""
    out = torch.empty_like(q)
    start = 0
    for count, length in runs:
        stop = start + count * length
        a, b, c = (split_heads(t[start:stop].view(count, length, -1), heads) for t in (q, k, v))  # (n, h, T, d) each
        out[start:stop] = merge_heads(F.scaled_dot_product_attention(a, b, c)).flatten(0, 1)
        start = stop
    return out  # (tokens, D)


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
