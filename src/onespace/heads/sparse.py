"""The sparse head: weights on vocabulary terms.

Text tokens weigh themselves: relu(w.h + b) (BGE-M3, Chen et al. 2024, section 3.2). Image patches have no token of
their own, so each patch names vocabulary terms: log(1 + relu(E f(h) + c)), the largest over the patches (SPLADE-max,
Formal et al. 2021), where E is the text tower's own word table.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TokenWeights(nn.Module):
    """One weight, at least 0, for each text token."""

    def __init__(self, width: int, skip: tuple[int, ...]) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        self.skip = skip

    def forward(self, hidden: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """hidden (N, L, D), ids (N, L), mask (N, L) bool -> (N, L); 0 at padding and at the skipped ids."""
        weights = torch.relu(self.linear(hidden).float()).squeeze(-1)  # (N, L)
        counted = mask
        for token in self.skip:
            counted = counted & (ids != token)
        return torch.where(counted, weights, torch.zeros_like(weights))


class PatchTerms(nn.Module):
    """Lets image patches name vocabulary terms, through the text tower's word table."""

    def __init__(self, width: int, vocab: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.full((vocab,), -1.0))

    def logits(self, patches: Tensor, words: Tensor, terms: Tensor | None = None) -> Tensor:
        """patches (N, P, D), word table (V, D) -> (N, P, V), or (N, P, len(terms)) for chosen terms while training."""
        if terms is None:
            return self.transform(patches).to(words.dtype) @ words.T + self.bias
        return self.transform(patches) @ words[terms].T + self.bias[terms]

    def forward(self, patches: Tensor, words: Tensor, terms: Tensor | None = None) -> Tensor:
        """Weights of the terms, at least 0: (N, V) or (N, len(terms))."""
        best = self.logits(patches, words, terms).amax(1)  # (N, V): the largest patch of each term
        return torch.log1p(torch.relu(best.float()))
