"""Whole runs on a toy world: learnt from chance to nearly all, killed and resumed, stopped early, refused, saved."""

from __future__ import annotations

import json
import struct
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import train_toys

from onespace.encoder import Encoder
from onespace.errors import InputError, ModelError
from onespace.families import load, mini
from onespace.train import run
from onespace.train.events import NAME, crc32c
from onespace.train.learner import Learner
from onespace.train.loop import read_log
from onespace.train.options import Mining, Options
from onespace.train.run import Result, fit
from onespace.types import HEADS


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_toys.pictures(tmp_path_factory.mktemp("flags"), 12)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_toys.texts(tmp_path_factory.mktemp("texts"))


def model() -> Encoder:
    """Random weights whose texts differ: a frozen text tower must have something to align with."""
    encoder = mini.tiny()
    with torch.no_grad():
        for name, parameter in encoder.engine.module.named_parameters():
            if name.startswith("text.blocks") and parameter.ndim > 1:
                parameter.mul_(3)
    return encoder


def test_pictures_learn_to_meet_frozen_texts(flags: Path, tmp_path: Path) -> None:
    """From chance, a twentieth, to more than nine in ten; the texts' vectors stay bit for bit."""
    options = Options(
        stage="text-frozen",
        losses=("dense",),
        steps=90,
        batch=32,
        rate=3e-3,
        decay=0.5,
        hold_out=0.2,
        evaluate_every=45,
    )
    untouched = model().encode(train_toys.NAMES)
    result = fit(model(), [flags], tmp_path / "aligned", options=options)
    assert result.before["R@1"] < 0.2
    assert result.measured["R@1"] > 0.9
    trained = result.load()
    assert (trained.spec.name, trained.spec.truncatable) == ("aligned", ())
    for head in HEADS:
        a, b = (getattr(e, head) for e in (trained.encode(train_toys.NAMES), untouched))
        pairs = [(a, b)] if head == "dense" else [(a.values, b.values)]
        assert all(np.array_equal(x, y) for x, y in pairs)
    events = (tmp_path / "aligned" / NAME).read_bytes()
    assert b"R@1" in events
    (length,) = struct.unpack("<Q", events[:8])
    assert events[12 : 12 + length].endswith(b"brain.Event:2")
    assert ((crc32c(events[:8]) >> 15 | crc32c(events[:8]) << 17) + 0xA282EAD8) & 0xFFFFFFFF == struct.unpack(
        "<I", events[8:12]
    )[0]


SHORT = Options(
    steps=12, batch=8, rate=1e-3, negatives=1, distil="self", distil_after=3, dims=(8, 16), chunk=8, save_every=5,
    log_every=1, hold_out=0.15, evaluate_every=6, bf16=False, lora=0,
)  # fmt: skip


def test_a_killed_run_goes_on_to_the_same_model(
    texts: Path, flags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(mini.tiny(), [texts, flags], tmp_path / "whole", options=SHORT)
    learn = Learner.learn

    def killed(self: Learner, batch: object, step: int) -> object:
        if step == 8:
            raise KeyboardInterrupt
        return learn(self, batch, step)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "learn", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(mini.tiny(), [texts, flags], tmp_path / "cut", options=SHORT)
    monkeypatch.undo()
    resumed = fit(mini.tiny(), [texts, flags], tmp_path / "cut", options=SHORT)
    losses = [[row["loss"] for row in read_log(r.folder)] for r in (whole, resumed)]
    assert len(losses[0]) == 12
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    one, other = (torch.load(r.folder / "state.pt", weights_only=True)["module"] for r in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [run.read_log(r.folder, run.EVALUATION) for r in (whole,)] == [run.read_log(resumed.folder, run.EVALUATION)]
    assert resumed.load().spec.truncatable == (8, 16)

    again = fit(mini.tiny(), [texts, flags], tmp_path / "cut", options=SHORT)
    assert again == resumed
    with pytest.raises(InputError, match=r"was begun with batch=8, now 4; rate=0\.001, now 0\.5\. Give"):
        fit(mini.tiny(), [texts, flags], tmp_path / "cut", options=replace(SHORT, batch=4, rate=0.5))


def simple(texts: Path, folder: Path, **changes: object) -> Result:
    options = replace(Options(steps=2, batch=4, rate=1e-3), **changes)
    return fit(mini.tiny(), [texts], folder, options=options)


def test_a_run_that_gets_no_better_ends_and_keeps_its_best(texts: Path, tmp_path: Path) -> None:
    changes = {"steps": 40, "rate": 1e-9, "hold_out": 0.3, "evaluate_every": 2, "stop_after": 3}
    result = simple(texts, tmp_path / "run", **changes)
    assert (result.steps, result.stopped_early, result.measured["step"]) == (6, True, 0)
    assert simple(texts, tmp_path / "run", **changes) == result
    kept = load(result.model).encode(train_toys.NAMES, heads="dense").dense
    torch.testing.assert_close(kept, mini.tiny().encode(train_toys.NAMES, heads="dense").dense, rtol=0, atol=0)


def test_adapters_are_merged_when_saved(texts: Path, tmp_path: Path) -> None:
    encoder = mini.tiny()
    result = fit(encoder, [texts], tmp_path / "lora", options=Options(steps=3, batch=4, lora=2, rate=0.01))
    saved = load(result.model).encode(train_toys.NAMES)
    trained = encoder.encode(train_toys.NAMES)
    np.testing.assert_allclose(saved.dense, trained.dense, atol=1e-5)
    assert np.abs(saved.dense - mini.tiny().encode(train_toys.NAMES).dense).max() > 0.01
    state = torch.load(tmp_path / "lora" / "state.pt", weights_only=True)["module"]
    assert not any(name.endswith("query.weight") for name in state)


def test_a_teacher_s_ranking_is_learnt(texts: Path, tmp_path: Path) -> None:
    for how in ("teacher", "ranked"):
        result = simple(texts, tmp_path / how, negatives=2, distil=how, losses=("dense", "sparse"))
        assert result.steps == 2
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"query": "a", "pos": "b", "neg": "c"}\n' * 4, "utf-8")
    with pytest.raises(InputError, match=r"bare.jsonl:\d+: has no pos_scores and neg_scores"):
        simple(bare, tmp_path / "none", negatives=2, distil="teacher")


def test_negatives_are_mined_before(texts: Path, tmp_path: Path) -> None:
    mining = Mining(negatives=2, first=1, last=15, margin=2.0)
    simple(texts, tmp_path / "mined", mining=mining, negatives=2)
    rows = [json.loads(line) for line in (tmp_path / "mined" / "mined-0.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == len(train_toys.NAMES)
    assert sum(len(row["neg"]) for row in rows) > len(rows) * 3
    for row in rows:
        wrong = [n["text"] for n in row["neg"]]
        assert len(set(wrong)) == len(wrong)
        assert not {p["text"] for p in row["pos"]} & set(wrong)


def test_what_may_be_claimed_follows_what_was_learnt(texts: Path, tmp_path: Path) -> None:
    encoder = mini.tiny()
    encoder.spec = replace(encoder.spec, trained=("image/dense",), grafted=("text/dense", "text/sparse", "pair/dense"))
    result = fit(encoder, [texts], tmp_path / "run", options=Options(epochs=0.25, batch=4, losses=("dense",)))
    spec = result.load().spec
    assert (result.steps, result.measured) == (2, {})
    assert (spec.trained, spec.grafted) == (("image/dense", "text/dense"), ("text/sparse", "pair/dense"))


def test_what_cannot_learn_is_refused(texts: Path, flags: Path, tmp_path: Path, tiny_encoder: Encoder) -> None:
    graph = Encoder(tiny_encoder.spec, tiny_encoder.tokenizer, object())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="exported graph"):
        fit(graph, [texts], tmp_path / "run", options=Options(steps=1))
    half = deepcopy(tiny_encoder)
    half.engine.module.half()
    with pytest.raises(ModelError, match="isn't in float32"):
        fit(half, [texts], tmp_path / "run", options=Options(steps=1))
    less = deepcopy(tiny_encoder)
    less.spec = replace(less.spec, trained=("text/dense", "image/dense", "text/sparse"))
    with pytest.raises(InputError, match=r"of kind image, for which tiny has no sparse head. Use losses=dense\."):
        fit(less, [flags], tmp_path / "run", options=Options(steps=1, batch=4))
    with pytest.raises(InputError, match="nothing to learn from"):
        fit(deepcopy(tiny_encoder), [], tmp_path / "run", options=Options(steps=1))
    with pytest.raises(InputError, match="too few to measure"):
        simple(texts, tmp_path / "run", hold_out=1e-9, evaluate_every=1)
    with pytest.raises(InputError, match="fewer than batch=64"):
        simple(texts, tmp_path / "run", batch=64)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "either steps or epochs"),
        ({"steps": 1, "epochs": 1}, "either steps or epochs"),
        ({"steps": 0}, "steps=0 must be above 0"),
        ({"steps": 1, "stage": "first"}, "stage='first' isn't known"),
        ({"steps": 1, "losses": ("dence",)}, "losses: dence isn't known"),
        ({"steps": 1, "warmup": 2.0}, "warmup=2.0 must be from 0 to 1.0"),
        ({"steps": 1, "lora": -1}, "lora=-1 must be at least 0"),
        ({"steps": 1, "distil": "teacher"}, "Set negatives"),
        ({"steps": 1, "evaluate_every": 5}, "Set hold_out"),
        ({"steps": 1, "stop_after": 5}, "Set evaluate_every"),
        ({"steps": 1, "mining": Mining()}, "Set negatives"),
        ({"steps": 1, "mining": Mining(), "negatives": 1, "distil": "ranked"}, "no teacher's scores"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Options(**changes)  # type: ignore[arg-type]


def test_ranks_of_mining_must_rise() -> None:
    with pytest.raises(InputError, match="ranks must rise"):
        Mining(first=9, last=3)
