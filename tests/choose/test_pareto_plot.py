from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.choose import Choice, Limits, Option
from onespace.choose.plot import pareto_plot
from onespace.errors import InputError
from onespace.evaluate.intervals import Interval

BLUE = (0x00, 0x69, 0x9C)


def option(label: str, quality: float, speed: float, size: float) -> Option:
    return Option(
        label, "dense", Interval(quality, quality - 0.04, quality + 0.04), {}, {}, Interval(0, 0, 0), False,
        speed, 1.0, 1.0, 10**9, size, "MIT", "English", "cpu",
    )  # fmt: skip


def choice(*options: Option) -> Choice:
    return Choice(options, options[0] if options else None, Limits(), {"file names": 300}, 300, (), ())


def blue(path: Path) -> int:
    picture = np.asarray(PILImage.open(path).convert("RGB")).astype(int)
    return int((np.abs(picture - BLUE).sum(2) < 30).sum())


def test_full_dots_are_those_that_none_beats(tmp_path: Path) -> None:
    good, fast = option("good", 0.7, 3, 4096), option("fast", 0.3, 300, 128)
    beaten = option("worse, slower and larger", 0.25, 1, 8000)
    two = blue(pareto_plot(choice(good, fast), tmp_path / "two.png"))
    three = blue(pareto_plot(choice(good, fast, beaten), tmp_path / "three.png"))
    four = blue(pareto_plot(choice(good, fast, option("as good, slower", 0.71, 2, 5000)), tmp_path / "four.png"))
    assert two < three < 1.3 * two  # a ring is little ink beside a dot
    assert four > 1.35 * two
    assert [o.label for o in choice(good, fast, beaten).front] == ["good", "fast"]


def test_one_option_and_many(tmp_path: Path) -> None:
    assert pareto_plot(choice(option("鲸鱼", 0.0, 5, 64)), tmp_path / "one.png").is_file()
    many = [option(f"model number {i} with a long name", 0.5, 10, 1024) for i in range(12)]
    with PILImage.open(pareto_plot(choice(*many), tmp_path / "many.PNG")) as picture:
        assert picture.width > 900


def test_nothing_to_draw_and_other_endings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 options"):
        pareto_plot(choice(), tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a name in \.png"):
        pareto_plot(choice(option("a", 0.5, 1, 1)), tmp_path / "a.svg")
