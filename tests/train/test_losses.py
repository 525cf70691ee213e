"""Losses against their definitions, written out with loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from onespace.train.losses import M3Scores, contrastive, dense_scores, distil, distil_ranked, m3, maxsim_scores


def log_softmax(row: Tensor) -> list[float]:
    total = math.log(sum(math.exp(x) for x in row.tolist()))
    return [x - total for x in row.tolist()]


def scores(seed: int, q: int = 3, c: int = 6) -> Tensor:
    return torch.randn(q, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_contrastive_takes_the_first_of_each_group() -> None:
    s = scores(0)
    assert contrastive(s).item() == pytest.approx(-sum(log_softmax(s[i])[2 * i] for i in range(3)) / 3)


def test_distil_is_the_cross_entropy_with_the_teacher() -> None:
    s, teacher = scores(0), scores(1).softmax(-1)
    want = -sum(float(t) * x for i in range(3) for t, x in zip(teacher[i], log_softmax(s[i]), strict=True)) / 3
    assert distil(s, teacher).item() == pytest.approx(want)


def test_distil_ranked_takes_away_the_candidates_before() -> None:
    s, teacher = scores(0), scores(1, 3, 2).softmax(-1)
    want = 0.0
    for i in range(3):
        without_first = torch.cat([s[i, : 2 * i], s[i, 2 * i + 1 :]])
        want -= float(teacher[i, 0]) * log_softmax(s[i])[2 * i]
        want -= float(teacher[i, 1]) * log_softmax(without_first)[2 * i]
    assert distil_ranked(s, teacher).item() == pytest.approx(want / 3)


def test_dense_scores_are_divided_by_the_temperature() -> None:
    q = torch.tensor([[1.0, 0.0]])
    assert dense_scores(q, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 0.5).tolist() == [[2.0, 0.0]]


def test_maxsim_is_the_mean_of_the_best_and_padding_never_wins() -> None:
    queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    candidates = torch.tensor([[[-1.0, 0.0], [0.0, 0.0]], [[0.6, 0.8], [0.0, 1.0]]])
    query_mask = torch.tensor([[True, True, False]])
    candidate_mask = torch.tensor([[True, False], [True, True]])
    found = maxsim_scores(queries, query_mask, candidates, candidate_mask, 1.0)
    torch.testing.assert_close(found, torch.tensor([[(-1.0 + 0.0) / 2, (0.6 + 1.0) / 2]]))


def test_m3_adds_the_heads_and_then_their_blend_as_a_teacher() -> None:
    s = M3Scores(scores(0).requires_grad_(), scores(1), scores(2))
    blend = s.dense + 0.3 * s.sparse + s.multi
    plain = (contrastive(s.dense) + contrastive(blend) + 0.1 * contrastive(s.sparse) + contrastive(s.multi)) / 4
    assert m3(s).item() == pytest.approx(plain.item())
    teacher = blend.softmax(-1).detach()
    taught = (distil(s.dense, teacher) + 0.1 * distil(s.sparse, teacher) + distil(s.multi, teacher)) / 3
    assert m3(s, distilled=True).item() == pytest.approx((plain + taught).item() / 2)
    (ours,) = torch.autograd.grad(m3(s, distilled=True), s.dense)
    (theirs,) = torch.autograd.grad((plain + taught) / 2, s.dense)
    torch.testing.assert_close(ours, theirs)
