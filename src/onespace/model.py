"""The one-space model: a text tower, optionally an image tower whose tokens join the text, and up to three heads.

One `forward` serves training, inference and ONNX export.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from onespace.fuse import fuse
from onespace.heads import dense
from onespace.heads.multi import MultiHead
from onespace.heads.sparse import PatchTerms, TokenWeights
from onespace.spec import Spec
from onespace.towers import image_tower
from onespace.towers.text import TextTower


class FusedModel(nn.Module):
    """Text, pictures, or both, through one sequence (see `onespace.fuse`)."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        assert spec.text is not None
        self.spec = spec
        self.text = TextTower(spec.text)
        width = spec.text.width
        if spec.image is not None:
            self.image = image_tower(spec.image)
            self.project = nn.Linear(spec.image.width, width)
        if spec.heads.sparse != "none":
            self.token_weights = TokenWeights(width, spec.heads.sparse_skip)
        if spec.heads.sparse == "tokens+terms":
            self.patch_terms = PatchTerms(width, spec.text.vocab)
        if spec.heads.multi:
            self.multi = MultiHead(width, spec.heads.multi)

    def hidden(
        self, ids: Tensor, mask: Tensor, pixels: Tensor | None = None, lengths: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor, int]:
        """The last hidden states (N, T, D), their mask (N, T) and the number of image tokens, which follow CLS."""
        if pixels is None:
            return self.text(ids, mask, lengths), mask, 0
        n, k = pixels.shape[:2]
        tokens = self.project(self.image(pixels.flatten(0, 1))).unflatten(0, (n, k)).flatten(1, 2)  # (N, K * P, D)
        sequence, seen = fuse(self.text.embed, ids, mask, tokens)
        patches: int = tokens.shape[1]
        longer = None if lengths is None else [length + patches for length in lengths]
        return self.text.encode(sequence, seen, longer), seen, patches

    def forward(
        self,
        ids: Tensor,
        mask: Tensor,
        pixels: Tensor | None = None,
        *,
        heads: Collection[str] = ("dense",),
        terms: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Every asked representation from one pass.

        Shapes:
            ids (N, L) int64, mask (N, L) bool, pixels (N, K, 3, S, S) float or None for texts alone. ``terms`` are the
            only ones that pictures shall name while training, which then stand for V. ``lengths`` are the N numbers of
            text tokens, where they are known without asking the device.

        Returns:
            ``dense`` (N, D) unit rows; ``weights`` (N, L), one per text token; ``terms`` (N, V) when pictures name
            terms; ``multi`` (N, T, d) unit rows for image tokens and then text tokens without CLS, with
            ``multi_mask`` (N, T); ``states`` (N, L, D), the last hidden states of a text alone.
        """
        hidden, seen, patches = self.hidden(ids, mask, pixels, lengths)
        out: dict[str, Tensor] = {}
        if "dense" in heads:
            out["dense"] = dense.pool(hidden, seen, self.spec.heads.pooling, unit=self.spec.heads.unit)
        if "sparse" in heads:
            own = torch.cat([hidden[:, :1], hidden[:, 1 + patches :]], dim=1)  # (N, L, D)
            out["weights"] = self.token_weights(own, ids, mask)
            if patches and self.spec.heads.sparse == "tokens+terms":
                words = self.text.embed.words.weight
                out["terms"] = self.patch_terms(hidden[:, 1 : 1 + patches], words, terms)
        if "multi" in heads:
            out["multi"], out["multi_mask"] = self.multi(hidden, unit=self.spec.heads.unit), seen[:, 1:]
        if "states" in heads and pixels is None:
            out["states"] = hidden
        return out
