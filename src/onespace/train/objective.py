"""From the vectors of queries and candidates to one loss: every head, their blend, and what a teacher adds.

Scores are (Q, C). The queries may be some of those that share the candidates, so `Targets` says where each one's own
stand. What is in truth the same thing, or answers the same query, is no negative: it is masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from onespace.score import BLEND
from onespace.train.losses import SPARSE_LOSS, contrastive, dense_scores, distil, distil_ranked, maxsim_scores
from onespace.train.options import Distil, Loss
from onespace.train.sides import Vectors
from onespace.types import HEADS, Head

MASKED = -1e4
"""A score so low that it never counts, and yet is a number: 0 times it is 0."""


@dataclass(frozen=True)
class Targets:
    """Where the right candidates of some queries stand.

    Shapes:
        own (Q, G): columns of each query's own candidates, the right one first; masked (Q, C) bool; teacher (Q, G),
        scores of the own ones, or None.
    """

    own: Tensor
    masked: Tensor
    teacher: Tensor | None = None

    def some(self, rows: slice) -> Targets:
        """Those of some of the queries."""
        return Targets(self.own[rows], self.masked[rows], None if self.teacher is None else self.teacher[rows])


def targets(queries: Tensor, candidates: Tensor, teacher: Tensor | None = None) -> Targets:
    """From the keys of queries (Q,) and of candidates (C,), each query's own together.

    >>> targets(torch.tensor([1, 2]), torch.tensor([7, 8, 8, 9])).masked.tolist()
    [[False, False, False, False], [False, True, False, False]]
    """
    group = len(candidates) // len(queries)
    own = torch.arange(len(candidates), device=queries.device).view(len(queries), group)  # (Q, G)
    right = candidates[own[:, 0]]
    masked = candidates[None, :] == right[:, None]
    masked[:, own[:, 0]] |= queries[:, None] == queries[None, :]
    return Targets(own, masked.scatter(1, own[:, :1], False), teacher)


@dataclass(frozen=True)
class Objective:
    """The losses of a run: their heads, the shorter widths of the dense one, and what distils what."""

    losses: tuple[Loss, ...]
    heads: tuple[Head, ...]
    dims: tuple[int, ...] = ()
    temperature: float = 0.02

    def scores(self, queries: Vectors, candidates: Vectors) -> dict[str, Tensor]:
        """(Q, C) for each head, each shorter width (``dense 64``) and the blend, over the temperature."""
        found: dict[str, Tensor] = {}
        q, c, t = queries, candidates, self.temperature
        if "dense" in self.heads:
            for name, width in (("dense", None), *((f"dense {d}", d) for d in self.dims)):
                one, other = (F.normalize(x["dense"][:, :width], dim=1) for x in (q, c))
                found[name] = dense_scores(one, other, t)
        if "sparse" in self.heads:
            found["sparse"] = q["sparse"] @ c["sparse"].T / t
        if "multi" in self.heads:
            found["multi"] = maxsim_scores(q["multi"], q["multi_mask"], c["multi"], c["multi_mask"], t)
        if len(self.heads) > 1:
            weighted = [w * found[h] for h, w in zip(HEADS, BLEND, strict=True) if h in self.heads]
            found["blend"] = torch.stack(weighted).sum(0)
        return found

    def loss(self, scores: Mapping[str, Tensor], targets: Targets, how: Distil = "none") -> Tensor:
        """One number from the scores; the mean over the losses, the sparse head counting a tenth.

        With dense, sparse, multi and blend, and ``how="self"``, this is BGE-M3's (`onespace.train.losses.m3`).
        """
        right = targets.own[:, 0]
        scores = {name: s.masked_fill(targets.masked, MASKED) for name, s in scores.items()}
        taught = None if targets.teacher is None else targets.teacher.softmax(-1)
        loss = right.new_zeros((), dtype=torch.float32)
        for name in self._names(self.losses):
            s = scores[name]
            if how == "ranked" and taught is not None:
                each = distil_ranked(s, taught, right)
            else:
                each = contrastive(s, right)
                if how == "teacher" and taught is not None:
                    each = each + distil(s.gather(1, targets.own), taught)
            loss = loss + self._weight(name) * each
        loss = loss / len(self.losses)
        if how != "self":
            return loss
        teacher = scores["blend"].detach().softmax(-1)
        learnt = [self._weight(name) * distil(scores[name], teacher) for name in self._names(self.heads)]
        return (loss + torch.stack(learnt).sum() / len(self.heads)) / 2

    def _names(self, losses: Sequence[str]) -> list[str]:
        dims = [f"dense {d}" for d in self.dims] if "dense" in losses else []
        return [*losses, *dims]

    def _weight(self, name: str) -> float:
        """1, but a tenth for sparse; the widths of the dense head share its 1."""
        if name == "sparse":
            return SPARSE_LOSS
        return 1 / (1 + len(self.dims)) if name.startswith("dense") else 1.0
