"""The loss of a run is BGE-M3's where it should be, and what is right in truth is no negative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from onespace.train.losses import M3Scores, contrastive, dense_scores, distil, distil_ranked, m3
from onespace.train.objective import Objective, Targets, targets

HEADS = ("dense", "sparse", "multi")
Q, C, G = 3, 6, 2


def vectors(n: int, seed: int) -> dict[str, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return {
        "dense": F.normalize(torch.randn(n, 8, generator=chance), dim=1),
        "sparse": torch.rand(n, 5, generator=chance),
        "multi": F.normalize(torch.randn(n, 4, 6, generator=chance), dim=2),
        "multi_mask": torch.rand(n, 4, generator=chance) < 0.7,
    }


def plain(teacher: Tensor | None = None) -> Targets:
    return targets(torch.arange(Q), torch.arange(C) + 10, teacher)


def test_all_heads_and_their_blend_are_the_loss_of_m3() -> None:
    objective = Objective((*HEADS, "blend"), HEADS, temperature=0.3)
    scores = objective.scores(vectors(Q, 0), vectors(C, 1))
    theirs = M3Scores(scores["dense"], scores["sparse"], scores["multi"])
    torch.testing.assert_close(scores["blend"], theirs.blend)
    assert objective.loss(scores, plain()).item() == pytest.approx(m3(theirs).item(), abs=1e-6)
    assert objective.loss(scores, plain(), "self").item() == pytest.approx(m3(theirs, distilled=True).item(), abs=1e-6)


def test_queries_by_blocks_are_all_of_them() -> None:
    objective = Objective(("dense", "multi"), ("dense", "multi"), temperature=0.3)
    queries, candidates = vectors(Q, 0), vectors(C, 1)
    whole = objective.loss(objective.scores(queries, candidates), plain(), "self")
    parts = [
        objective.loss(objective.scores({k: t[b] for k, t in queries.items()}, candidates), plain().some(b), "self")
        for b in (slice(0, 2), slice(2, 3))
    ]
    assert ((2 * parts[0] + parts[1]) / 3).item() == pytest.approx(whole.item(), abs=1e-6)


def test_shorter_widths_share_the_dense_loss() -> None:
    queries, candidates = vectors(Q, 0), vectors(C, 1)
    objective = Objective(("dense",), ("dense",), (4,), 0.3)
    short = [F.normalize(v["dense"][:, :4], dim=1) for v in (queries, candidates)]
    want = contrastive(dense_scores(queries["dense"], candidates["dense"], 0.3)) + contrastive(
        dense_scores(*short, 0.3)
    )
    loss = objective.loss(objective.scores(queries, candidates), plain())
    assert loss.item() == pytest.approx(want.item() / 2, abs=1e-6)


def test_a_teacher_ranks_each_query_s_own_candidates() -> None:
    objective = Objective(("dense",), ("dense",), temperature=0.3)
    scores = objective.scores(vectors(Q, 0), vectors(C, 1))
    teacher = torch.tensor([[2.0, 1.0], [0.0, 0.5], [3.0, float("-inf")]])
    s, own = scores["dense"], torch.arange(C).view(Q, G)
    added = contrastive(s) + distil(s.gather(1, own), teacher.softmax(1))
    assert objective.loss(scores, plain(teacher), "teacher").item() == pytest.approx(added.item(), abs=1e-6)
    alone = distil_ranked(s, teacher.softmax(1))
    assert objective.loss(scores, plain(teacher), "ranked").item() == pytest.approx(alone.item(), abs=1e-5)


def test_the_same_thing_is_no_negative() -> None:
    """Candidates 2 and 4 are the same, and so are queries 0 and 2, whose answers are then both right."""
    found = targets(torch.tensor([7, 8, 7]), torch.tensor([1, 2, 3, 4, 3, 6]))
    assert found.own.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert [row.nonzero().flatten().tolist() for row in found.masked] == [[4], [4], [0, 2]]
    objective = Objective(("dense",), ("dense",), temperature=1.0)
    scores = torch.randn(Q, C, generator=torch.Generator().manual_seed(0))
    kept = [(0, (1, 2, 3, 5)), (2, (0, 1, 3, 5)), (4, (1, 3, 5))]
    want = [-scores[q][[right, *others]].log_softmax(0)[0] for q, (right, others) in enumerate(kept)]
    loss = objective.loss({"dense": scores}, found)
    assert loss.item() == pytest.approx(torch.stack(want).mean().item(), abs=1e-5)


def test_masked_candidates_have_no_gradient_and_leave_no_nan() -> None:
    objective = Objective((*HEADS, "blend"), HEADS, temperature=0.02)
    queries = {k: t.requires_grad_() if t.is_floating_point() else t for k, t in vectors(Q, 0).items()}
    masked = targets(torch.arange(Q), torch.tensor([1, 1, 1, 1, 1, 1]))
    loss = objective.loss(objective.scores(queries, vectors(C, 1)), masked, "self")
    (gradient,) = torch.autograd.grad(loss, queries["dense"])
    assert float(gradient.abs().max()) == 0
    assert loss.item() == pytest.approx(0, abs=1e-6)
