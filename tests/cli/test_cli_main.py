from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

import pytest

from onespace.cli import main as cli
from onespace.cli.output import plain_table, print_table
from onespace.errors import InputError


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_examples_and_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"examples:\n  onespace {name}" in out
    assert "--json" in out


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def run(_: argparse.Namespace) -> int:
        raise error

    parser = argparse.ArgumentParser()
    parser.set_defaults(run=run)
    monkeypatch.setattr(cli, "parser", lambda: parser)
    return cli.main([])


def test_a_foreseen_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(monkeypatch, InputError("a.png is empty.\nSave it again.")) == 2
    assert capsys.readouterr().err == "onespace: error: a.png is empty. Save it again.\n"


def test_an_output_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(monkeypatch, PermissionError(13, "Permission denied", "/x")) == 2
    assert capsys.readouterr().err == "onespace: error: /x: Permission denied.\n"


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_with(monkeypatch, ZeroDivisionError())


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_closed_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "onespace", "models"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == cli.PIPE_CLOSED


def test_models_lists_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    from onespace.registry import CARDS

    assert cli.main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [card.name for card in CARDS]
    assert cli.main(["models"]) == 0
    table = capsys.readouterr().out
    assert all(card.name in table for card in CARDS)


def test_models_shows_one_card(capsys: pytest.CaptureFixture[str]) -> None:
    from onespace.registry import CARDS

    card = CARDS[0]
    assert cli.main(["models", card.name]) == 0
    out = capsys.readouterr().out
    assert card.licence in out
    assert "unsupported" in out or "trained" in out
    assert cli.main(["models", card.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == card.name


def test_models_of_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "no-such-model"]) == 2
    assert "no model is called 'no-such-model'" in capsys.readouterr().err


def test_columns_align_for_wide_letters() -> None:
    table = plain_table(("", "a"), [("一只蓝鲸", "1.0"), ("x", "22.0")], numbers=1)
    assert table.splitlines()[1:] == ["一只蓝鲸   1.0", "x         22.0"]


def test_a_terminal_gets_a_table_with_the_same_cells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_table(("", "a"), [("[bold]x", "22.0")], numbers=1, title="cosine")
    out = capsys.readouterr().out
    assert all(cell in out for cell in ("cosine", "[bold]x", "22.0", "─────"))
