"""What onespace-mini learns in one step: the same thing, drawn or named, lands in one place, under all three heads."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from onespace.fuse import fuse
from onespace.heads import dense
from onespace.model import FusedModel
from onespace.towers.reduced import has_bfloat16
from onespace.train.learner import sparse_rows
from recipes.mini.bank import REFRESHED, Bank
from recipes.mini.batches import Curriculum, Draw, Texts, draw, drawn_ahead, tokenise
from recipes.mini.data import Corpus

SHORTER = (64, 128)
"""Widths to which the dense vector can be cut (Kusupati et al. 2022, Matryoshka)."""


class Learner(nn.Module):
    """The model, and what is learnt with it but not shipped: three temperatures and one anchor for each concept.

    Anchors (proxies, Movshovitz-Attias et al. 2017) let every item be told apart from all concepts at once, not only
    from those in its batch; without them the image tower hardly starts to learn.
    """

    def __init__(self, model: FusedModel, concepts: int) -> None:
        super().__init__()
        self.model = model
        self.anchors = nn.Parameter(torch.randn(concepts, model.spec.heads.dense) * 0.05)
        self.scales = nn.Parameter(torch.tensor([3.0, 2.7, 0.0]))  # log of 1 / temperature: dense, multi, sparse

    def pull(self, vectors: Tensor, things: Tensor) -> Tensor:
        """How far unit vectors (N, D) are from the anchors of what they mean, ``things`` (N, 2)."""
        anchors = F.normalize(self.anchors.float(), dim=1)
        return anchored(self.scales[0].clamp(max=4.6).exp() * vectors @ anchors.T, things)

    def seeing(self, seen: Tensor, batch: Draw) -> Tensor:
        """A short way to the image tower, past the fusion: the mean of the image tokens (B, P, D)."""
        return self.pull(F.normalize(seen.float().mean(1), dim=1), batch.things)

    def reading(self, texts: Texts, things: Tensor, *, parts: int = 2) -> Tensor:
        """Texts that stand alone, sorted by length: each part of them is read without the padding of longer ones."""
        rows = [
            self.vectors(Texts(ids[:, :longest], mask[:, :longest]))
            for ids, mask in zip(texts.ids.tensor_split(parts), texts.mask.tensor_split(parts), strict=True)
            for longest in [int(mask.sum(1).max())]
        ]
        return self.pull(torch.cat(rows), things)

    def vectors(self, texts: Texts) -> Tensor:
        """Dense vectors of texts alone: (N, D), unit rows."""
        return dense.pool(_alone(self.model, texts), texts.mask, "cls")

    @torch.no_grad()
    def places(self, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
        """Where texts lie now, read 256 at a time and without a gradient: (N, D), unit rows."""
        parts = (texts[first : first + 256] for first in range(0, len(texts), 256))
        return torch.cat([self.vectors(tokenise(tokenizer, part)) for part in parts])

    def forward(self, batch: Draw, rest: tuple[Texts, Bank] | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its parts; without an empty text and a bank, of pictures and names that only meet at anchors."""
        if rest is not None:
            return _losses(self, batch, *rest)
        seen = self.seeing(self.model.project(self.model.image(batch.pixels, batch.keep)), batch)
        read = self.reading(batch.names, batch.named)
        return seen + read, {"ad": seen, "an": read}


def objective(
    learner: Learner,
    corpus: Corpus,
    tokenizer: Tokenizer,
    *,
    seed: int,
    size: int,
    plan: Curriculum,
) -> Callable[[int], tuple[Tensor, dict[str, float]]]:
    """Step -> loss and report, for `onespace.train.loop.Trainer`: float32 weights, bfloat16 products where it pays."""
    empty = tokenise(tokenizer, [""])
    kind = torch.bfloat16 if has_bfloat16() else torch.float32
    batch_of = drawn_ahead(lambda step: draw(corpus, tokenizer, step, seed=seed, size=size, plan=plan))

    @lru_cache(maxsize=1)
    def names(turn: int) -> Bank:
        return Bank.read(learner.model, corpus, tokenizer, np.random.default_rng((seed, plan.behind + turn)))

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = batch_of(step)
        batch.pixels = batch.pixels.to(kind, memory_format=torch.channels_last)
        torch.manual_seed(seed * 1_000_003 + plan.behind + step)
        cast = {n: p if n in ("scales", "anchors") else p.to(kind) for n, p in learner.named_parameters()}
        rest = None if plan.light(step) else (empty, names(step // REFRESHED))
        loss, parts = functional_call(learner, cast, (batch, rest))
        return loss, {k: float(v.detach()) for k, v in parts.items()}

    return step_loss


def _losses(learner: Learner, batch: Draw, empty: Texts, bank: Bank) -> tuple[Tensor, dict[str, Tensor]]:
    model = learner.model
    patches = model.spec.image.tokens  # type: ignore[union-attr]
    scale = learner.scales.clamp(max=4.6).exp()
    n = len(batch.pixels)
    seen = model.project(model.image(batch.pixels, batch.keep))  # (B, K, D)
    hint = learner.seeing(seen, batch)
    seen, keep = seen[:, : batch.fused], None if batch.keep is None else batch.keep[:, : batch.fused]  # (B, P', D)
    nothing = Texts(empty.ids.expand(n, -1), empty.mask.expand(n, -1))
    image, image_mask = fused(model, nothing, seen, keep, patches)
    half = n // 2
    first = None if keep is None else keep[:half]
    pair, pair_mask = fused(model, batch.pair_texts, seen[:half], first, patches)
    text, extra = _alone(model, batch.texts), _alone(model, batch.extra)

    i, p, t = (dense.pool(h, m, "cls") for h, m in ((image, image_mask), (pair, pair_mask), (text, batch.texts.mask)))
    x = dense.pool(extra, batch.extra.mask, "cls")
    label = batch.label
    every, every_label = torch.cat([t, x]), torch.cat([label, batch.extra_label])
    parts: dict[str, Tensor] = {}
    for width in (*SHORTER, i.shape[1]):
        cut = [F.normalize(v[:, :width], dim=1) for v in (i, every, t)]
        parts[f"it{width}"] = both(scale[0] * cut[0] @ cut[1].T, label, every_label) / (1 if width == i.shape[1] else 4)
        parts[f"tt{width}"] = within(scale[0] * cut[2] @ cut[2].T, label) / (2 if width == i.shape[1] else 8)
    parts["ii"] = within(scale[0] * i @ i.T, label) / 4
    parts["pt"] = both(scale[0] * p @ every.T, batch.pair_label, every_label) / 2
    own = learner.vectors(batch.pair_texts)
    parts["po"] = F.cross_entropy(scale[0] * p @ torch.cat([own, t]).T, torch.arange(half)) / 3  # its very own words
    parts["pi"] = both(scale[0] * p @ i.T, batch.pair_label, label) / 2

    parts["ai"] = learner.pull(i, batch.things)
    parts["ad"] = hint
    parts["an"] = learner.reading(batch.names, batch.named)
    parts["at"] = learner.pull(t, batch.things) / 2
    parts["ap"] = learner.pull(p, batch.pair_things) / 2

    some = Texts(batch.texts.ids[:half], batch.texts.mask[:half])
    tokens = model.multi(text[:half])
    late = maxsim(tokens, some.mask[:, 1:], model.multi(image[:half]))
    late_pair = maxsim(tokens, some.mask[:, 1:], model.multi(pair), pair_mask[:, 1:])
    parts["mi"] = both(scale[1] * late, label[:half], label[:half]) / 2
    parts["mp"] = both(scale[1] * late_pair, label[:half], batch.pair_label) / 4

    terms = torch.unique(torch.cat([batch.texts.ids.flatten(), torch.randint(4, model.spec.text.vocab - 1, (1000,))]))  # type: ignore[union-attr]
    words = model.text.embed.words.weight
    named = model.patch_terms(image[:, 1 : 1 + seen.shape[1]], words, terms)  # (B, terms)
    weights = model.token_weights(text, batch.texts.ids, batch.texts.mask)  # (B, L)
    rows = sparse_rows(weights, batch.texts.ids, terms)  # (B, terms)
    lexical = rows @ named.T  # (B, B): texts by pictures
    parts["si"] = both(scale[2] * lexical, label, label) / 2
    parts["flops"] = named.mean(0).square().sum() * 0.03 + rows.mean(0).square().sum() * 0.003
    blend = scale[0] * t[:half] @ i[:half].T + scale[1] * late + scale[2] * lexical[:half, :half]
    parts["bl"] = both(blend, label[:half], label[:half]) / 2
    parts |= _among_all(learner, bank, (i[:half], image[:half, 1 : 1 + seen.shape[1]]), batch.things[:half])
    words_of_pair = torch.cat([pair[:, :1], pair[:, 1 + seen.shape[1] :]], dim=1)
    ids, mask = batch.pair_texts.ids, batch.pair_texts.mask
    spoken = sparse_rows(model.token_weights(words_of_pair, ids, mask), ids, terms)
    both_terms = torch.maximum(model.patch_terms(pair[:, 1 : 1 + seen.shape[1]], words, terms), spoken)
    parts["sp"] = both(scale[2] * rows @ both_terms.T, label, batch.pair_label) / 4

    loss = torch.stack(list(parts.values())).sum()
    hit = (label[:, None] == label[None, :]).gather(1, (i @ t.T).argmax(1, keepdim=True)).float().mean()
    return loss, {**parts, "hit": hit, "terms": (named > 0).float().sum(1).mean()}


def _among_all(learner: Learner, bank: Bank, pictures: tuple[Tensor, Tensor], things: Tensor) -> dict[str, Tensor]:
    """Pictures, as dense rows (N, D) and states (N, P, D), find their names among all, by head and blend."""
    model, scale = learner.model, learner.scales.clamp(max=4.6).exp()
    known = things.amax(1) < len(bank.counts)  # icons have no name in it
    rows, states = (x[known] for x in pictures)
    late = scale[1] * bank.late(model.multi(states))
    named = model.patch_terms(states, model.text.embed.words.weight, bank.terms)
    lexical = scale[2] * bank.lexical(named)
    blend = scale[0] * rows @ bank.dense.T + late + lexical
    scores = {"bm": late, "bs": lexical, "bb": blend}
    spread = named.mean(0).square().sum() * 0.01
    return {k: anchored(v, things[known]) / 2 for k, v in scores.items()} | {"few": spread}


def fused(model: FusedModel, texts: Texts, seen: Tensor, keep: Tensor | None, patches: int) -> tuple[Tensor, Tensor]:
    """States (N, T, D) and mask (N, T) of texts with projected patches (N, K, D), of which ``keep`` says the places."""
    sequence, mask = fuse(model.text.embed, texts.ids, texts.mask, seen, keep, patches)
    return model.text.encode(sequence, mask), mask


def _alone(model: FusedModel, texts: Texts) -> Tensor:
    """Texts alone; a third of the batches start at a random position, so that all 8192 rows are learnt."""
    embed = model.text.embed
    positions = embed.own_positions(texts.mask)
    if torch.rand(()) < 0.33:
        shift = torch.randint(0, embed.spec.max_positions - positions.shape[1] - 2, (len(positions), 1))
        moved = positions + shift
        positions = torch.where(texts.mask & (torch.arange(positions.shape[1]) > 0), moved, positions)
    return model.text.encode(embed(texts.ids, positions), texts.mask)


def both(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """InfoNCE in both directions, each positive sharing the target (N, M); rows or columns without one are left out."""
    same = rows[:, None] == columns[None, :]
    return (_one_way(scores, same) + _one_way(scores.T, same.T)) / 2


def anchored(scores: Tensor, things: Tensor) -> Tensor:
    """Cross-entropy of scores (N, concepts) with one or two true concepts (N, 2), half of the weight on each."""
    return -scores.float().log_softmax(1).gather(1, things).mean()


def within(scores: Tensor, label: Tensor) -> Tensor:
    """InfoNCE among one kind (N, N), an item never being its own positive or negative."""
    self_ = torch.eye(len(label), dtype=torch.bool)
    return _one_way(scores.masked_fill(self_, -1e4), (label[:, None] == label[None, :]) & ~self_)


def _one_way(scores: Tensor, same: Tensor) -> Tensor:
    positives = same.sum(1)
    log = scores.float().log_softmax(1)
    each = -(log * same).sum(1) / positives.clamp(min=1)
    return each[positives > 0].mean() if bool((positives > 0).any()) else each.sum() * 0


def maxsim(queries: Tensor, mask: Tensor, documents: Tensor, seen: Tensor | None = None) -> Tensor:
    """queries (N, L, d), mask (N, L), documents (M, T, d) -> (N, M): the mean over query tokens of the best match."""
    n, length, d = queries.shape
    scores = queries.reshape(-1, d) @ documents.reshape(-1, d).T  # (N * L, M * T)
    scores = scores.unflatten(1, documents.shape[:2])  # (N * L, M, T)
    if seen is not None:
        scores = scores.masked_fill(~seen, -1e4)
    best = scores.amax(2).unflatten(0, (n, length)) * mask[:, :, None]  # (N, L, M)
    return best.sum(1) / mask.sum(1)[:, None]
