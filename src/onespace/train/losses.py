"""Training losses on score matrices. Scores are (Q, C): one row a query, G = C / Q candidates a query, its own first.

contrastive    the right candidate against all others (InfoNCE, van den Oord et al. 2018)
distil         a teacher's distribution over the candidates
m3             BGE-M3's sum over three heads and their blend, with self-distillation (Chen et al. 2024, section 3.3)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.02
"""Of Visualized-BGE, and of BGE-M3's published recipe."""
SPARSE_LOSS = 0.1
"""How much the loss of the sparse head counts, beside 1 for every other."""


def contrastive(scores: Tensor, right: Tensor | None = None) -> Tensor:
    """Cross-entropy of scores (Q, C), in which query i's right candidate stands at column i * (C / Q).

    ``right`` (Q,) says where it stands otherwise: when the queries are only some of those that share the candidates.

    >>> contrastive(torch.zeros(2, 4))
    tensor(1.3863)
    """
    return F.cross_entropy(scores, own_columns(scores) if right is None else right)


def own_columns(scores: Tensor) -> Tensor:
    """Where the right candidates of scores (Q, C) stand, (Q,): each query's own are together, the right one first."""
    return torch.arange(len(scores), device=scores.device) * (scores.shape[1] // len(scores))


def distil(scores: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy of scores (Q, C) with a teacher's probabilities (Q, C).

    >>> distil(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]))
    tensor(0.6931)
    """
    return F.cross_entropy(scores, teacher)


def distil_ranked(scores: Tensor, teacher: Tensor, right: Tensor | None = None) -> Tensor:
    """Distils one candidate after another: scores (Q, C), a teacher's probabilities (Q, G) of each query's own.

    The g-th own candidate competes with all columns but the own ones before it, and counts by its probability.
    """
    loss = scores.new_zeros(())
    first = own_columns(scores) if right is None else right
    for g, weight in enumerate(teacher.T):
        loss = loss + (weight * F.cross_entropy(scores, first + g, reduction="none")).mean()
        scores = scores.scatter(1, (first + g)[:, None], torch.finfo(scores.dtype).min)
    return loss


def dense_scores(queries: Tensor, candidates: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Unit rows (Q, D) and (C, D) -> (Q, C)."""
    return queries @ candidates.T / temperature


def maxsim_scores(
    queries: Tensor, query_mask: Tensor, candidates: Tensor, candidate_mask: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """The mean over a query's tokens of the best token of the candidate.

    Shapes:
        queries (Q, T, d), query_mask (Q, T) bool, candidates (C, U, d), candidate_mask (C, U) bool -> (Q, C).
    """
    pairs = torch.einsum("qtd,cud->qctu", queries, candidates)
    pairs = pairs.masked_fill(~candidate_mask[None, :, None, :], float("-inf"))
    best = pairs.amax(-1).masked_fill(~query_mask[:, None, :], 0.0)  # (Q, C, T)
    return best.sum(-1) / query_mask.sum(1, keepdim=True).clamp(min=1) / temperature


@dataclass(frozen=True)
class M3Scores:
    """The scores (Q, C) of BGE-M3's three heads for the same queries and candidates."""

    dense: Tensor
    sparse: Tensor
    multi: Tensor

    @property
    def blend(self) -> Tensor:
        """dense + 0.3 sparse + multi."""
        return self.dense + 0.3 * self.sparse + self.multi


def m3(scores: M3Scores, *, distilled: bool = False) -> Tensor:
    """BGE-M3's loss; ``distilled`` adds what each head learns from the blend of all (after the first steps)."""
    loss = contrastive(scores.dense) + contrastive(scores.blend) + contrastive(scores.multi)
    loss = (loss + SPARSE_LOSS * contrastive(scores.sparse)) / 4
    if not distilled:
        return loss
    teacher = scores.blend.detach().softmax(-1)
    taught = distil(scores.dense, teacher) + distil(scores.multi, teacher)
    return (loss + (taught + SPARSE_LOSS * distil(scores.sparse, teacher)) / 3) / 2
