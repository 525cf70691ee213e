"""Trains onespace-mini: `python -m recipes.mini.train --steps 2000`. Killed and started again, it goes on.

With ``--start FOLDER`` it goes on from a checkpoint, with that checkpoint's vocabulary: how v1 came from v0.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from onespace.checkpoint import read
from onespace.model import FusedModel
from onespace.prepare import tokens
from onespace.spec import HeadSpec, ImageSpec, PixelSpec, Spec, TextSpec
from onespace.train.loop import Schedule, Trainer
from recipes.mini.batches import Curriculum, read_tokenizer
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
        pixels=PixelSpec(size=128, fit="pad", fill=(255, 255, 255), margin=0.08),
        heads=HeadSpec(dense=256, sparse="tokens+terms", sparse_skip=(0, 1, 2, 3, vocab - 1), multi=64),
        max_tokens=8192,
        languages="names of things in 100+ languages (CLDR)",
        licence="Apache-2.0",
        trained=ALL,
        truncatable=SHORTER,
        notes="Pictograms, logos and drawings; short phrases. Not photographs, not long prose.",
    )


def fresh(vocab: int, concepts: int) -> Learner:
    """A model that knows nothing."""
    learner = Learner(FusedModel(spec(vocab)), concepts)
    for table, deviation in (("words", 0.05), ("positions", 0.02), ("types", 0.02)):
        torch.nn.init.normal_(getattr(learner.model.text.embed, table).weight, std=deviation)
    return learner


def started(folder: Path, corpus: Corpus, tokenizer: Tokenizer) -> Learner:
    """The model of a checkpoint; the anchors, which aren't kept in one, begin where it puts the English names."""
    concepts = corpus.emoji + corpus.icons
    learner = Learner(FusedModel(spec(tokenizer.get_vocab_size())), len(concepts))
    learner.model.load_state_dict(read(folder / "model.safetensors"))
    learner.model.eval()
    names = [c.names.get("en") or next(iter(c.names.values())) for c in concepts]
    with torch.no_grad():
        learner.anchors.copy_(learner.places(tokenizer, names))
        learner.scales.copy_(torch.tensor([3.66, 2.79, 0.06]))  # where they were at the end of that run
    return learner


def part_parser(told: str | None, *, steps: int, rate: float, out: Path, seed: int) -> argparse.ArgumentParser:
    """The arguments of a run that trains one part of a finished model, with that run's own defaults."""
    parser = argparse.ArgumentParser(description=told)
    parser.add_argument("--start", type=Path, required=True, help="folder of the checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--data", type=Path, default=BUILD)
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--seed", type=int, default=seed)
    return parser


def opened(arguments: argparse.Namespace) -> tuple[Learner, Corpus, Tokenizer]:
    """What such a run starts with; the log goes to the terminal."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tokenizer, corpus = read_tokenizer(arguments.start), Corpus(arguments.data)
    return started(arguments.start, corpus, tokenizer), corpus, tokenizer


def begin(out: Path, vocabulary: Path, options: dict[str, Any]) -> None:
    """Makes the folder of a run, with its options and its tokenizer."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(vocabulary / "tokenizer.json", out)
    (out / "options.json").write_text(json.dumps(options, default=str) + "\n")


def only_heads(learner: Learner) -> None:
    """Freezes both towers, and all that the dense vector passes through: the other two heads learn to go with it."""
    learner.requires_grad_(False)
    for part in (learner.model.multi, learner.model.patch_terms, learner.model.token_weights):
        part.requires_grad_()
    learner.scales.requires_grad_().register_hook(lambda gradient: gradient * torch.tensor([0.0, 1.0, 1.0]))


def main() -> None:
    """Reads the arguments and trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.25, help="last share of the steps: lower rate")
    parser.add_argument("--start", type=Path, help="folder of a checkpoint to go on from")
    parser.add_argument("--only", choices=("all", "heads"), default="all", help="what learns")
    parser.add_argument("--behind", type=int, default=2000, help="steps that the checkpoint of --start has seen")
    parser.add_argument("--data", type=Path, default=BUILD)
    parser.add_argument("--out", type=Path, default=BUILD / "run")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate-every", type=int, default=300)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    vocabulary = arguments.start or arguments.data
    tokenizer = read_tokenizer(vocabulary)
    corpus = Corpus(arguments.data)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    if arguments.start:
        learner = started(arguments.start, corpus, tokenizer)
    else:
        learner = fresh(tokenizer.get_vocab_size(), len(corpus.emoji) + len(corpus.icons))
    learner.model.image.to(memory_format=torch.channels_last)
    patches = learner.model.spec.image.tokens  # type: ignore[union-attr]
    plan = Curriculum(arguments.steps, patches, behind=arguments.behind if arguments.start else 0)
    if arguments.only == "heads":
        only_heads(learner)
        plan = replace(plan, whole=1.0)  # no step is light: what is light in one teaches the towers
    step_loss = objective(learner, corpus, tokenizer, seed=arguments.seed, size=arguments.batch, plan=plan)
    begin(arguments.out, vocabulary, vars(arguments))
    schedule = Schedule(steps=arguments.steps, learning_rate=arguments.rate, warmup=50, decay=arguments.decay)
    reader, test = tokens.Tokenizer.from_folder(vocabulary), read_test(arguments.data)
    trainer = Trainer(learner, step_loss, arguments.out, schedule)
    while trainer.step < arguments.steps:
        trainer.run(min(arguments.steps, (trainer.step // arguments.evaluate_every + 1) * arguments.evaluate_every))
        evaluate(learner.model, reader, test, arguments.out / "evaluation.jsonl", trainer.step)


if __name__ == "__main__":
    main()
