"""Teaches a finished model to see better, and leaves its reading alone: `python -m recipes.mini.seeing --start FOLDER`.

Only the image tower and its projection are trained: drawings are led, through the frozen text tower, to where the model
puts the names of what they show. Texts don't pass through what is trained, so they stay where they are. With
`recipes.mini.reading`, which trains the other half, it may run at the same time, from the same checkpoint:
`recipes.mini.ship --run FOLDER FOLDER` joins what both have learnt.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from onespace.heads import dense
from onespace.train.loop import Schedule, Trainer
from recipes.mini.batches import Curriculum, Texts, draw, drawn_ahead, tokenise
from recipes.mini.data import FAVOURED, Corpus
from recipes.mini.objective import Learner, fused
from recipes.mini.train import BUILD, begin, opened, part_parser

SIZE = 96
"""Pictures in a step."""
BEHIND = 5400
"""Steps that the model has behind it: pictures are as hard as `Curriculum` makes them."""


def named(learner: Learner, corpus: Corpus, tokenizer: Tokenizer) -> Tensor:
    """Where the model puts each concept's names in the favoured languages: (C, D), unit rows."""
    concepts = corpus.emoji + corpus.icons
    pairs = [(c.index, c.names[x]) for c in concepts for x in FAVOURED if x in c.names]
    own, texts = torch.tensor([index for index, _ in pairs]), [text for _, text in pairs]
    return F.normalize(torch.zeros(learner.anchors.shape).index_add(0, own, learner.places(tokenizer, texts)), dim=1)


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
    batch_of = drawn_ahead(lambda step: draw(corpus, tokenizer, step, seed=seed, size=size, plan=plan))

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = batch_of(step)
        seen = learner.model.project(learner.model.image(batch.pixels, batch.keep))
        nothing = Texts(empty.ids.expand(size, -1), empty.mask.expand(size, -1))
        states, mask = fused(learner.model, nothing, seen, batch.keep, plan.patches)
        rows = dense.pool(states, mask, "cls")
        loss = learner.pull(rows, batch.things)
        return loss, {"ai": float(loss.detach())}

    return step_loss


def main() -> None:
    """Reads the arguments and trains."""
    arguments = part_parser(__doc__, steps=900, rate=5e-4, out=BUILD / "seeing", seed=2).parse_args()
    learner, corpus, tokenizer = opened(arguments)
    with torch.no_grad():
        learner.anchors.copy_(named(learner, corpus, tokenizer))
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
