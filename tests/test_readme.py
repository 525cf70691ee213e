"""What the READMEs show is what the shipped model gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recipes.readme import MARKER, NUMBERS, PYTHON, READMES, fill, printed

NUMBER = re.compile(r"-?\d+\.\d+")


def same(shown: str, real: str) -> None:
    """Equal texts, in which decimal numbers may differ by a hundredth."""
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", real).split()
    assert [*map(float, NUMBER.findall(shown))] == pytest.approx([*map(float, NUMBER.findall(real))], abs=0.0101)


def test_a_wrong_number_in_a_readme_is_found() -> None:
    same("[0.501 x]", "[0.502  x]")
    for wrong in ("[0.55 x]", "[0.501 y]"):
        with pytest.raises(AssertionError):
            same(wrong, "[0.502 x]")


def test_output_is_put_behind_its_block_and_replaced_there() -> None:
    once = fill("a\n\n```python\nprint(1)\n```\n\nb\n")
    assert once == "a\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\nb\n"
    assert fill(once.replace("text\n1", "text\n2")) == once


def test_markers_are_known() -> None:
    for path in READMES:
        assert {m["name"] for m in MARKER.finditer(path.read_text("utf-8"))} == set(NUMBERS)


@pytest.mark.parametrize("path", READMES, ids=lambda p: p.name)
def test_every_python_block_prints_what_stands_behind_it(path: Path) -> None:
    blocks = list(PYTHON.finditer(path.read_text("utf-8")))
    assert blocks
    for block in blocks:
        same(block["output"] or "", printed(block["code"]))


@pytest.mark.parametrize("path", READMES, ids=lambda p: p.name)
def test_every_marker_is_followed_by_its_numbers(path: Path) -> None:
    for marker in MARKER.finditer(path.read_text("utf-8")):
        same(marker["output"], NUMBERS[marker["name"]]())


@pytest.mark.parametrize("path", READMES, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
        if target.startswith("http") or target.endswith("heat-map.png"):
            continue
        assert (path.parent / target).exists(), target


def test_the_picture_is_there() -> None:
    assert (READMES[1].parent / "heat-map.png").stat().st_size > 10_000
