"""A module imports only downward, and wings don't import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "onespace"

LAYERS = (
    ("errors", "types"),
    ("spec", "registry", "parts", "embeddings", "fairness", "score", "torch_file", "progress", "canvas"),
    ("prepare", "towers", "heads", "fuse"),
    ("model", "dual", "engines", "checkpoint", "passages", "batches", "call"),
    ("encoder", "exported"),
    ("hub", "families", "search", "contract", "plot", "files", "forms", "explain", "store", "results", "evaluate"),
    ("compare", "demo", "export", "train", "index", "choose", "serve", "integrations", "compat"),
    ("cli", "__main__"),
)
"""From the bottom up. A package is one entry; inside it, modules may import each other."""

WINGS = LAYERS[-2]
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}


def part(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(path: Path) -> Iterator[str]:
    """Parts of the package that a file imports, outside ``if TYPE_CHECKING``."""
    tree = ast.parse(path.read_text("utf-8"))
    ignored = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if node in ignored:
            continue
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            module = node.module or ""
            names = [f"{module}.{a.name}" for a in node.names] if module == "onespace" else [module]
        yield from (name.split(".")[1] for name in names if name.startswith("onespace."))


FILES = [p for p in sorted(ROOT.rglob("*.py")) if p != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_downward(path: Path) -> None:
    own = part(path)
    assert own in HEIGHT, f"{own} has no layer: give it one in LAYERS"
    for other in set(imported(path)) & set(HEIGHT) - {own}:
        beside = HEIGHT[other] == HEIGHT[own] and own not in WINGS
        assert HEIGHT[other] < HEIGHT[own] or beside, f"{own} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 450


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_command_line_prints(path: Path) -> None:
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    prints = [n.lineno for n in calls if getattr(n.func, "id", "") == "print"]
    assert part(path) == "cli" or not prints


def test_only_the_curves_of_training_need_matplotlib() -> None:
    wanted = ("import matplotlib", "from matplotlib")
    users = [path for path in FILES if any(line in path.read_text("utf-8") for line in wanted)]
    assert [str(path.relative_to(ROOT).as_posix()) for path in users] == ["train/curves.py"]
