"""One step: the same gradients in chunks as at once, for every family, and with less memory; what a stage opens."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
import train_toys
from torch import Tensor

from onespace.encoder import Encoder
from onespace.errors import InputError, KindError
from onespace.families import FAMILIES
from onespace.files.records import to_record
from onespace.train.data import Drawn
from onespace.train.learner import Learner
from onespace.train.options import Options
from onespace.train.stages import open_weights

SAME = {"rtol": 1e-3, "atol": 1e-5}


def record(text: str = "", image: Path | None = None):
    return to_record({"text": text} | ({"image": str(image)} if image else {}), "here", Path())


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("flags")
    for k, name in enumerate(train_toys.NAMES[:6]):
        train_toys.draw(name, k).save(folder / f"{k}.png")
    return sorted(folder.iterdir())


def batch(encoder: Encoder, flags: list[Path]) -> list[Drawn]:
    """Queries and candidates of all the kinds that the model takes, of different lengths."""
    names = train_toys.NAMES[:6]
    drawn = []
    for k, (name, flag) in enumerate(zip(names, flags, strict=True)):
        answers = [record(name), record(name + "!" * k)]
        if "image" in encoder.spec.modalities:
            answers[0] = record(image=flag)
        if "pair" in encoder.spec.modalities and k % 2:
            answers[1] = record(name[: 4 + k], flag)
        drawn.append(Drawn(record(name), tuple(answers), (2.0, float(k))))
    return drawn


def gradients(encoder: Encoder, drawn: list[Drawn], options: Options) -> tuple[float, dict[str, Tensor]]:
    open_weights(encoder.engine.module, encoder.spec, options)
    learner = Learner(encoder, options)
    learner.zero_grad()
    loss, _ = learner.learn(learner.prepare(drawn), 0)
    return loss, {name: p.grad for name, p in encoder.engine.module.named_parameters() if p.grad is not None}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert any(float(g.abs().max()) > 1e-4 for g in one.values())
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], **SAME, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_in_chunks_has_the_gradients_of_a_whole_one(family: str, flags: list[Path]) -> None:
    def make() -> Encoder:
        return import_module(f"onespace.families.{family}").tiny()

    options = Options(steps=1, temperature=0.1, losses=("dense",) if family == "visualized_bge" else ())
    drawn = batch(make(), flags)
    whole, grads = gradients(make(), drawn, options)
    chunked, in_chunks = gradients(make(), drawn, replace(options, chunk=2))
    assert chunked == pytest.approx(whole, abs=1e-5)
    same(grads, in_chunks)


def test_checkpointing_changes_no_gradient_and_bfloat16_few(tiny_encoder: Encoder, flags: list[Path]) -> None:
    def made(**changes: object) -> tuple[float, dict[str, Tensor]]:
        options = replace(Options(steps=1, temperature=0.5), **changes)
        return gradients(deepcopy(tiny_encoder), batch(tiny_encoder, flags), options)

    loss, grads = made()
    again, saved = made(checkpointing=True)
    assert again == pytest.approx(loss, abs=1e-6)
    same(grads, saved)
    half, _ = made(bf16=True)
    assert half == pytest.approx(loss, rel=0.05)
    assert half != loss


def test_symmetric_is_the_mean_of_both_ways(tiny_encoder: Encoder, flags: list[Path]) -> None:
    drawn = [Drawn(d.query, d.candidates[:1]) for d in batch(tiny_encoder, flags)]
    there = [Drawn(d.candidates[0], (d.query,)) for d in drawn]

    def loss(some: list[Drawn], **changes: object) -> float:
        options = Options(steps=1, losses=("dense",), temperature=0.2, **changes)  # type: ignore[arg-type]
        return gradients(deepcopy(tiny_encoder), some, options)[0]

    assert loss(drawn, symmetric=True) == pytest.approx((loss(drawn) + loss(there)) / 2, abs=1e-5)


def test_learning_from_the_blend_may_begin_later(tiny_encoder: Encoder, flags: list[Path]) -> None:
    def loss(**changes: object) -> float:
        options = Options(steps=2, temperature=0.2, **changes)  # type: ignore[arg-type]
        return gradients(deepcopy(tiny_encoder), batch(tiny_encoder, flags), options)[0]

    assert loss(distil="self", distil_after=1) == loss()
    assert loss(distil="self") != loss()


def test_each_stage_opens_its_weights(tiny_encoder: Encoder) -> None:
    def learning(**changes: object) -> set[str]:
        module = deepcopy(tiny_encoder.engine.module)
        open_weights(module, tiny_encoder.spec, Options(steps=1, **changes))  # type: ignore[arg-type]
        return {name for name, p in module.named_parameters() if p.requires_grad}

    every = {name for name, _ in tiny_encoder.engine.module.named_parameters()}
    assert learning() == every
    assert {name.partition(".")[0] for name in learning(stage="text-frozen")} == {"image", "project", "patch_terms"}
    assert every - learning(stage="pairs") == {f"text.embed.{t}.weight" for t in ("words", "positions", "types")}
    adapted = learning(lora=2)
    assert {name.rpartition(".")[2] for name in adapted if ".blocks." in name} == {"down", "up"}
    assert "text.embed.words.weight" not in adapted
    assert not any(name.startswith("text.") for name in learning(lora=2, stage="text-frozen"))


def test_what_does_not_fit_is_refused_by_name(tiny_encoder: Encoder, flags: list[Path]) -> None:
    bge = import_module("onespace.families.bge").tiny()
    with pytest.raises(InputError, match="trains the image tower, and tiny"):
        open_weights(bge.engine.module, bge.spec, Options(steps=1, stage="text-frozen"))
    with pytest.raises(InputError, match="has no multi head"):
        Learner(bge, Options(steps=1, losses=("multi",)))
    with pytest.raises(InputError, match="need two heads"):
        Learner(bge, Options(steps=1, distil="self"))
    with pytest.raises(InputError, match="must be below 32"):
        Learner(tiny_encoder, Options(steps=1, dims=(32,)))
    with pytest.raises(KindError, match="item 0 is of kind image"):
        Learner(bge, Options(steps=1)).prepare([Drawn(record("a"), (record(image=flags[0]),))])
    learner = Learner(tiny_encoder, Options(steps=1))
    with pytest.raises(KeyError):
        learner.load_state_dict({"module.nothing": torch.zeros(1)})
