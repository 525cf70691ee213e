"""Nothing heavy is imported before there is work: not by the package, nor by any ``--help``, nor by ``models``."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from onespace.cli.main import COMMANDS

HEAVY = {"torch", "numpy", "PIL", "onnxruntime", "tokenizers", "safetensors", "rich", "matplotlib", "transformers"}

PROBE = """
import contextlib, io, sys
from onespace.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def modules(code: str, *argv: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_light() -> None:
    loaded = modules("import sys, onespace; print(*{name.partition('.')[0] for name in sys.modules})")
    assert "onespace" in loaded
    assert not loaded & (HEAVY | {"argparse", "json"})


@pytest.mark.parametrize("argv", [[c, "--help"] for c in COMMANDS] + [["--help"], ["models"], ["models", "--json"]])
def test_help_and_models_are_light(argv: list[str]) -> None:
    assert not modules(PROBE, *argv) & HEAVY


def test_what_the_import_adds_is_measured(record_property: Callable[[str, object], None]) -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import onespace"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    (own,) = (line for line in lines if re.search(r"\|\s*onespace$", line))
    milliseconds = int(own.split("|")[1]) / 1000
    record_property("import_ms", milliseconds)
    assert milliseconds > 0
