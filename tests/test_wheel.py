"""The wheel works away from the source tree: what it needs is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = out.glob("onespace-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return target


def run(installed: Path, cwd: Path, *argv: str) -> str:
    """Runs Python in another folder, where only the installed wheel is `onespace`."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, *argv], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_is_what_runs(installed: Path, tmp_path: Path) -> None:
    where = Path(run(installed, tmp_path, "-c", "import onespace; print(onespace.__file__)").strip())
    assert where.is_relative_to(installed)
    assert "demo" in run(installed, tmp_path, "-m", "onespace", "--help")
    run(installed, tmp_path, "-m", "onespace", "models")


def test_the_wheel_holds_what_it_needs_and_no_more(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("onespace/py.typed", "onespace/assets/demo/logo.png", "onespace/assets/ATTRIBUTIONS.md"):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "recipes", "build")) or "__pycache__" in name]
    assert wheel.stat().st_size < 45e6


def test_the_shipped_model_encodes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a whale\n一只蓝鲸\n", "utf-8")
    argv = ["-m", "onespace", "encode", "lines.txt", str(ROOT / "src/onespace/assets/demo"), "--out", "v.npz"]
    assert run(installed, tmp_path, *argv) == "v.npz: 7 rows\n"
