"""The command: what is kept, what is written, and what it says of both."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import __main__ as command
from benchmarks.row import Row, pair

DOCUMENT = "\n".join(f"<!-- bench: {name} -->\nold\n<!-- end -->" for name in ("fast", "none", "targets"))


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Three tables: one with a row, one with none, and one that fails."""

    def failing(_: bool) -> list[Row]:
        raise RuntimeError("no luck")

    made = {"fast": lambda quick: [pair("fast: peer", [1.0], [2.0 + quick])], "none": lambda _: [], "broken": failing}
    for name, rows in made.items():
        module = ModuleType(f"benchmarks.{name}")
        module.rows = rows  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"benchmarks.{name}", module)
    monkeypatch.setattr(command, "NAMES", tuple(made))
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "draw", lambda *_: None)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    log = logging.getLogger("onespace")
    level = log.level  # the command wants silence; the tests after these don't
    yield tmp_path / "results"
    log.setLevel(level)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    return command.main()


def test_rows_are_kept_and_it_says_where(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "fast", "none") == 0
    assert [file.name for file in results.iterdir()] == ["fast-quick.json"]
    printed = capsys.readouterr().out
    assert f"kept in {results / 'fast-quick.json'}" in printed
    assert "nothing to measure here" in printed


def test_a_table_that_fails_stops_no_other(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 1
    assert (results / "fast-quick.json").is_file()
    captured = capsys.readouterr()
    assert "no luck" in captured.err
    assert "| aim | least or most | reached | spread | |" in captured.out


def test_a_document_is_filled_from_what_is_kept(
    results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "speed.md"
    document.write_text(DOCUMENT, "utf-8")
    assert run(monkeypatch, "fast", "none", "--full", "--write", str(document)) == 0
    text = document.read_text("utf-8")
    assert "`python -m benchmarks fast --full`" in text
    assert "| fast: peer | 1 | 2 | s | 2 | 2 to 2 |  |" in text
    assert "<!-- bench: none -->\nold\n" in text
    assert "not measured" in text
    assert f"written: {document}" in capsys.readouterr().out


def test_a_name_that_is_no_table_is_refused(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "slow")
    assert "'slow' isn't a table. Choose some of fast, none, broken." in capsys.readouterr().err
    assert not results.exists()
