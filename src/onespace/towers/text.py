"""The text tower: BERT (Devlin et al. 2018) and XLM-RoBERTa (Conneau et al. 2019), which differ in the positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onespace.spec import TextSpec
from onespace.towers.attention import Attention, activation
from onespace.towers.packing import Packing, way_for


class TextEmbedding(nn.Module):
    """Words + positions + token type 0, then LayerNorm."""

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        self.spec = spec
        self.words = nn.Embedding(spec.vocab, spec.width, padding_idx=spec.pad)
        self.positions = nn.Embedding(spec.max_positions, spec.width)
        self.types = nn.Embedding(spec.token_types, spec.width)
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """ids (N, L), positions (N, L) or (1, L) -> (N, L, D)."""
        return self.norm(self.words(ids) + self.positions(positions) + self.types.weight[0])  # (N, L, D)

    def place(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Gives foreign tokens (N, P, D) the positions (P,) or (N, P) and this layer's norm; no word, no type."""
        return self.norm(tokens + self.positions(positions))  # (N, P, D)

    def own_positions(self, mask: Tensor) -> Tensor:
        """Position ids of a text that stands alone: mask (N, L) bool, False at padding -> (N, L)."""
        if self.spec.position_rule == "absolute":
            return torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
        return torch.where(mask, mask.cumsum(1) + self.spec.pad, self.spec.pad)


class Block(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        self.attention = Attention(spec.width, spec.heads)
        self.attention_norm = nn.LayerNorm(spec.width, eps=spec.eps)
        self.up = nn.Linear(spec.width, spec.hidden)
        self.activation = activation(spec.activation)
        self.down = nn.Linear(spec.hidden, spec.width)
        self.norm = nn.LayerNorm(spec.width, eps=spec.eps)

    def forward(self, x: Tensor, mask: Tensor | Packing | None) -> Tensor:
        """(N, T, D) -> (N, T, D), or packed (tokens, D) -> (tokens, D)."""
        x = self.attention_norm(x + self.attention(x, mask))
        return self.norm(x + self.down(self.activation(self.up(x))))


class TextTower(nn.Module):
    """Embedding and blocks. The two are called apart, because `onespace.fuse` puts image tokens between them."""

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        self.embed = TextEmbedding(spec)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))

    def encode(self, x: Tensor, mask: Tensor | None, lengths: Sequence[int] | None = None) -> Tensor:
        """Embedded tokens (N, T, D), mask (N, T) bool -> hidden states (N, T, D).

        At inference on a CPU or a CUDA device the padding is left out of all the work, and its rows come back as zeros.
        ``lengths`` are the tokens of each row; where they aren't given they are read from the mask, for which a GPU is
        waited for.
        """
        way = None if mask is None else way_for(x, x.shape[2] // self.embed.spec.heads)
        if mask is None or way is None:
            return self._through(x, mask)
        lengths = mask.sum(1).tolist() if lengths is None else lengths
        if sum(lengths) == mask.numel():  # nothing is padding
            return self._through(x, None)
        packing = Packing.of(mask, lengths, way)
        return packing.pad(self._through(packing.pack(x), packing))

    def _through(self, x: Tensor, mask: Tensor | Packing | None) -> Tensor:
        for block in self.blocks:
            x = block(x, mask)
        return x

    def forward(self, ids: Tensor, mask: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """A text alone: ids (N, L), mask (N, L) bool, lengths as for `encode` -> (N, L, D).

        As in the reference, a ``<pad>`` that the text itself spells is seen, and yet takes no place.
        """
        positions = self.embed.own_positions(mask & (ids != self.embed.spec.pad))
        return self.encode(self.embed(ids, positions), mask, lengths)
