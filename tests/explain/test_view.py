from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.explain import view
from onespace.explain.explanation import Explanation, Field, Part, explain, leave_one_out, name_tokens
from onespace.explain.page import page
from onespace.explain.view import HEAT, draw, heat, highlighted, overlay, rows, runs
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


@pytest.mark.parametrize(("level", "colour"), HEAT[1:])
def test_each_colour_of_the_heat_stands_at_its_level(
    level: float, colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "heat", lambda field, size: np.full((4, 8), level))
    pixel = np.asarray(view.veil(field(), (80, 40)))[20, 40]
    assert pixel.tolist() == pytest.approx([*bytes.fromhex(colour[1:]), 255 * 0.8 * level**0.8], abs=2)


def test_the_best_region_is_framed(tmp_path: Path) -> None:
    why = Explanation(1.0, "maxsim", (Part("multi", "match", 1.0, "whale"),), field())
    white = PILImage.new("RGB", (80, 40), "white")
    with PILImage.open(draw(why, white, tmp_path / "why.png")) as image:
        dark = (np.asarray(image.convert("RGB"))[: 48 + 360, : 48 + 720] == (27, 39, 51)).all(-1)  # INK
    rows, columns = np.nonzero(dark)
    found = (columns.min() - 48, rows.min() - 48, columns.max() - 47, rows.max() - 47)
    assert found == pytest.approx((450, 180, 540, 270), abs=3)


@pytest.mark.parametrize("size", [(1000, 8), (8, 1000), (1, 1)])
def test_a_picture_of_any_shape_is_drawn(size: tuple[int, int], tmp_path: Path) -> None:
    place = Field(np.array([(0, 0, min(8, size[0]), min(8, size[1]))], np.float32), np.ones(1))
    why = Explanation(0.5, "maxsim", (Part("multi", "match", 0.5, "whale" * 9, query_token=0, found="sea" * 9),), place)
    with PILImage.open(draw(why, PILImage.new("RGB", size), tmp_path / "why.png", query="w" * 200)) as image:
        edge = np.asarray(image.convert("L"))
    assert min(edge[:8].min(), edge[-8:].min(), edge[:, :8].min(), edge[:, -8:].min()) == 255


def test_matplotlib_is_not_needed(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy as np; from PIL import Image\n"
        "from onespace.explain.explanation import Explanation, Field, Part\n"
        "from onespace.explain.page import page; from onespace.explain.view import draw\n"
        "parts = Part('multi', 'match', 0.5, 'whale', query_token=0), Part('sparse', 'term', -0.1, 'sea')\n"
        "why = Explanation(0.4, 'blend', parts, Field(np.array([[0, 0, 8, 8]], np.float32), np.ones(1)))\n"
        "picture = Image.new('RGB', (8, 8))\n"
        "page(why, pictures=[picture]); draw(why, picture, sys.argv[1], query='a whale')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)
    assert (tmp_path / "a.png").stat().st_size > 1000


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
