"""The loop resumes to the same model, survives a cut log, and its log plots."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from onespace.errors import InputError
from onespace.train.curves import plot_log
from onespace.train.loop import Objective, Schedule, Trainer, read_log

SCHEDULE = Schedule(steps=30, learning_rate=0.05, warmup=3, save_every=10, log_every=2)


def task() -> tuple[nn.Module, Objective]:
    torch.manual_seed(0)
    module = nn.Linear(4, 2)

    def objective(step: int) -> tuple[Tensor, dict[str, float]]:
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        loss = (module(x) - x[:, :2]).square().mean()
        return loss, {"twice": 2 * loss.item()}

    return module, objective


class Killed(Exception):
    pass


def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, objective = task()
    Trainer(whole, objective, tmp_path / "whole", SCHEDULE).run()

    module, objective = task()

    def killed(step: int) -> tuple[Tensor, dict[str, float]]:
        if step == 17:
            raise Killed
        return objective(step)

    with pytest.raises(Killed):
        Trainer(module, killed, tmp_path / "cut", SCHEDULE).run()
    with (tmp_path / "cut" / "log.jsonl").open("a") as log:
        log.write('{"step": 18, "lo')  # a kill in the middle of a line

    module, objective = task()
    trainer = Trainer(module, objective, tmp_path / "cut", SCHEDULE)
    assert trainer.step == 10
    trainer.run()
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), whole.parameters(), strict=True))
    rows, expected = read_log(tmp_path / "cut"), read_log(tmp_path / "whole")
    assert [row["loss"] for row in rows] == [row["loss"] for row in expected]
    assert rows[-1]["loss"] < rows[0]["loss"] / 4


def test_the_rate_warms_up_stays_and_decays() -> None:
    schedule = Schedule(steps=100, learning_rate=1.0, warmup=10, decay=0.2)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:80] == [1.0] * 71
    assert rates[90] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.06
    longer = Schedule(steps=200, learning_rate=1.0, warmup=10, decay=0.2)
    assert [longer.rate(step) for step in range(80)] == rates[:80]


def test_the_log_plots(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no log\.jsonl"):
        plot_log(tmp_path, tmp_path / "curves.png")
    module, objective = task()
    Trainer(module, objective, tmp_path, SCHEDULE).run()
    picture = plot_log(tmp_path, tmp_path / "curves.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
