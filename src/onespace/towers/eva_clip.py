"""EVA02-CLIP's image tower as EVA-CLIP itself reads it: the class token, after the final norm."""

from __future__ import annotations

from torch import Tensor, nn

from onespace.spec import ImageSpec
from onespace.towers.eva02 import Eva02Tower


class EvaClipImageTower(Eva02Tower):
    """`Eva02Tower`, pooled."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec)
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (N, 3, S, S) -> (N, D)."""
        vector: Tensor = self.norm(self.encode(pixels)[:, 0])  # (N, D)
        return vector
