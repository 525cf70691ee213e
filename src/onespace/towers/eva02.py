"""EVA02-CLIP's image tower (Fang et al. 2023; Sun et al. 2023, EVA-CLIP): rotary positions, SwiGLU, extra norms.

The tokens leave BEFORE the final norm, as Visualized-BGE reads them. The rotary tables are made here, not loaded, and
rounded as those in the file were.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onespace.spec import ImageSpec
from onespace.towers.attention import merge_heads, ready, split_heads

PRETRAINED_GRID = 16
"""Patches along a side in pre-training; positions on any other grid are stretched to 0 .. 16."""


class Eva02Tower(nn.Module):
    """Pixels to patch tokens."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, spec.width, spec.patch, spec.patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, spec.width))
        self.positions = nn.Parameter(torch.randn(1, 1 + spec.tokens, spec.width) * 0.02)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        tables = rotary_tables(spec.grid, spec.width // spec.heads)
        cos, sin = (table.to(getattr(torch, spec.rotary)).float() for table in tables)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, S, S) -> CLS and patch tokens (N, 1 + P, D), row by row."""
        x: Tensor = self.patches(pixels).flatten(2).transpose(1, 2)  # (N, P, D)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1) + self.positions  # (N, 1 + P, D)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return x

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, S, S) -> patch tokens (N, P, D)."""
        return self.encode(pixels)[:, 1:]


class Block(nn.Module):
    """Attention and SwiGLU, each with a norm before and one inside."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(spec.width, eps=spec.eps)
        self.attention = RotaryAttention(spec)
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)
        self.mlp = SwiGLU(spec)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(N, 1 + P, D) -> (N, 1 + P, D)."""
        x = x + self.attention(self.attention_norm(x), cos, sin)
        y: Tensor = self.mlp(self.norm(x))
        return x + y


class RotaryAttention(nn.Module):
    """Attention whose queries and keys turn with the patch's place; CLS, which has none, stays as it is."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.heads = spec.heads
        self.query = nn.Linear(spec.width, spec.width)
        self.key = nn.Linear(spec.width, spec.width, bias=False)
        self.value = nn.Linear(spec.width, spec.width)
        self.inner_norm = nn.LayerNorm(spec.width, eps=spec.eps)
        self.out = nn.Linear(spec.width, spec.width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """X (N, 1 + P, D), tables (P, D/h) -> (N, 1 + P, D)."""
        x = ready(self.query, x)
        q, k, v = (split_heads(f(x), self.heads) for f in (self.query, self.key, self.value))  # (N, h, 1 + P, D/h)
        q, k = (torch.cat([t[:, :, :1], rotate(t[:, :, 1:], cos, sin).to(t.dtype)], dim=2) for t in (q, k))
        y = F.scaled_dot_product_attention(q, k, v)  # (N, h, 1 + P, D/h)
        out: Tensor = self.out(self.inner_norm(merge_heads(y)))  # (N, 1 + P, D)
        return out


class SwiGLU(nn.Module):
    """silu(gate(x)) * up(x), normed, then down (Shazeer 2020)."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.gate = nn.Linear(spec.width, spec.hidden)
        self.up = nn.Linear(spec.width, spec.hidden)
        self.norm = nn.LayerNorm(spec.hidden, eps=spec.eps)
        self.down = nn.Linear(spec.hidden, spec.width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, D) -> (N, T, D)."""
        x = ready(self.gate, x)
        out: Tensor = self.down(self.norm(F.silu(self.gate(x)) * self.up(x)))
        return out


def rotary_tables(grid: int, width: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (P, width): the first half of a head turns with the row, the second with the column.

    They are taken by numpy in float64: torch's first parallel ``cos`` in a process was seen to be off by 1.5e-4.
    """
    half = width // 2
    speeds = 10000.0 ** -(torch.arange(0, half, 2).float() / half)  # (half / 2,)
    places = torch.arange(grid).float() / grid * PRETRAINED_GRID
    turns = (places[:, None] * speeds).repeat_interleave(2, dim=1)  # (grid, half)
    rows, columns = turns[:, None].expand(-1, grid, -1), turns[None].expand(grid, -1, -1)  # (grid, grid, half)
    angles = torch.cat([rows, columns], dim=-1).flatten(0, 1)  # (P, width)
    exact = angles.double().numpy()
    return torch.from_numpy(np.cos(exact)).float(), torch.from_numpy(np.sin(exact)).float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns each pair of neighbouring channels: x (..., P, D/h), tables (P, D/h) -> (..., P, D/h).

    >>> rotate(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([[-2.,  1.]])
    """
    a, b = x[..., 0::2], x[..., 1::2]  # (..., P, D/2h) each
    return x * cos + torch.stack([-b, a], dim=-1).flatten(-2) * sin
