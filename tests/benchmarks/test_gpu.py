"""The rows of a GPU, made on a CPU with models of no size: that they are all there, not what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import gpu, workload
from benchmarks import pictures as picture_rows
from benchmarks.workload import Size
from onespace.engines.torch_engine import TorchEngine

SMALL = Size("xlm-roberta", 32_000, 64, 2, 2, 3000)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small model of BGE-M3's kind in its place, and a peer that is there at once."""
    pytest.importorskip("transformers")
    monkeypatch.setattr(workload, "FOLDER", tmp_path)
    for module in (gpu, picture_rows):
        monkeypatch.setattr(module, "BGE_M3", SMALL)
    monkeypatch.setattr(gpu, "transformers", lambda *_: {"a peer": len})
    monkeypatch.setattr(gpu, "flag", lambda *_: {})


def test_without_a_gpu_there_are_no_rows_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.rows(True) == []
    assert "no CUDA device is here" in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_every_row_is_made() -> None:
    setting = gpu.Setting(1, 8, 2, device="cpu", kind="float32", compiler="eager", times=1, products=((8, 8, 8),))
    rows = {row.name: row for row in gpu.measured(setting, name="no card")}
    assert [name.replace("float32", "bfloat16") for name in rows] == [
        "GPU matrix product, bfloat16",
        "BGE-M3 bfloat16, GPU, 8 texts: a peer",
        "BGE-M3 bfloat16, GPU, 8 texts: ours in bfloat16",
        "BGE-M3 bfloat16, GPU: tokens a second",
        "BGE-M3 bfloat16, GPU: share of the measured matrix rate",
        "Visualized-M3 bfloat16, GPU, 2 pictures: ours, one at a time",
        "Visualized-M3 bfloat16, GPU: pictures a second, from files",
        "Visualized-M3 bfloat16, GPU: pictures a second, from arrays",
        "Visualized-M3 bfloat16, GPU: share of the measured matrix rate, from arrays",
        "Visualized-M3 bfloat16, GPU, 2 arrays, compiled: as they come",
    ]
    assert all(row.ours > 0 for row in rows.values())
    assert "no card" in rows["GPU matrix product, float32"].note


@pytest.mark.usefixtures("small")
def test_operations_are_those_that_torch_counts() -> None:
    model = picture_rows.random_model(2, "float32")
    assert isinstance(model.engine, TorchEngine)
    ids, mask = torch.tensor([[0, 2]]), torch.ones(1, 2, dtype=torch.bool)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as picture:
        model.engine.module(ids, mask, torch.zeros(1, 1, 3, 224, 224))
    assert gpu.picture_operations(model.spec) == pytest.approx(picture.get_total_flops(), rel=0.05)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as text:
        model.engine.module(ids.repeat(1, 50), mask.repeat(1, 50))
    assert gpu.useful(SMALL, np.array([100])) == pytest.approx(text.get_total_flops(), rel=0.01)
