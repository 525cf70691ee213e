"""SigLIP's two towers (Zhai et al. 2023; SigLIP 2: Tschannen et al. 2025), each giving one vector per item."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onespace.spec import ImageSpec, TextSpec
from onespace.towers.attention import Attention, activation
from onespace.towers.vit import Block, VisionTower


class SiglipTextTower(nn.Module):
    """A bidirectional transformer over a text padded to its full length; padding is attended to, as in training."""

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        self.pad = spec.pad
        self.words = nn.Embedding(spec.vocab, spec.width)
        self.positions = nn.Embedding(spec.max_positions, spec.width)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)

    def forward(self, ids: Tensor, mask: Tensor, lengths: Sequence[int] | None = None) -> Tensor:  # noqa: ARG002
        """ids (N, L), mask (N, L) bool -> (N, D), the state of the last position, whatever stands there."""
        x = self.words(self.padded(ids, mask)) + self.positions.weight  # (N, max_positions, D)
        for block in self.blocks:
            x = block(x)
        vector: Tensor = self.norm(x[:, -1])  # (N, D)
        return vector

    def padded(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids (N, L), mask (N, L) bool -> (N, max_positions)."""
        length = self.positions.num_embeddings
        padding = ids.new_full((ids.shape[0], length), self.pad)
        return torch.cat([torch.where(mask, ids, self.pad), padding], dim=1)[:, :length]


class ProbePooling(nn.Module):
    """One learned probe attends to all patches (Lee et al. 2019, "Set Transformer", pooling by attention)."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.randn(1, 1, spec.width) * spec.width**-0.5)
        self.attention = Attention(spec.width, spec.heads)
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)
        self.up = nn.Linear(spec.width, spec.hidden)
        self.activation = activation(spec.activation)
        self.down = nn.Linear(spec.hidden, spec.width)

    def forward(self, patches: Tensor) -> Tensor:
        """(N, P, D) -> (N, D)."""
        x = self.attention(self.probe.expand(patches.shape[0], -1, -1), context=patches)[:, 0]  # (N, D)
        vector: Tensor = x + self.down(self.activation(self.up(self.norm(x))))  # (N, D)
        return vector


class SiglipImageTower(nn.Module):
    """The plain ViT, then `ProbePooling`."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.patches = VisionTower(spec)
        self.pool = ProbePooling(spec)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (N, 3, S, S) -> (N, D)."""
        vector: Tensor = self.pool(self.patches(pixels))  # (N, D)
        return vector
