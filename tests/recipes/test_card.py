"""The card of made-up numbers: every section that a reader needs is there, and says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.overlap import Result
from onespace.evaluate.intervals import Interval
from recipes.mini.card import Measured, card, counts
from recipes.mini.data import FAVOURED
from recipes.mini.history import Run
from recipes.mini.measure import KEPT_OUT
from recipes.mini.similarity import COUNT, Agreement


def measured(similar: Agreement | None) -> Measured:
    found = {"R@1": 0.5, "R@10": 0.9, "image R@1": 0.4, "image R@10": 0.8}
    languages = dict.fromkeys((*FAVOURED, *KEPT_OUT), found) | {"om": found | {"R@10": 0.123}}
    heads = {"cosine": [0.4, 0.8], "lexical": [0.2, 0.4], "maxsim": [0.3, 0.6], "blend": [0.5, 0.9]}
    numbers = {
        "candidates": 1000,
        "languages": languages,
        "full locales": len(FAVOURED) + 1,
        "mean": found,
        "heads": {"table": dict.fromkeys(FAVOURED, heads), "gain": [0.01, -0.01, 0.02]},
        "across": {"en to om": 0.3, "zh to sw": 0.7},
        "composed": {"picture and word": 0.6, "picture alone": 0.2, "word alone": 0.1},
        "model": "onespace-mini",
    }
    run = Run(steps=2000, batch=192, seed=0, hours=1.5, cores=2, on="a laptop", note="From random weights.")
    return Measured(
        numbers=numbers,
        data={"drawings": 9, "things": 5, "icons": 2, "kept out": 4, "kept out icons": 1, "locales": 3},
        runs=(run, Run(steps=400, batch=192, seed=0, hours=98.5, cores=2, on="a laptop", note="More names.")),
        similar=similar,
        size=35_000_000,
        pace={"text": 2.0, "picture": 30.0},
        forms=[("dense 64 int8", 64.0, 0.7)],
        scenes={"tile": Result(0.4, 0.6, 0.9, 1800)},
        sides={"tile": 0.9, "pad": 0.6},
        list_=["text   blend"],
    )


def test_the_card_tells_data_licences_languages_limits_and_how_it_was_made() -> None:
    text = card(measured(None))
    for section in ("Targets", "Limits", "Every language with full names, best first", "Data", "How it was made"):
        assert f"\n## {section}\n" in text
    last = text.index("## Every language")
    rows = [line for line in text[last:].splitlines() if line.startswith("| ")][2 : 2 + len(FAVOURED) + 1]
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows} == {*FAVOURED, "om"}
    assert rows[-1].startswith("| om | 50.0 | 12.3 |")
    assert "9 drawings of 5 things" in text
    assert "names in short phrases: of\n3 in 11 languages and scripts, of the other 2\nin English" in text
    assert "2 of its 5 things are icons" in text
    assert "(https://cldr.unicode.org)" in text
    assert "[CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/)" in text
    assert "| v0 | 2,000 | 192 | 1.5 | 2 | a laptop | 0 | From random weights. |" in text
    assert "2,400 steps, 100.0 hours and 200 core-hours in all" in " ".join(text.split())
    assert "Energy was not metered" in text
    assert "that is 0.60 to 2.40 kWh" in " ".join(text.split())
    assert "`make train-mini`" in text


@pytest.mark.parametrize(
    ("mean", "count", "met"), [(0.75, COUNT, "yes"), (0.7499, COUNT, "no"), (0.9, COUNT - 1, "no")]
)
def test_a_teacher_is_named_with_what_it_says(mean: float, count: int, met: str) -> None:
    whole = Interval(mean, 0.7, 0.8)
    found = Agreement("bge-m3", count, whole, {"nothing in common": 0.3, "two things, turned round": 0.55})
    (row,) = (line for line in card(measured(found)).splitlines() if "Spearman" in line)
    assert "| English short texts, Spearman with a teacher on 2,000 pairs 75.0 |" in row
    assert f"{100 * mean:.1f} with bge-m3 (95% interval 70.0 to 80.0; within one kind of pair 30.0 to 55.0)" in row
    assert row.endswith(f"| {met} |")
    (row,) = (line for line in card(measured(None)).splitlines() if "Spearman" in line)
    assert row.endswith("| not measured: needs a teacher's folder (`--teacher`) | no |")


def test_drawings_are_counted(tmp_path: Path) -> None:
    rows = [
        ("1f40b", "noto", "train"),
        ("1f40b", "fxemoji", "train"),
        ("1f40b", "twemoji", "kept-out"),
        ("icon:maki:bank", "maki", "train"),
        ("icon:game-icons:dragon-head", "game-icons", "kept-out"),
    ]
    texts = [json.dumps({"concept": c, "style": style, "split": split}) for c, style, split in rows]
    (tmp_path / "images.jsonl").write_text("\n".join(texts) + "\n", "utf-8")
    (tmp_path / "locales.json").write_text('{"en": 2, "af": 1}', "utf-8")
    expected = {"drawings": 3, "things": 2, "icons": 1, "kept out": 2, "kept out icons": 1, "locales": 2}
    assert counts(tmp_path) == expected
