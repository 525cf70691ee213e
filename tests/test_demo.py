from __future__ import annotations

import json
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import onespace
from onespace.cli.main import main
from onespace.demo import experiment, report
from onespace.demo.experiment import GROUPS, IDS, METRICS, PICTURES, THINGS, Result
from onespace.demo.findings import findings, geometry
from onespace.encoder import Encoder

# -- the experiment and its words, on made-up numbers ------------------------------------------------------------------


def ideal(a: str, b: str) -> float:
    """Numbers that agree with every expectation: concept first, then shared parts, then kind."""
    x, y = (next(t for t in THINGS if t.id == i) for i in sorted((a, b)))
    if x == y:
        return 1.0
    same = 0.4 * (x.concept == y.concept) + 0.1 * ({x.concept, y.concept} == {"logo", "whale"})
    shared = 0.2 * bool(x.picture and x.picture == y.picture) + 0.4 * bool(x.text and x.text == y.text)
    return 0.05 + same + shared


def changed(**values: float):
    """`ideal` with some numbers replaced; keys are "image/logo~image/logo-2"."""

    def cosine(a: str, b: str) -> float:
        for key in (f"{a}~{b}", f"{b}~{a}"):
            if key in values:
                return values[key]
        return ideal(a, b)

    return cosine


def test_numbers_that_agree_with_every_expectation() -> None:
    assert [f.expected for f in findings(ideal) if not f.agrees] == []


@pytest.mark.parametrize(
    ("wrong", "values", "words"),
    [
        ([0], {"image/whale~image/dragon": 0.99}, "but the realistic whale and the dragon reach 0.99"),
        ([1, 2], {"image/logo~image/whale": -0.5}, "The farthest is the realistic whale"),
        ([2], {"text/whale~text/logo": -0.5}, "Not as text: picture 0.15 against 0.05, text -0.50 against 0.05"),
        ([3], {"pair/dragon~text/bicycle": 0.99}, "True in 15 of 16 cases; pair/dragon is nearer to text/bicycle."),
        ([4, 3], {"text/dragon~pair/dragon": 0.0}, "Only true for 7 of 8 pairs"),
        ([5], {"pair/logo~pair/logo-2": 0.1}, "It does not: 0.45 without it, 0.10 with it."),
        ([6, 2], {"text/logo~text/dragon": 0.9}, "That is at 0.45, but 一条龙 is at 0.90."),
        ([7, 3], {"text/bluewhale~pair/logo": 0.9}, "It does not: from 0.90 to 0.55"),
    ],
)
def test_a_number_that_disagrees_is_told(wrong: list[int], values: dict[str, float], words: str) -> None:
    said = findings(changed(**values))
    assert {i for i, finding in enumerate(said) if not finding.agrees} == set(wrong)
    assert words in said[wrong[0]].words


def test_the_metrics_are_said_to_agree_only_when_they_do() -> None:
    def distance(a: str, b: str) -> float:
        return float(np.sqrt(max(0.0, 2 - 2 * ideal(a, b))))

    assert "same order" in geometry(ideal, ideal, distance)
    assert "aren't all of length 1" in geometry(ideal, lambda a, b: 2 * ideal(a, b), distance)


def test_every_comparison_names_things_that_exist() -> None:
    assert {i for group in GROUPS for row in group.rows for i in row} <= set(IDS)
    assert len(set(IDS)) == len(IDS)
    assert all((PICTURES / t.picture).stat().st_size < 60_000 for t in THINGS if t.picture)


# -- the report, on random weights -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def random_result(tiny_encoder: Encoder) -> Result:
    return experiment.run(tiny_encoder)


def test_the_report_needs_nothing_else(random_result: Result, tmp_path: Path) -> None:
    paths = report.save(random_result, tmp_path / "new" / "folder")
    page = paths["report"].read_text("utf-8")
    assert "<script" not in page
    assert "http" not in page
    assert page.count("data:image/png;base64,") == 5
    assert all(f.words in page.replace("&#x27;", "'").replace("&quot;", '"') for f in report.told(random_result))
    assert all(t.id in page for t in THINGS)
    numbers = json.loads(paths["numbers"].read_text("utf-8"))
    value = numbers["groups"][0]["rows"][0]["cosine"]
    assert value == pytest.approx(random_result.value("cosine", "image/logo", "image/logo-2"), abs=1e-5)
    assert f"{value:.4f}" in page
    assert paths["heat map"].stat().st_size > 10_000


# -- the shipped model -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result() -> Result:
    return experiment.run(onespace.load())


def test_the_two_logos_are_the_most_similar_pictures_and_the_dragon_the_least(result: Result) -> None:
    animals = ("image/logo", "image/logo-2", "image/whale", "image/dragon")
    values = {pair: result.value("cosine", *pair) for pair in combinations(animals, 2)}
    assert max(values, key=values.__getitem__) == ("image/logo", "image/logo-2")
    assert "image/dragon" in min(values, key=values.__getitem__)
    for logo in ("image/logo", "image/logo-2"):
        assert values[logo, "image/dragon"] < values[logo, "image/whale"]


def test_the_bicycle_is_no_whale(result: Result) -> None:
    logos = result.value("cosine", "image/logo", "image/logo-2")
    assert all(result.value("cosine", "image/bicycle", i) < logos for i in IDS[:4])


@pytest.mark.parametrize("pair", [t for t in THINGS if t.modality == "pair"], ids=lambda t: t.id)
def test_a_pair_is_nearest_to_its_own_picture_and_its_own_text(pair: experiment.Thing, result: Result) -> None:
    for kind, own in (("image", "picture"), ("text", "text")):
        things = [t for t in THINGS if t.modality == kind]
        nearest = max(things, key=lambda t: result.value("cosine", pair.id, t.id))
        assert getattr(nearest, own) == getattr(pair, own)


def test_a_caption_is_nearest_to_its_translation(result: Result) -> None:
    same_thing = ("logo", "whale")  # the logo shows a whale, and that is what the model reads in its caption
    others = [t.id for t in THINGS if t.modality == "text" and t.concept not in same_thing]
    for caption in ("text/logo", "text/logo-en"):
        same = result.value("cosine", "text/logo", "text/logo-en")
        assert all(same > result.value("cosine", caption, other) for other in others)


def test_the_three_metrics_agree_on_unit_vectors(result: Result) -> None:
    cosine, dot, euclidean = (result.matrices[m] for m in METRICS)
    assert np.allclose(cosine, dot, atol=1e-5)
    assert np.allclose(euclidean**2, 2 - 2 * cosine, atol=1e-4)


def test_the_command_tells_the_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.perf_counter()
    assert main(["demo", "--out", str(tmp_path / "out")]) == 0
    assert time.perf_counter() - start < 60
    told = capsys.readouterr().out
    for words in (
        "cosine",
        "dot",
        "euclidean",
        "first 10 values",
        "What the numbers show",
        "report.html",
        "heat-map.png",
    ):
        assert words in told
    assert main(["demo", "--out", str(tmp_path / "out"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["findings"]) == 8
