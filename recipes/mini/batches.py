"""One training step's batch: every concept twice, in two styles and several languages."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from recipes.mini import augment
from recipes.mini.data import Concept, Corpus, draw_locale

COMPOSED = 0.4
"""Share of the pictures that show two things, when pictures are at their hardest."""
CROWDED = 0.4
"""Share of the pictures that another drawing reaches into, unnamed, when pictures are at their hardest."""
CHANGED = 0.3
"""Share of the pairs whose text adds a second thing to the picture."""
SHOWN = 0.7
"""Share of the changed pairs whose meaning is also drawn in the batch: the picture with the second thing in it."""
NAMES = 640
"""Texts in a batch that stand alone."""
SEEING_STEPS = 100
"""First steps, in which the image tower learns alone."""


@dataclass(frozen=True)
class Curriculum:
    """What a step is made of. ``behind`` are steps that the weights have behind them from an earlier run."""

    steps: int
    patches: int
    behind: int = 0
    whole: float = 0.05
    """Last share of the steps, in which all patches are seen and fused."""

    def known(self, step: int) -> int:
        """Emoji that take part at a step: 100 at first, then twice as many every 200 steps.

        With few things a first eye for shapes forms within minutes; with all at once every picture lands in one place,
        and stays there for an hour.
        """
        return int(100 * 2 ** min(max(0, step + self.behind - SEEING_STEPS) / 200, 12))

    def hard(self, step: int) -> float:
        """How far pictures go from large and single (0) to small, crowded and composed (1).

        Starting hard learns nothing, so the first 2,000 steps are easy.
        """
        return float(np.interp(step + self.behind, (0, 225, 2000, 2900), (0, 0.15, 0.15, 0.35)))

    def seen(self, step: int) -> int:
        """Patches of a picture that pass the image tower, chosen at random."""
        return self.patches if self._ending(step) else self.patches * 5 // 8

    def fused(self, step: int) -> int:
        """Those of them that go on to the fusion."""
        return self.patches if self._ending(step) else self.patches * 3 // 8

    def light(self, step: int) -> bool:
        """Whether the two towers meet at the anchors alone, at half the cost: they need more examples than fusion."""
        if step + self.behind < SEEING_STEPS:
            return True
        return not self._ending(step) and step % (4 if step < self.steps * 0.6 else 2) != 0

    def _ending(self, step: int) -> bool:
        return step >= self.steps * (1 - self.whole)


@dataclass
class Texts:
    """ids (N, L) int64 and mask (N, L) bool."""

    ids: Tensor
    mask: Tensor


@dataclass
class Draw:
    """A batch of B pictures and what belongs to them.

    ``keep`` (B, K) are the patches that the image tower sees, in no order, of which the first ``fused`` go on; None is
    all of them.
    ``label`` (B,): the concept, or for a picture of two things a label of its own. ``texts`` has one for each picture.
    ``pair_texts`` (B / 2 rows) goes with the first half of the pictures into pairs; ``pair_label`` (B / 2,) is what
    the pair means, and ``extra`` are the joint captions of changed pairs, with ``extra_label``. ``things`` (B, 2) and
    ``pair_things`` (B / 2, 2) are the indices of the one or two concepts that are meant. ``names`` are more texts, of
    any concepts ``named`` (NAMES, 2), sorted by length: there are far more names than pictures.
    """

    pixels: Tensor
    keep: Tensor | None
    fused: int
    label: Tensor
    texts: Texts
    pair_texts: Texts
    pair_label: Tensor
    extra: Texts
    extra_label: Tensor
    things: Tensor
    pair_things: Tensor
    names: Texts
    named: Tensor


def drawn_ahead(prepare: Callable[[int], Draw]) -> Callable[[int], Draw]:
    """``prepare``, with the batch of the next step made by a thread while this one is learnt from."""
    ahead: dict[int, Future[Draw]] = {}
    worker = ThreadPoolExecutor(1)

    def at(step: int) -> Draw:
        waiting = ahead.pop(step, None)
        batch = prepare(step) if waiting is None else waiting.result()
        ahead[step + 1] = worker.submit(prepare, step + 1)
        return batch

    return at


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder, which neither pads nor cuts: `tokenise` does."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def tokenise(tokenizer: Tokenizer, texts: list[str], limit: int = 16) -> Texts:
    """Right-padded ids, cut at ``limit`` tokens with </s> kept."""
    rows = [e.ids if len(e.ids) <= limit else [*e.ids[: limit - 1], 2] for e in tokenizer.encode_batch(texts)]
    longest = max(len(r) for r in rows)
    ids = torch.tensor([r + [1] * (longest - len(r)) for r in rows])
    return Texts(ids, ids != 1)


def draw(corpus: Corpus, tokenizer: Tokenizer, step: int, *, seed: int, size: int, plan: Curriculum) -> Draw:
    """The batch of a step: ``size`` pictures and what belongs to them."""
    rng = np.random.default_rng((seed, plan.behind + step))
    patches, seen, hard = plan.patches, plan.seen(step), plan.hard(step)
    concepts = corpus.draw_concepts(rng, size // 2, known=plan.known(step))
    concepts = concepts + concepts  # two views of each; (B,)
    own = np.array([c.index for c in concepts])
    labels = np.tile(np.arange(size // 2), 2)
    partners = rng.permutation(size // 2)[labels]
    apart = partners != labels
    composed = (rng.random(size) < COMPOSED * hard) & apart
    changed = (rng.random(size) < CHANGED) & ~composed & apart & (np.arange(size) < size // 2)
    composed[size // 2 :] |= changed[: size // 2] & (rng.random(size // 2) < SHOWN)
    joint = labels * size + partners + size  # a label of its own for every ordered couple

    pixels = _pictures(corpus, rng, concepts, [concepts[p] for p in partners], composed, hard)
    keep = None
    if seen < patches:
        keep = torch.from_numpy(rng.random((size, patches)).argsort(1)[:, :seen].copy())

    def words(i: int) -> str:
        locale = draw_locale(rng, concepts[i])
        if composed[i]:
            return corpus.joint(concepts[i], concepts[partners[i]], locale)
        return corpus.draw_text(rng, concepts[i], locale=locale)[0]

    texts = [words(i) for i in range(size)]
    pair_texts, extra = [], []
    for i in range(size // 2):
        locale = draw_locale(rng, concepts[i])
        if not changed[i]:
            pair_texts.append(words(i) if rng.random() < 0.9 else texts[i])
            continue
        second = concepts[partners[i]]
        pair_texts.append(corpus.draw_text(rng, second, locale=locale if locale in second.names else "en")[0])
        extra.append(corpus.joint(concepts[i], second, locale))
    others = [corpus.draw_any(rng) for _ in range(NAMES)]
    names = tokenise(tokenizer, [corpus.draw_text(rng, c)[0] for c in others])
    order = names.mask.sum(1).argsort(stable=True)
    return Draw(
        names=Texts(names.ids[order], names.mask[order]),
        named=torch.tensor([[c.index, c.index] for c in others])[order],
        pixels=pixels,
        keep=keep,
        fused=plan.fused(step),
        label=torch.from_numpy(np.where(composed, joint, labels)),
        texts=tokenise(tokenizer, texts),
        pair_texts=tokenise(tokenizer, pair_texts),
        pair_label=torch.from_numpy(np.where(composed | changed, joint, labels)[: size // 2]),
        extra=tokenise(tokenizer, extra or ["-"]),
        extra_label=torch.from_numpy(joint[changed] if extra else np.array([-1])),
        things=torch.from_numpy(np.stack([own, np.where(composed, own[partners], own)], 1)),
        pair_things=torch.from_numpy(np.stack([own, np.where(composed | changed, own[partners], own)], 1)[: size // 2]),
    )


def _pictures(
    corpus: Corpus,
    rng: np.random.Generator,
    concepts: list[Concept],
    partners: list[Concept],
    composed: np.ndarray,
    hard: float,
) -> Tensor:
    """One picture a concept, with its partner's drawing beside or partly over it where ``composed``: (B, 3, S, S)."""
    half, size = len(concepts) // 2, corpus.images.shape[1]
    pictures, rows = [], []
    for i, concept in enumerate(concepts):
        choice = concept.rows
        if i >= half and len(choice) > 1:  # the second view of a concept is in another style
            choice = [r for r in choice if r != rows[i - half]]
        rows.append(choice[int(rng.integers(len(choice)))])
        picture, dark = augment.ground(size, rng)
        layers = [(rows[i], (0.85 - 0.45 * hard, 1.05 + 0.1 * hard), np.zeros(2))]
        if composed[i]:
            side = np.array([rng.uniform(0.3, 0.6), rng.normal(0, 0.15)]) * (1 if rng.random() < 0.5 else -1)
            other = partners[i].rows[int(rng.integers(len(partners[i].rows)))]
            layers = [(rows[i], (0.4, 0.7), side), (other, (0.4, 0.7), -side)]
        elif rng.random() < CROWDED * hard:
            stranger = partners[i].rows[int(rng.integers(len(partners[i].rows)))]
            angle = rng.uniform(0, 2 * np.pi)
            layers.insert(0, (stranger, (0.4, 0.8), 0.9 * np.array([np.cos(angle), np.sin(angle)])))
        for row, scale, shift in layers:
            mono = bool(corpus.monochrome[row])
            augment.lay(picture, corpus.images[row], mono, dark, rng, scale=scale, shift=shift)
        if rng.random() < 0.1:
            word = concept.name if rng.random() < 0.5 else concepts[int(rng.integers(len(concepts)))].name
            augment.write_word(picture, word, dark, rng)
        pictures.append(augment.soften(picture, rng) if rng.random() < 0.15 else picture)
    return augment.to_tensor(pictures, rng)
