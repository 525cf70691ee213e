from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.explain.explanation import Explanation, Field, Part, explain, leave_one_out, name_tokens
from onespace.explain.page import page
from onespace.explain.view import draw, heat, highlighted, overlay, rows, runs
from onespace.types import Pair

EVIL = '<script>alert("1")</script> & whale'


def field() -> Field:
    boxes = [(x, y, x + 10, y + 10) for y in range(0, 40, 10) for x in range(0, 80, 10)]
    values = [1.0 if (x, y) == (50, 20) else 0.0 for x, y, *_ in boxes]
    return Field(np.array(boxes, np.float32), np.array(values))


def test_heat_is_smooth_and_hottest_where_the_value_is() -> None:
    surface = heat(field(), (80, 40))
    assert surface.shape == (40, 80)
    assert surface.max() == pytest.approx(1)
    y, x = np.unravel_index(surface.argmax(), surface.shape)
    assert abs(x - 54.5) <= 1
    assert abs(y - 24.5) <= 1
    assert np.abs(np.diff(surface, axis=1)).max() < 0.25
    assert surface[:, :30].max() < 0.01


def test_a_field_of_equal_values_is_drawn() -> None:
    flat = Field(field().boxes, np.ones(32))
    assert np.isfinite(heat(flat, (80, 40))).all()
    assert overlay(PILImage.new("RGBA", (80, 40)), flat).size == (720, 360)


def test_the_picture_is_coloured_where_it_is_near() -> None:
    image = np.asarray(overlay(PILImage.new("RGB", (80, 40), "white"), field())).astype(int)
    assert (image[:, 50] > 240).all()
    red, _, blue = image[9 * 25, 9 * 55]
    assert red > blue + 60


def test_the_figure_is_written(tiny_encoder: Encoder, pictures: list[PILImage.Image], tmp_path: Path) -> None:
    e = tiny_encoder.encode(["a whale", pictures[2]])
    why = name_tokens(explain(e, 0, e, 1), tiny_encoder, query="a whale")
    path = draw(why, pictures[2], tmp_path / "why.png", query="鲸 a whale that swims far away in the sea")
    with PILImage.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    picture = PILImage.new("RGB", (8, 8))
    plain = Explanation(0.5, "cosine", (Part("dense", "vector", 0.5),))
    with pytest.raises(InputError, match=r"cosine score .* has no places"):
        draw(plain, picture, tmp_path / "a.png")
    with pytest.raises(InputError, match=r"ends in \.png"):
        draw(plain, picture, tmp_path / "a.jpg")


def test_runs_give_the_text_back() -> None:
    parts = (Part("multi", "match", 1.0, span=(2, 5)), Part("multi", "match", -0.5, span=(4, 7)))
    pieces = list(runs(Explanation(0.5, "maxsim", parts), "0123456789", side="document"))
    assert "".join(piece for piece, _ in pieces) == "0123456789"
    assert pieces == [("01", 0.0), ("23", 1.0), ("4", 0.5), ("56", -0.5), ("789", 0.0)]
    assert list(runs(Explanation(0, "maxsim", ()), "", side="query")) == []


def test_a_terminal_gets_the_text_and_grounds() -> None:
    why = Explanation(1.0, "lexical", (Part("sparse", "term", 1.0, "[b]", span=(2, 5)),))
    text = highlighted(why, "a [b] c", side="document")
    assert text.plain == "a [b] c"
    assert [(span.start, span.end) for span in text.spans] == [(2, 5)]
    assert rows(why) == [("common terms", "[b]", "+1.00000")]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_escapes_every_text(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    item = Pair(EVIL, pictures[0])
    e, d = tiny_encoder.encode([EVIL]), tiny_encoder.encode([item])
    why = name_tokens(explain(e, 0, d, 0), tiny_encoder, query=EVIL, document=item)
    html = page(why, query=EVIL, text=EVIL, pictures=[pictures[0]], model=EVIL)
    parsed = _Page()
    parsed.feed(html)
    assert "script" not in parsed.tags
    assert parsed.text.count(EVIL) >= 3  # title, query and text
    assert {"img", "mark", "table"} <= set(parsed.tags)
    assert not re.search(r'(src|href)="(?!data:)', html)
    left = re.search(r'class="box" style="left:([\d.]+)%', html)
    assert left is not None
    assert why.field is not None
    assert float(left[1]) == pytest.approx(100 * why.field.best[0] / pictures[0].width, abs=0.01)


def test_the_page_of_what_was_left_out(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    query = tiny_encoder.encode("whale")
    html = page(leave_one_out(tiny_encoder, query, 0, pictures[1], cells=4), pictures=[pictures[1]])
    assert "the rest" in html
    assert html.count('class="heat"') == 1
