"""Trains onespace-mini: `python -m recipes.mini.train --steps 2000`. Killed and started again, it goes on."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import torch
from tokenizers import Tokenizer

from onespace.model import FusedModel
from onespace.prepare import tokens
from onespace.spec import HeadSpec, ImageSpec, PixelSpec, Spec, TextSpec
from onespace.train.loop import Schedule, Trainer
from recipes.mini.batches import SEEING_STEPS
from recipes.mini.data import Corpus
from recipes.mini.evaluate import evaluate
from recipes.mini.measure import read_test
from recipes.mini.objective import SHORTER, Learner, objective

BUILD = Path("build/mini")
ALL = tuple(f"{m}/{h}" for m in ("text", "image", "pair") for h in ("dense", "sparse", "multi"))


def spec(vocab: int) -> Spec:
    """The sizes of onespace-mini."""
    text = TextSpec(
        vocab=vocab, width=256, layers=4, heads=4, hidden=1024, max_positions=8194,
        position_rule="pad-aware", pad=1, eps=1e-5,
    )  # fmt: skip
    image = ImageSpec(tower="vit", size=128, patch=16, width=256, layers=4, heads=4, hidden=1024, stem="conv")
    return Spec(
        name="onespace-mini",
        family="mini",
        text=text,
        image=image,
        pixels=PixelSpec(size=128, fit="pad", fill=(255, 255, 255)),
        heads=HeadSpec(dense=256, sparse="tokens+terms", sparse_skip=(0, 1, 2, 3, vocab - 1), multi=64),
        max_tokens=8192,
        languages="names of things in 100+ languages (CLDR)",
        licence="Apache-2.0",
        trained=ALL,
        truncatable=SHORTER,
        notes="Pictograms, logos and drawings; short phrases. Not photographs, not long prose.",
    )


def main() -> None:
    """Reads the arguments and trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.25, help="last share of the steps: lower rate")
    parser.add_argument("--whole", type=float, default=0.08, help="last share of the steps: all patches are fused")
    parser.add_argument("--data", type=Path, default=BUILD)
    parser.add_argument("--out", type=Path, default=BUILD / "run")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate-every", type=int, default=300)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tokenizer = Tokenizer.from_file(str(arguments.data / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    corpus = Corpus(arguments.data)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    learner = Learner(FusedModel(spec(tokenizer.get_vocab_size())), len(corpus.emoji) + len(corpus.icons))
    torch.nn.init.normal_(learner.model.text.embed.words.weight, std=0.05)
    torch.nn.init.normal_(learner.model.text.embed.positions.weight, std=0.02)
    torch.nn.init.normal_(learner.model.text.embed.types.weight, std=0.02)
    learner.model.image.to(memory_format=torch.channels_last)
    patches = learner.model.spec.image.tokens  # type: ignore[union-attr]
    whole_from = arguments.steps * (1 - arguments.whole)
    step_loss = objective(
        learner, corpus, tokenizer, seed=arguments.seed, size=arguments.batch,
        kept=lambda step: patches if step >= whole_from else patches * 3 // 8,
        light=lambda step: step < SEEING_STEPS or (step < arguments.steps * 0.7 and step % 3 != 0),
    )  # fmt: skip
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "options.json").write_text(json.dumps(vars(arguments), default=str) + "\n")
    schedule = Schedule(steps=arguments.steps, learning_rate=arguments.rate, warmup=50, decay=arguments.decay)
    reader, test = tokens.Tokenizer.from_folder(arguments.data), read_test(arguments.data)
    trainer = Trainer(learner, step_loss, arguments.out, schedule)
    while trainer.step < arguments.steps:
        trainer.run(min(arguments.steps, (trainer.step // arguments.evaluate_every + 1) * arguments.evaluate_every))
        evaluate(learner.model, reader, test, arguments.out / "evaluation.jsonl", trainer.step)


if __name__ == "__main__":
    main()
