"""A name of every emoji as all three heads see it: the thousands of wrong answers that no batch can hold.

Without it the dense vector alone meets all concepts (at the anchors), and the other two heads stay behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from onespace.heads import dense
from onespace.model import FusedModel
from recipes.mini.batches import Texts, tokenise
from recipes.mini.data import Corpus

REFRESHED = 50
"""Steps after which the names are read anew, in other languages; a run that is resumed starts with a new reading."""
AT_ONCE = 256


@dataclass(frozen=True)
class Bank:
    """What C names score under each head; no gradient goes into them.

    ``dense`` (C, D); ``terms`` (V',) ids in ascending order and ``rows`` (V', C) their weights; ``tokens`` (T, d) of
    all names, ``owner`` (T,) whose they are, and ``counts`` (C,).
    """

    dense: Tensor
    terms: Tensor
    rows: Tensor
    tokens: Tensor
    owner: Tensor
    counts: Tensor

    @classmethod
    @torch.no_grad()
    def read(cls, model: FusedModel, corpus: Corpus, tokenizer: Tokenizer, rng: np.random.Generator) -> Bank:
        """Reads one text of every emoji, in the order of their indices."""
        texts = [corpus.draw_text(rng, concept)[0] for concept in corpus.emoji]
        whole, ids, weights, tokens, counts = [], [], [], [], []
        for first in range(0, len(texts), AT_ONCE):
            some = tokenise(tokenizer, texts[first : first + AT_ONCE])
            states = _states(model, some)
            whole.append(dense.pool(states, some.mask, "cls"))
            own = some.mask[:, 1:]
            tokens.append(model.multi(states)[own])
            counts.append(own.sum(1))
            weight = model.token_weights(states, some.ids, some.mask)
            row, column = weight.nonzero(as_tuple=True)
            ids.append(torch.stack([row + first, some.ids[row, column]]))
            weights.append(weight[row, column])
        owner, term = torch.cat(ids, 1)
        terms, place = term.unique(return_inverse=True)
        rows = torch.zeros(len(terms), len(texts))
        rows.view(-1).scatter_reduce_(0, place * len(texts) + owner, torch.cat(weights).float(), "amax")
        count = torch.cat(counts)
        return cls(
            torch.cat(whole), terms, rows, torch.cat(tokens), torch.arange(len(texts)).repeat_interleave(count), count
        )

    def late(self, documents: Tensor) -> Tensor:
        """Token vectors of documents (N, P, d) -> the mean over each name's tokens of the best match (N, C)."""
        best = (documents @ self.tokens.T.to(documents.dtype)).amax(1).float()  # (N, T)
        sums = best.new_zeros(len(documents), len(self.counts)).index_add(1, self.owner, best)
        return sums / self.counts

    def lexical(self, named: Tensor) -> Tensor:
        """Weights (N, V') of the bank's terms -> (N, C)."""
        return named.float() @ self.rows


def _states(model: FusedModel, texts: Texts) -> Tensor:
    embed = model.text.embed
    return model.text.encode(embed(texts.ids, embed.own_positions(texts.mask)), texts.mask)
