"""Rows, and the tables made of them; nothing is measured here."""

from __future__ import annotations

import math

from benchmarks.row import Kept, Row, compare, interleave, left_out, pair, share_out
from benchmarks.table import Target, fill, table, targets


def test_runs_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    seconds = interleave([lambda: calls.append("a"), lambda: calls.append("b")], times=2)
    assert "".join(calls) == "ababab"
    assert [len(some) for some in seconds] == [2, 2]


def test_a_ratio_is_the_median_of_neighbours() -> None:
    row = pair("x", [1.0, 2.0, 4.0], [3.0, 8.0, 8.0])
    assert (row.ratio, row.low, row.high) == (3.0, 2.0, 4.0)
    assert (row.ours, row.peer) == (2.0, 8.0)


def test_works_are_shared_out_and_each_is_done_once_by_all() -> None:
    done: list[str] = []
    runs = [lambda work: done.append(f"a{work}"), lambda work: done.append(f"b{work}")]
    seconds = share_out(runs, [1, 2, 3])
    assert done == ["a1", "b1", "a2", "b2", "a3", "b3"]
    assert [len(some) for some in seconds] == [3, 3]


def test_a_run_keeps_what_it_gave_last() -> None:
    given = iter("ab")
    run = Kept(lambda: next(given))
    interleave([run], times=1)
    assert run.given == "b"


def test_a_row_that_is_left_out_says_why() -> None:
    row = left_out("m3 text: peer", "no peer")
    assert not Row.from_dict(row.to_dict()).measured
    assert table([row]).splitlines()[-1] == "| m3 text: peer |  |  |  |  |  | left out: no peer |"
    assert Target("fast", "m3", "peer", 2.0).line([row]) == "| fast | >= 2 | not measured | | left out: no peer |"
    assert Target("fast", "m3", "peer", 2.0, absent="no GPU").line([]) == "| fast | >= 2 | not measured | | no GPU |"


def test_a_comparison_times_both() -> None:
    row = compare("x", lambda: None, lambda: sum(range(20_000)), times=3)
    assert row.ratio > 1


def test_a_row_survives_json() -> None:
    row = Row("alone", 2.0, note="no peer")
    values = row.to_dict()
    assert values["peer"] is None
    again = Row.from_dict(values)
    assert math.isnan(again.ratio)
    assert again.note == "no peer"


def test_a_table_has_a_line_a_row() -> None:
    lines = table([Row("alone", 2.0), pair("both", [1.0], [2.5], note="n")]).splitlines()
    assert lines[2:] == ["| alone | 2 |  | s |  |  |  |", "| both | 1 | 2.5 | s | 2.5 | 2.5 to 2.5 | n |"]


def test_only_the_named_block_is_filled() -> None:
    document = "<!-- bench: a -->\n1\n<!-- end -->\n<!-- bench: b -->\n2\n<!-- end -->\n"
    filled = fill(document, "b", r"\1 new")
    assert filled.startswith("<!-- bench: a -->\n1\n<!-- end -->\n")
    assert "\n\\1 new\n" in filled
    assert fill(document, "c", "new") == document


def test_a_target_says_whether_it_was_reached() -> None:
    fast, small = Target("fast", "m3", "peer", 2.0), Target("small", "m3", "memory", 6, "ours", most=True)
    rows = [pair("m3 text: peer", [1.0], [2.5]), Row("m3 memory", 7.0, unit="GiB")]
    assert "2.5x ✓" in fast.line(rows)
    assert "7 GiB ✗" in small.line(rows)
    assert "not measured" in fast.line([])
    assert len(targets(rows).splitlines()) > 10
