"""A whole run: from an encoder, data and options to a folder that holds the trained model, its log, and what it needs
to go on.

    RUN/options.json       what it was begun with; other options are refused
    RUN/state.pt           weights that learn, optimiser and step, to go on from
    RUN/log.jsonl          loss, norm and rate, step by step; the same for TensorBoard beside it
    RUN/evaluation.jsonl   what was measured on the rows held out
    RUN/model/             the best model so far (the last, where nothing is measured): `onespace.load` opens it
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch

from onespace.encoder import Encoder
from onespace.engines.torch_engine import TorchEngine
from onespace.errors import InputError, ModelError
from onespace.evaluate.tasks import kind_of
from onespace.families import load
from onespace.families.mini import save
from onespace.spec import Spec
from onespace.train.data import Drawn, Loader, Source
from onespace.train.events import Events
from onespace.train.learner import Learner, objective_of
from onespace.train.loop import Schedule, Trainer, read_log
from onespace.train.lora import merge
from onespace.train.mining import mine
from onespace.train.objective import Objective
from onespace.train.options import Options
from onespace.train.ranks import Ranks
from onespace.train.stages import open_weights
from onespace.train.validate import Validation
from onespace.types import HEADS, Head, Item, Modality

Watch: TypeAlias = Callable[[Mapping[str, float]], None]
"""Is told each row that is logged, and each measurement (which has no ``loss``), with all ``steps`` of the run."""

EVALUATION = "evaluation.jsonl"

logger = logging.getLogger("onespace.train")


@dataclass(frozen=True)
class Result:
    """What a run gave. ``measured`` is that of the model that is kept, and ``before`` that of the model it began with;
    both are empty where nothing is measured. ``loss`` is the last that was logged.
    """

    folder: Path
    steps: int
    loss: float | None
    measured: Mapping[str, float]
    before: Mapping[str, float]
    stopped_early: bool = False

    @property
    def model(self) -> Path:
        """The folder of the trained model."""
        return self.folder / "model"

    def load(self) -> Encoder:
        """The trained model."""
        return load(self.model)


def fit(
    encoder: Encoder,
    data: Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    options: Options,
    watch: Watch | None = None,
) -> Result:
    """Trains a model on a user's own data, or goes on where the run in ``out`` was stopped.

    Args:
        encoder: any model that runs in torch. It is used up: its weights are those that learn.
        data: files of rows (see `onespace.train.rows`), or folders of captioned pictures; several take turns.
        out: the run's folder.
        options: how to train; to go on, the same as before.
        watch: is told each row that is logged.

    Raises:
        InputError: data that can't be used, naming file and line, or options that don't fit it, the model or the run.
        ModelError: the model doesn't run in torch.
    """
    ranks = Ranks.join()
    try:
        return _Run(encoder, [Source(Path(d), options.hold_out) for d in data], Path(out), options, ranks).go(watch)
    finally:
        ranks.leave()


class _Run:
    def __init__(
        self, encoder: Encoder, sources: Sequence[Source], folder: Path, options: Options, ranks: Ranks
    ) -> None:
        if not isinstance(encoder.engine, TorchEngine):
            raise ModelError(
                f"{encoder.spec.name} is an exported graph, which can't learn. Name the folder of its float weights."
            )
        odd = next((n for n, p in encoder.engine.module.named_parameters() if p.dtype != torch.float32), None)
        if odd is not None or not list(encoder.engine.module.parameters()):
            raise ModelError(
                f"{encoder.spec.name} isn't in float32 ({odd}). Load it without dtype; bf16=True is faster."
            )
        self.sources, self.folder, self.options, self.ranks = sources, folder, options, ranks
        if not sources:
            raise InputError("there is nothing to learn from. Name a file of rows or a folder of captioned pictures.")
        engine = TorchEngine(encoder.engine.module, device=str(ranks.device))
        self.encoder = Encoder(encoder.spec, encoder.tokenizer, engine)
        self.learner = Learner(self.encoder, options, ranks=ranks)
        self.validation = None
        if options.evaluate_every:
            o = self.learner.objective
            self.validation = Validation(sources, losses=o.losses, heads=o.heads)
        self._refuse_other()
        loader = self._loader()
        kinds = {kind for i in range(len(loader.sources)) for d in loader.draw(i) for kind in _kinds(d)}
        check_kinds(encoder.spec, kinds, self.learner.objective.heads)
        self.spec = trained_spec(encoder.spec, folder.resolve().name, kinds, self.learner.objective)
        steps = options.steps or ceil((options.epochs or 0) * self._rows() / options.batch)
        self.schedule = Schedule(
            steps=steps,
            learning_rate=options.learning_rate,
            warmup=round(options.warmup * steps),
            decay=options.decay,
            save_every=options.save_every,
            log_every=options.log_every,
        )
        open_weights(engine.module, encoder.spec, options)
        self.take = objective_of(self.learner, loader)
        self._claim()

    def go(self, watch: Watch | None) -> Result:
        """Trains to the end, measuring on the way."""
        tell = self._teller(watch)
        trainer = Trainer(self.learner, self._step, self.folder, self.schedule, writes=self.ranks.first, watch=tell)
        if self.ranks.most(trainer.step) != trainer.step:
            raise InputError(f"{self.folder} isn't the same for all processes. Put it on a disk that all of them see.")
        measured = [row for row in read_log(self.folder, EVALUATION) if row["step"] <= trainer.step]
        if self.ranks.first:
            self.events = Events(self.folder, [*read_log(self.folder), *measured])
        every, end = self.options.evaluate_every, self.schedule.steps
        while True:
            step = trainer.step
            if every and (step % every == 0 or step == end) and not any(row["step"] == step for row in measured):
                self._measure(step, measured, tell)
            stopped = bool(self.ranks.most(int(self._stale(measured))))
            if stopped or step >= end:
                break
            trainer.run(min(end, (step // every + 1) * every) if every else end)
        trainer.save()
        if self.ranks.first and not every:
            self._save()
        self.ranks.wait()
        rows = read_log(self.folder)
        best = max(measured, key=lambda row: row[self.options.metric], default={})
        loss = rows[-1]["loss"] if rows else None
        before = next((row for row in measured if row["step"] == 0), {})
        return Result(self.folder, trainer.step, loss, best, before, stopped and trainer.step < end)

    def _step(self, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        loss, report = self.take(step)
        return loss, {**report, "rate": self.schedule.rate(step)}

    def _teller(self, watch: Watch | None) -> Watch:
        def tell(row: Mapping[str, float]) -> None:
            self.events.write(row)
            if watch is not None:
                watch({**row, "steps": self.schedule.steps})

        return tell

    def _measure(self, step: int, measured: list[dict[str, float]], tell: Watch) -> None:
        """Measures, and keeps the model if none was better; the first process does."""
        if self.validation is None or not self.ranks.first:
            return
        row = {"step": step, **self.validation.measure(self.encoder)}
        better = all(row[self.options.metric] > earlier[self.options.metric] for earlier in measured)
        if better:
            self._save()
        measured.append(row)
        lines = "".join(json.dumps(r) + "\n" for r in measured)
        (self.folder / EVALUATION).write_text(lines, "utf-8")
        tell(row)

    def _stale(self, measured: Sequence[Mapping[str, float]]) -> bool:
        if not measured or not self.options.stop_after:
            return False
        values = [row[self.options.metric] for row in measured]
        return len(values) - 1 - values.index(max(values)) >= self.options.stop_after

    def _save(self) -> None:
        engine = TorchEngine(merge(self.learner.module), device=str(self.ranks.device))
        save(Encoder(self.spec, self.encoder.tokenizer, engine), self.folder / "model")

    @cached_property
    def _begun_with(self) -> dict[str, Any]:
        """All that decides what the run gives, as ``options.json`` holds it."""
        what = {"model": self.encoder.spec.name, "data": [source.fingerprint for source in self.sources]}
        return dict(json.loads(json.dumps(what | dataclasses.asdict(self.options))))

    @property
    def _begun(self) -> Path:
        return self.folder / "options.json"

    def _refuse_other(self) -> None:
        if self._begun.is_file():
            then, now = json.loads(self._begun.read_text("utf-8")), self._begun_with
            other = [f"{k}={then.get(k)!r}, now {now.get(k)!r}" for k in {**now, **then} if then.get(k) != now.get(k)]
            if other:
                raise InputError(f"{self.folder} was begun with {'; '.join(other)}. Give the same, or another folder.")

    def _claim(self) -> None:
        """Notes what the run is begun with, once it is known that it can begin."""
        if self.ranks.first and not self._begun.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._begun.write_text(json.dumps(self._begun_with, indent=2, ensure_ascii=False) + "\n", "utf-8")
        self.ranks.wait()

    def _loader(self) -> Loader:
        o = self.options
        sources: Sequence[Source] = self.sources
        if o.mining is not None:
            targets = [self.folder / f"mined-{i}.jsonl" for i in range(len(sources))]
            for source, target in zip(sources, targets, strict=True):
                if self.ranks.first and not (self._begun.is_file() and target.is_file()):
                    self.folder.mkdir(parents=True, exist_ok=True)
                    mine(self.encoder, source, target, mining=o.mining, seed=o.seed)
            self.ranks.wait()
            sources = [Source(target) for target in targets]
        scored = o.distil in ("teacher", "ranked")
        return Loader(sources, batch=o.batch, negatives=o.negatives, shuffle=o.shuffle, seed=o.seed, scored=scored)

    def _rows(self) -> int:
        return sum(1 for source in self.sources for _ in source.rows())


def check_kinds(spec: Spec, kinds: Iterable[Modality], heads: Sequence[Head]) -> None:
    """Raises `InputError` where items of these kinds lack a head that is to learn from them."""
    for kind in kinds:
        there = [h for h in HEADS if spec.level(kind, h) != "unsupported"]
        missing = [h for h in heads if h not in there]
        if missing:
            remedy = f"Use losses={','.join(there)}" if there else "Choose another model"
            raise InputError(
                f"the data has items of kind {kind}, for which {spec.name} has no {', '.join(missing)} head. {remedy}."
            )


def trained_spec(spec: Spec, name: str, kinds: Iterable[Modality], objective: Objective) -> Spec:
    """The spec under which a trained model is saved: its name, and what it may claim now."""
    entries = {f"{kind}/{head}" for kind in kinds for head in objective.heads}
    shaped = [entry for entry in spec.grafted if entry in entries]
    return replace(
        spec,
        name=name,
        trained=(*spec.trained, *shaped),
        grafted=tuple(entry for entry in spec.grafted if entry not in shaped),
        truncatable=tuple(sorted({*spec.truncatable, *objective.dims})),
        notes=f"trained further from {spec.name}" + (f"; {spec.notes}" if spec.notes else ""),
    )


def _kinds(drawn: Drawn) -> set[Modality]:
    return {kind_of(cast(Item, record.item)) for record in (drawn.query, *drawn.candidates)}
