"""The dual encoder: a text tower and an image tower that never see each other, and one space for both (CLIP)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from onespace.errors import ModelError
from onespace.spec import ImageSpec, Spec, TextSpec


class DualModel(nn.Module):
    """A text or a picture through its own tower; a text with pictures as the sum of their vectors.

    The sum is taken before the rows are made unit length, as BGE-VL was trained; the pictures of one item count as
    their mean. Whether a pair means anything is for the spec's levels to say.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if spec.text is None or spec.image is None:
            raise ModelError(f"{spec.name}: a dual encoder has two towers; this spec has only one.")
        self.spec = spec
        self.text = text_tower(spec.text)
        self.image = image_tower(spec.image)
        self.text_project = nn.Linear(spec.text.width, spec.heads.dense, bias=spec.text.tower == "siglip")
        self.image_project: nn.Module = nn.Identity()
        if spec.image.tower != "siglip":
            self.image_project = nn.Linear(spec.image.width, spec.heads.dense, bias=spec.image.tower == "eva02")

    def text_vectors(self, ids: Tensor, mask: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """ids (N, L), mask (N, L) bool -> (N, D), not yet unit length."""
        x = self.text(ids, mask, lengths)
        vectors: Tensor = self.text_project(x if x.ndim == 2 else x[:, 0])  # BERT gives (N, L, D): CLS is taken
        return vectors

    def image_vectors(self, pixels: Tensor) -> Tensor:
        """pixels (N, K, 3, S, S) -> (N, D), not yet unit length: the mean over the K pictures."""
        n, k = pixels.shape[:2]
        vectors: Tensor = self.image_project(self.image(pixels.flatten(0, 1))).unflatten(0, (n, k)).mean(1)
        return vectors

    def forward(
        self,
        ids: Tensor | None,
        mask: Tensor | None,
        pixels: Tensor | None = None,
        *,
        heads: Collection[str] = ("dense",),
        lengths: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """The unit vectors of texts (``pixels=None``), of pictures (``ids=None``) or of both together.

        Shapes:
            ids (N, L) int64, mask (N, L) bool, pixels (N, K, 3, S, S) float -> ``dense`` (N, D). ``lengths`` are the N
            numbers of text tokens, where they are known without asking the device.
        """
        if "dense" not in heads:
            return {}
        parts: list[Tensor] = []
        if ids is not None and mask is not None:
            parts.append(self.text_vectors(ids, mask, lengths))
        if pixels is not None:
            parts.append(self.image_vectors(pixels))
        return {"dense": F.normalize(sum(parts[1:], parts[0]).float(), dim=-1)}


def text_tower(spec: TextSpec) -> nn.Module:
    """The text tower that ``spec.tower`` names: (N, L) -> (N, D), or (N, L, D) for BERT, which alone packs."""
    if spec.tower == "clip":
        from onespace.towers.clip import ClipTextTower

        return ClipTextTower(spec)
    if spec.tower == "siglip":
        from onespace.towers.siglip import SiglipTextTower

        return SiglipTextTower(spec)
    from onespace.towers.text import TextTower

    return TextTower(spec)


def image_tower(spec: ImageSpec) -> nn.Module:
    """The image tower that ``spec.tower`` names, pooled: (N, 3, S, S) -> (N, D)."""
    if spec.tower == "clip":
        from onespace.towers.clip import ClipImageTower

        return ClipImageTower(spec)
    if spec.tower == "siglip":
        from onespace.towers.siglip import SiglipImageTower

        return SiglipImageTower(spec)
    if spec.tower == "eva02":
        from onespace.towers.eva_clip import EvaClipImageTower

        return EvaClipImageTower(spec)
    raise ModelError(f"the image tower {spec.tower!r} gives no single vector. Use clip, siglip or eva02.")
