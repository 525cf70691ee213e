"""The image tower of onespace-mini: a pre-norm Vision Transformer (Dosovitskiy et al. 2020).

``stem="conv"`` replaces the single patch projection by a few strided 3x3 convolutions (Xiao et al. 2021, "Early
convolutions help transformers see better"), which learns from far fewer pictures. ``clip`` has its own module.
"""

from __future__ import annotations

from itertools import pairwise
from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onespace.spec import ImageSpec, TextSpec
from onespace.towers.attention import Attention, activation


class Block(nn.Module):
    """One pre-norm transformer layer; CLIP's and SigLIP's towers, text and image, are made of it too."""

    def __init__(self, spec: ImageSpec | TextSpec) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(spec.width, eps=spec.eps)
        self.attention = Attention(spec.width, spec.heads)
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)
        self.up = nn.Linear(spec.width, spec.hidden)
        self.activation = activation(spec.activation)
        self.down = nn.Linear(spec.hidden, spec.width)

    def forward(self, x: Tensor, *, causal: bool = False) -> Tensor:
        """(N, P, D) -> (N, P, D)."""
        x = x + self.attention(self.attention_norm(x), causal=causal)
        return x + self.down(self.activation(self.up(self.norm(x))))


class VisionTower(nn.Module):
    """Pixels to patch tokens; no CLS token, since the text tower's own CLS gathers the result."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.stem = conv_stem(spec) if spec.stem == "conv" else nn.Conv2d(3, spec.width, spec.patch, spec.patch)
        self.positions = nn.Parameter(torch.randn(1, spec.tokens, spec.width) * 0.02)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)

    def forward(self, pixels: Tensor, keep: Tensor | None = None) -> Tensor:
        """pixels (N, 3, S, S) -> patch tokens (N, P, D), row by row.

        With ``keep`` (N, K), the indices of K patches of each picture, only those pass the blocks: (N, K, D), in the
        order of ``keep``. Training sees more pictures in the same time that way (Li et al. 2023, FLIP).
        """
        x = self.stem(pixels).flatten(2).transpose(1, 2) + self.positions  # (N, P, D)
        if keep is not None:
            x = x.gather(1, keep[:, :, None].expand(-1, -1, x.shape[2]))  # (N, K, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class BatchNorm(nn.Module):
    """Batch normalisation that computes in float32 whatever the weights are (Ioffe and Szegedy 2015).

    In training the weights are float32: a running mean in another type would be updated in a copy.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        mean, var, weight, bias = (t.float() for t in (self.running_mean, self.running_var, self.weight, self.bias))
        return F.batch_norm(x, mean, var, weight, bias, self.training, 0.1, 1e-5)


def conv_stem(spec: ImageSpec) -> nn.Sequential:
    """log2(patch) strided 3x3 convolutions whose width doubles up to D, then a 1x1 projection.

    Shapes:
        (N, 3, S, S) -> (N, D, S / patch, S / patch).
    """
    steps = round(log2(spec.patch))
    widths = [3] + [max(32, spec.width >> (steps - 1 - i)) for i in range(steps)]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), BatchNorm(after), nn.GELU()]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], spec.width, 1))
