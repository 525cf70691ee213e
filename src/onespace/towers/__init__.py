"""Towers: each turns one modality into a sequence of tokens, (N, tokens, width)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from onespace.spec import ImageSpec


def image_tower(spec: ImageSpec) -> nn.Module:
    """Builds the image tower that ``spec.tower`` names; every tower maps (N, 3, S, S) to patch tokens (N, P, D)."""
    if spec.tower == "eva02":
        from onespace.towers.eva02 import Eva02Tower

        return Eva02Tower(spec)
    from onespace.towers.vit import VisionTower

    return VisionTower(spec)
