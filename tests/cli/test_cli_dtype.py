"""``--dtype``: what a torch model computes with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onespace.cli.main import main

WORDS = ["compare", "--text", "a whale", "--text", "a long boat", "--json"]


def test_a_torch_model_computes_with_fewer_digits(model_folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for dtype in ("float32", "int8"):
        assert main([*WORDS, "--model", model_folder, "--dtype", dtype]) == 0
        found.append(np.array(json.loads(capsys.readouterr().out)["matrix"]))
    assert 0 < np.abs(found[0] - found[1]).max() < 0.1


def test_an_exported_model_refuses_it_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--dtype", "int8"]) == 2
    error = capsys.readouterr().err
    assert "runs on the CPU as it was written. Leave out device, dtype" in error
    assert error.count("\n") == 1
