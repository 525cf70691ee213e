"""Teaches a finished model to see better, and leaves its reading alone: `python -m recipes.mini.seeing --start FOLDER`.

Only the image tower and its projection are trained: drawings are led, through the frozen text tower, to where the model
puts the names of what they show. Texts don't pass through what is trained, so they stay where they are. With
`recipes.mini.reading`, which trains the other half, it may run at the same time, from the same checkpoint:
`recipes.mini.ship --run FOLDER FOLDER` joins what both have learnt.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from onespace.heads import dense
from onespace.train.loop import Schedule, Trainer
from recipes.mini.batches import Curriculum, Draw, Texts, draw, read_tokenizer, tokenise
from recipes.mini.data import FAVOURED, Corpus
from recipes.mini.objective import Learner, fused
from recipes.mini.train import BUILD, begin, started

SIZE = 96
"""Pictures in a step."""
BEHIND = 5400
"""Steps that the model has behind it: pictures are as hard as `Curriculum` makes them."""


def named(learner: Learner, corpus: Corpus, tokenizer: Tokenizer) -> Tensor:
    """Where the model puts each concept's names in the favoured languages: (C, D), unit rows."""
    concepts = corpus.emoji + corpus.icons
    pairs = [(c.index, c.names[x]) for c in concepts for x in FAVOURED if x in c.names]
    sums = torch.zeros_like(learner.anchors)
    with torch.no_grad():
        for first in range(0, len(pairs), 256):
            places, texts = zip(*pairs[first : first + 256], strict=True)
            sums.index_add_(0, torch.tensor(places), learner.vectors(tokenise(tokenizer, list(texts))))
    return F.normalize(sums, dim=1)


def only_eyes(learner: Learner) -> None:
    """Freezes all but what pictures pass through before they meet the text tower."""
    learner.requires_grad_(False)
    for part in (learner.model.image, learner.model.project):
        part.requires_grad_()


def objective(
    learner: Learner, corpus: Corpus, tokenizer: Tokenizer, *, seed: int, plan: Curriculum, size: int = SIZE
) -> Callable[[int], tuple[Tensor, dict[str, float]]]:
    """Step -> loss and report: pictures, fused with an empty text, are told apart at the anchors."""
    empty = tokenise(tokenizer, [""])
    ahead: dict[int, Future[Draw]] = {}
    worker = ThreadPoolExecutor(1)

    def prepare(step: int) -> Draw:
        return draw(corpus, tokenizer, step, seed=seed, size=size, plan=plan)

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        waiting = ahead.pop(step, None)
        batch = prepare(step) if waiting is None else waiting.result()
        ahead[step + 1] = worker.submit(prepare, step + 1)
        seen = learner.model.project(learner.model.image(batch.pixels, batch.keep))
        nothing = Texts(empty.ids.expand(size, -1), empty.mask.expand(size, -1))
        states, mask = fused(learner.model, nothing, seen, batch.keep, plan.patches)
        rows = dense.pool(states, mask, "cls")
        loss = learner.pull(rows, batch.things)
        return loss, {"ai": float(loss.detach())}

    return step_loss


def main() -> None:
    """Reads the arguments and trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", type=Path, required=True, help="folder of the checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--data", type=Path, default=BUILD)
    parser.add_argument("--out", type=Path, default=BUILD / "seeing")
    parser.add_argument("--seed", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tokenizer = read_tokenizer(arguments.start)
    corpus = Corpus(arguments.data)
    learner = started(arguments.start, corpus, tokenizer)
    anchors = named(learner, corpus, tokenizer)
    with torch.no_grad():
        learner.anchors.copy_(anchors)
    only_eyes(learner)
    learner.model.image.to(memory_format=torch.channels_last)
    patches = learner.model.spec.image.tokens  # type: ignore[union-attr]
    plan = Curriculum(arguments.steps, patches, behind=BEHIND, whole=0.2)
    begin(arguments.out, arguments.start, vars(arguments) | {"batch": SIZE})
    step_loss = objective(learner, corpus, tokenizer, seed=arguments.seed, plan=plan)
    schedule = Schedule(steps=arguments.steps, learning_rate=arguments.rate, warmup=30, decay=0.9, save_every=50)
    Trainer(learner, step_loss, arguments.out, schedule).run()


if __name__ == "__main__":
    main()
