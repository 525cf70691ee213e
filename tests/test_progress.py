from __future__ import annotations

import pytest

from onespace.progress import Progress


def test_a_bar_says_what_how_much_and_how_fast(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with Progress(10, shown=True, label="indexing") as bar:
        bar.advance(4)
        bar.total = 12  # found out on the way
        bar.advance(4)
        bar.advance(4)
    told = capsys.readouterr().err
    assert "indexing" in told
    assert "12/12" in told
    assert "/s" in told


@pytest.mark.parametrize("shown", [False, None])
def test_no_bar_is_drawn_where_nobody_looks(shown, capsys):
    with Progress(None, shown=shown) as bar:
        bar.advance(3)
    assert bar.done == 3
    assert capsys.readouterr().err == ""
