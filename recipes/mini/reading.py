"""Teaches a finished model to read better, and leaves its eyes alone: `python -m recipes.mini.reading --start FOLDER`.

Only the table of words is trained: names of emoji, in all languages, are led to where the model puts the drawings of
the training styles and the English name. Pictures don't pass through that table, so they stay where they are, at a
fraction of the cost of a whole step. What it writes is a run like any other: `recipes.mini.ship --run FOLDER`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from onespace.encoder import Encoder
from onespace.engines.torch_engine import TorchEngine
from onespace.prepare import tokens
from onespace.train.loop import Schedule, Trainer
from recipes.mini.batches import Texts, tokenise
from recipes.mini.data import FAVOURED, Corpus
from recipes.mini.objective import Learner
from recipes.mini.train import BUILD, begin, opened, part_parser

SIZE = 640
"""Names in a step."""


def seen(learner: Learner, corpus: Corpus, reader: tokens.Tokenizer) -> Tensor:
    """Where the model puts each emoji's drawings of the training styles: (C, D), unit rows."""
    encoder = Encoder(learner.model.spec, reader, TorchEngine(learner.model, device="cpu"))
    rows = [(c.index, row) for c in corpus.emoji for row in c.rows]
    found = encoder.encode([Image.fromarray(np.asarray(corpus.images[row])) for _, row in rows], heads="dense").dense
    places = torch.tensor([index for index, _ in rows])
    sums = torch.zeros(len(corpus.emoji), learner.anchors.shape[1]).index_add(0, places, torch.from_numpy(found))
    return F.normalize(sums, dim=1)


def only_words(learner: Learner, special: tuple[int, ...]) -> None:
    """Freezes all but the table of words, and in it the rows of the ``special`` ids, which pictures meet too."""
    learner.requires_grad_(False)
    words = learner.model.text.embed.words.weight.requires_grad_()
    words.register_hook(lambda gradient: gradient.index_fill(0, torch.tensor(special), 0))


def objective(
    learner: Learner, corpus: Corpus, tokenizer: Tokenizer, *, seed: int, favoured: float, size: int = SIZE
) -> Callable[[int], tuple[Tensor, dict[str, float]]]:
    """Step -> loss and report: names, sorted by length and read in four parts, are told apart at the anchors.

    The share ``favoured`` of them is in the favoured languages, the rest in any: each locale of a concept as often.
    """

    def step_loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng((seed, step))
        torch.manual_seed(seed * 1_000_003 + step)
        some = [corpus.draw_any(rng) for _ in range(size)]
        asked = [FAVOURED if rng.random() < favoured else tuple(c.names) for c in some]
        locales = [x[int(rng.integers(len(x)))] for x in asked]
        texts = [
            corpus.draw_text(rng, c, locale=x if x in c.names else "en")[0] for c, x in zip(some, locales, strict=True)
        ]
        batch = tokenise(tokenizer, texts)
        order = batch.mask.sum(1).argsort(stable=True)
        things = torch.tensor([[c.index, c.index] for c in some])[order]
        loss = learner.reading(Texts(batch.ids[order], batch.mask[order]), things, parts=4)
        return loss, {"an": float(loss.detach())}

    return step_loss


def main() -> None:
    """Reads the arguments and trains."""
    parser = part_parser(__doc__, steps=2000, rate=1.5e-3, out=BUILD / "reading", seed=1)
    parser.add_argument("--favoured", type=float, default=0.25, help="share of names in the favoured languages")
    arguments = parser.parse_args()
    learner, corpus, tokenizer = opened(arguments)
    drawn = seen(learner, corpus, tokens.Tokenizer.from_folder(arguments.start))
    with torch.no_grad():
        learner.anchors[: len(drawn)] = F.normalize(learner.anchors[: len(drawn)], dim=1) + drawn
    only_words(learner, learner.model.spec.heads.sparse_skip)
    begin(arguments.out, arguments.start, vars(arguments) | {"batch": SIZE})
    step_loss = objective(learner, corpus, tokenizer, seed=arguments.seed, favoured=arguments.favoured)
    schedule = Schedule(
        steps=arguments.steps, learning_rate=arguments.rate, warmup=20, decay=0.9, weight_decay=0.0, save_every=50
    )
    Trainer(learner, step_loss, arguments.out, schedule).run()


if __name__ == "__main__":
    main()
