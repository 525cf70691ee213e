"""The recipe of onespace-mini on a handful of made-up drawings: same step, same batch; and it learns."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tokenizers import Tokenizer

from onespace.checkpoint import write
from onespace.errors import InputError
from onespace.families import tiny as tiny_parts
from onespace.model import FusedModel
from onespace.train.loop import Schedule, Trainer, read_log
from recipes.mini import reading, seeing
from recipes.mini.batches import Curriculum, draw
from recipes.mini.data import Corpus
from recipes.mini.objective import Learner, objective
from recipes.mini.reading import only_words
from recipes.mini.seeing import only_eyes
from recipes.mini.ship import trained
from recipes.mini.train import begin, only_heads, spec

WORDS = ("circle", "square", "line", "cross", "dot", "ring", "bar", "frame")


def drawing(kind: int, style: int) -> np.ndarray:
    picture = Image.new("RGBA", (128, 128))
    pen = ImageDraw.Draw(picture)
    colour = ("black", "red")[style]
    box = (20 + 6 * kind, 20, 110, 110 - 6 * kind)
    (pen.ellipse if kind % 2 else pen.rectangle)(box, outline=colour, width=6 + 4 * style)
    return np.asarray(picture)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    keys = [f"{i:x}" if i < 6 else f"icon:set:{w}" for i, w in enumerate(WORDS)]
    rows = [(i, s) for i in range(len(WORDS)) for s in range(2)]
    np.save(folder / "images.npy", np.stack([drawing(i, s) for i, s in rows]))
    (folder / "images.jsonl").write_text(
        "".join(
            json.dumps({"row": n, "concept": keys[i], "style": f"s{s}", "split": "train", "name": WORDS[i]}) + "\n"
            for n, (i, s) in enumerate(rows)
        )
    )
    texts = [
        {"concept": key, "locale": locale, "text": word + ending, "kind": "name", "split": "train"}
        for key, word in zip(keys, WORDS, strict=True)
        for locale, ending in (("en", ""), ("es", "o"))
    ]
    (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    (folder / "patterns.json").write_text('{"en": "{0} and {1}", "es": "{0} y {1}"}')
    tiny_parts.xlmr_tokenizer().save(folder)
    return folder


def parts(folder: Path) -> tuple[Corpus, Tokenizer]:
    return Corpus(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_a_batch_depends_on_its_step_alone(folder: Path) -> None:
    corpus, tokenizer = parts(folder)
    plan = Curriculum(steps=100, patches=64)
    first, again, other = (draw(corpus, tokenizer, s, seed=1, size=8, plan=plan) for s in (5, 5, 6))
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.texts.ids, again.texts.ids)
    assert not torch.equal(first.pixels, other.pixels)
    assert first.pixels.shape == (8, 3, 128, 128)
    assert first.keep is not None
    assert (first.keep.shape, first.fused) == ((8, 40), 24)
    assert corpus.monochrome.tolist() == [True, False] * len(WORDS)


def small(tokenizer: Tokenizer) -> Learner:
    """A learner of the recipe's shape, far smaller."""
    small = spec(tokenizer.get_vocab_size())
    assert small.text is not None
    assert small.image is not None
    small = replace(
        small,
        text=replace(small.text, width=32, layers=1, heads=2, hidden=32),
        image=replace(small.image, width=32, layers=1, heads=2, hidden=32),
        heads=replace(small.heads, dense=32, multi=16),
    )
    torch.manual_seed(0)
    return Learner(FusedModel(small), len(WORDS))


def test_a_few_steps_learn(folder: Path, tmp_path: Path) -> None:
    corpus, tokenizer = parts(folder)
    learner = small(tokenizer)
    plan = Curriculum(steps=40, patches=64, behind=2000)
    step_loss = objective(learner, corpus, tokenizer, seed=0, size=8, plan=plan)
    Trainer(learner, step_loss, tmp_path, Schedule(steps=40, learning_rate=3e-3, warmup=4, log_every=1)).run()
    rows = read_log(tmp_path)
    assert {"it256" in row or "it32" in row for row in rows} == {True, False}  # light steps and whole ones
    early, late = (float(np.mean([row["ad"] + row["an"] for row in some])) for some in (rows[:5], rows[-5:]))
    assert late < 0.8 * early


def test_eyes_words_and_heads_learn_alone(folder: Path, tmp_path: Path) -> None:
    corpus, tokenizer = parts(folder)
    learner = small(tokenizer)
    plan = Curriculum(steps=6, patches=64, behind=3000, whole=1.0)
    schedule = Schedule(steps=6, learning_rate=3e-3, warmup=1, log_every=1, weight_decay=0.0)
    kinds = {
        "eyes": (only_eyes, seeing.objective(learner, corpus, tokenizer, seed=0, plan=plan, size=8)),
        "words": (
            partial(only_words, special=learner.model.spec.heads.sparse_skip),
            reading.objective(learner, corpus, tokenizer, seed=0, favoured=0.5, size=8),
        ),
        "heads": (only_heads, objective(learner, corpus, tokenizer, seed=0, size=8, plan=plan)),
    }
    changed = {}
    for kind, (freeze, step_loss) in kinds.items():
        before = {k: v.clone() for k, v in learner.model.state_dict().items()}
        freeze(learner)
        Trainer(learner, step_loss, tmp_path / kind, schedule).run()
        after = learner.model.state_dict()
        changed[kind] = {k for k, v in before.items() if not torch.equal(v, after[k])}
        if kind == "words":
            special = list(learner.model.spec.heads.sparse_skip)
            name = "text.embed.words.weight"
            assert torch.equal(before[name][special], after[name][special])
    assert {k.split(".")[0] for k in changed["eyes"]} == {"image", "project"}
    assert changed["words"] == {"text.embed.words.weight"}
    assert {k.split(".")[0] for k in changed["heads"]} == {"multi", "patch_terms", "token_weights"}


def test_what_two_runs_learnt_is_added_up(folder: Path, tmp_path: Path) -> None:
    _, tokenizer = parts(folder)
    model = FusedModel(spec(tokenizer.get_vocab_size()))
    (tmp_path / "start").mkdir()
    write(model.state_dict(), tmp_path / "start" / "model.safetensors")
    for name, key in (("eyes", "project.bias"), ("words", "multi.linear.bias")):
        begin(tmp_path / name, folder, {"start": tmp_path / "start", "batch": 8, "seed": 0})
        state = {f"model.{k}": v + 0.5 if k == key else v for k, v in model.state_dict().items()}
        torch.save({"module": state}, tmp_path / name / "state.pt")
    both = trained(tmp_path / "eyes", tmp_path / "words", shares=(0.5,))
    shipped = both.engine.module.state_dict()  # type: ignore[attr-defined]
    for key, value in model.state_dict().items():
        more = {"project.bias": 0.25, "multi.linear.bias": 0.5}.get(key, 0.0)
        torch.testing.assert_close(shipped[key], (value + more).half().float(), atol=1e-3, rtol=1e-3)
    begin(tmp_path / "words", folder, {"start": None, "batch": 8, "seed": 0})
    with pytest.raises(InputError, match="started from nothing"):
        trained(tmp_path / "words", shares=(0.5,))
