"""CLIP's two towers (Radford et al. 2021): a causal text transformer and a ViT with a class token.

Both give one vector per item, read from one token: the end of the text, the class token of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onespace.spec import ImageSpec, TextSpec
from onespace.towers.vit import Block


class ClipTextTower(nn.Module):
    """Words and positions, causal blocks, and the normalised state of the end-of-text token."""

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        self.eot = spec.eot
        self.words = nn.Embedding(spec.vocab, spec.width)
        self.positions = nn.Embedding(spec.max_positions, spec.width)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)

    def forward(self, ids: Tensor, mask: Tensor, lengths: Sequence[int] | None = None) -> Tensor:  # noqa: ARG002
        """ids (N, L), mask (N, L) bool -> (N, D). Causality keeps the padding, which follows the end, out of it."""
        x = self.words(ids) + self.positions.weight[: ids.shape[1]]  # (N, L, D)
        for block in self.blocks:
            x = block(x, causal=True)
        vector: Tensor = self.norm(x[torch.arange(x.shape[0], device=x.device), self.ends(ids, mask)])  # (N, D)
        return vector

    def ends(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Where each text ends: ids (N, L), mask (N, L) bool -> (N,), the first ``eot`` id, or the highest id."""
        score = torch.where(mask, ids, -1) if self.eot < 0 else mask & (ids == self.eot)  # (N, L)
        return score.int().argmax(1)


class ClipImageTower(nn.Module):
    """Patches behind a class token, a norm before the blocks, and the normalised state of the class token."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, spec.width, spec.patch, spec.patch, bias=False)
        self.cls = nn.Parameter(torch.randn(spec.width) * spec.width**-0.5)
        self.positions = nn.Parameter(torch.randn(1 + spec.tokens, spec.width) * spec.width**-0.5)
        self.stem_norm = nn.LayerNorm(spec.width, eps=spec.eps)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (N, 3, S, S) -> (N, D)."""
        patches = self.stem(pixels).flatten(2).transpose(1, 2)  # (N, P, D)
        x = torch.cat([self.cls.expand(patches.shape[0], 1, -1), patches], dim=1)  # (N, 1 + P, D)
        x = self.stem_norm(x + self.positions)
        for block in self.blocks:
            x = block(x)
        vector: Tensor = self.norm(x[:, 0])  # (N, D)
        return vector
