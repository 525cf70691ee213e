"""Puts image tokens inside the text sequence (VISTA, Zhou et al. 2024: Visualized-BGE).

    [CLS]  patch 1 .. patch P  token 1 .. token n  [SEP]
      0        1 .. P              P + 1 ..              position ids, for BERT and for XLM-R alike

Image tokens get a projection, a position row and the text tower's embedding norm; no word and no token type.
"""

from __future__ import annotations

import torch
from torch import Tensor

from onespace.towers.text import TextEmbedding


def fuse(
    embed: TextEmbedding, ids: Tensor, mask: Tensor, image_tokens: Tensor, keep: Tensor | None = None, total: int = 0
) -> tuple[Tensor, Tensor]:
    """Joins a text and the image tokens of its pictures into one embedded sequence.

    Shapes:
        ids (N, L), mask (N, L) bool, image_tokens (N, P, D) -> embedded (N, L + P, D), its mask (N, L + P).

    ``keep`` (N, P) and ``total`` are for training with dropped patches: the index of each patch that is left, among
    ``total``. A patch then keeps the position that it has when nothing is dropped.
    """
    patches = total or image_tokens.shape[1]
    places = torch.arange(patches, device=ids.device) if keep is None else keep
    steps = torch.arange(ids.shape[1], device=ids.device)
    positions = torch.where(steps > 0, steps + patches, steps)[None, :]  # (1, L): 0, P + 1, P + 2, ...
    text = embed(ids, positions)  # (N, L, D)
    image = embed.place(image_tokens, places + 1)  # (N, P, D)
    sequence = torch.cat([text[:, :1], image, text[:, 1:]], dim=1)  # (N, L + P, D)
    seen = mask.new_ones(image.shape[:2])
    return sequence, torch.cat([mask[:, :1], seen, mask[:, 1:]], dim=1)
