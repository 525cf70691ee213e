"""The training loop: seeded by step number, checkpointed, resumable to the same model, logged as JSON lines."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

logger = logging.getLogger("onespace.train")

Objective = Callable[[int], tuple[Tensor, dict[str, float]]]
"""Step number -> loss to minimise, and what to log. It must depend on nothing but the step and the weights.

A loss that needs no gradient says that the gradients are already in place."""


@dataclass(frozen=True)
class Schedule:
    """AdamW with a linear warm-up, a constant rate, and a linear decay over the last ``decay`` share of the steps.

    Until the decay starts, a run doesn't depend on ``steps``: it can be made longer or shorter when it is resumed.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: int = 200
    decay: float = 0.25
    weight_decay: float = 0.05
    clip: float = 1.0
    save_every: int = 100
    log_every: int = 10

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        left = (self.steps - step) / max(1.0, self.steps * self.decay)
        return self.learning_rate * min(warm, left, 1.0)


class Trainer:
    """Trains ``module`` on ``objective`` and keeps everything needed to go on in ``folder``.

    ``state.pt`` holds weights, optimiser and step, replaced atomically; ``log.jsonl`` has one row per logged step.
    A run that was killed and started again ends with the same weights as one that was not.
    """

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        folder: Path,
        schedule: Schedule,
        *,
        writes: bool = True,
        watch: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        """Resumes what ``folder`` holds. With ``writes=False`` another process does; ``watch`` is told each row."""
        self.module, self.objective, self.folder, self.schedule = module, objective, folder, schedule
        self.writes, self.watch = writes, watch
        groups = _groups(module, schedule.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6, fused=True)
        self.step = 0
        self._frozen = [part for part in module.modules() if _is_frozen(part)]
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(self, until: int | None = None) -> None:
        """Trains up to step ``until`` (default: the end of the schedule)."""
        started = time.perf_counter()
        while self.step < (until or self.schedule.steps):
            for group in self.optimiser.param_groups:
                group["lr"] = self.schedule.rate(self.step)
            self.module.train()
            for part in self._frozen:  # what doesn't learn keeps the statistics of its batch norms, too
                part.eval()
            self.optimiser.zero_grad(set_to_none=True)
            loss, report = self.objective(self.step)
            if loss.requires_grad:
                torch.autograd.backward(loss)
            norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.schedule.clip)
            self.optimiser.step()
            self.step += 1
            if self.step % self.schedule.log_every == 0:
                seconds, started = time.perf_counter() - started, time.perf_counter()
                row = {"step": self.step, "loss": loss.item(), "norm": float(norm), "seconds": seconds, **report}
                self._log(row)
            if self.step % self.schedule.save_every == 0 or self.step == self.schedule.steps:
                self.save()

    def save(self) -> None:
        """Writes ``state.pt``; a kill at any moment leaves the old one or the new one."""
        if not self.writes:
            return
        state = {"module": self.module.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step}
        draft = self.folder / "state.pt.new"
        torch.save(state, draft)
        os.replace(draft, self.folder / "state.pt")

    def _resume(self) -> None:
        path = self.folder / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        if self.writes:
            rows = [row for row in read_log(self.folder) if row["step"] <= self.step]
            self._log_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        logger.info("resumed at step %d", self.step)

    @property
    def _log_path(self) -> Path:
        return self.folder / "log.jsonl"

    def _log(self, row: dict[str, float]) -> None:
        row = {k: round(v, 6) for k, v in row.items()}
        if not self.writes:
            return
        with self._log_path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if self.watch is not None:
            self.watch(row)
        logger.info(" ".join(f"{k} {v:.4g}" for k, v in row.items()))


def read_log(folder: Path, name: str = "log.jsonl") -> list[dict[str, float]]:
    """The rows of a run's log; a last line cut by a kill is left out."""
    path = folder / name
    rows = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _is_frozen(part: nn.Module) -> bool:
    """Whether a module has parameters, and none of them learns."""
    own = list(part.parameters())
    return bool(own) and not any(p.requires_grad for p in own)


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices and tables; none for norms, biases and scales."""
    decayed = [p for p in module.parameters() if p.requires_grad and p.ndim >= 2]
    plain = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
