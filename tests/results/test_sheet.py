"""The contact sheet as one page."""

from __future__ import annotations

import base64
import io
import re
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image as PILImage

from onespace.explain.explanation import Explanation, Part
from onespace.results.sheet import Answer, sheet
from onespace.store import Found, Picture, Reference

EVIL = "<script>alert('x')</script>\"&"


class Tags(HTMLParser):
    """Counts tags, and notes every attribute that could load something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for key, value in attrs if key in ("src", "href", "srcset", "action")]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    PILImage.new("RGB", (900, 450), "teal").save(tmp_path / "teal.png")
    return tmp_path / "teal.png"


def found(picture: Path, **more: object) -> Found:
    why = Explanation(0.75, "blend", (Part("dense", "vector", 0.5), Part("sparse", "term", 0.25, EVIL)))
    reference = Reference("image", "", (Picture(str(picture), sha256(picture.read_bytes()).hexdigest()),))
    return Found(EVIL, 0.75, {"kind": EVIL}, reference, why=why, **more)  # type: ignore[arg-type]


def test_everything_is_inside_and_escaped(picture):
    html = sheet([Answer(EVIL, PILImage.open(picture), [found(picture)])], about=EVIL)
    tags = Tags(html)
    assert "script" not in tags.tags
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 5
    assert all(link.startswith("data:image/") for link in tags.links)
    assert "http" not in html
    assert "prefers-color-scheme:dark" in html


def test_the_box_lies_where_it_was_found(picture):
    html = sheet([Answer("sea", None, [found(picture, box=(450.0, 0.0, 900.0, 450.0))])], about="a store")
    assert 'class="box" style="left:50.00%;top:0.00%;width:50.00%;height:100.00%"' in html
    assert "best at left 450, top 0, right 900, bottom 450" in html


def test_the_ledger_adds_up(picture):
    html = sheet([Answer("sea", None, [found(picture)])], about="a store")
    shares = [float(x) for x in re.findall(r"<b>([+-]\d\.\d{4})</b>", html)]
    assert sum(shares) == pytest.approx(0.75)
    assert "<b>0.7500</b>" in html
    assert "<summary>2 parts</summary>" in html


def test_pictures_are_made_small(picture):
    html = sheet([Answer("sea", None, [found(picture)])], about="a store")
    (data,) = re.findall(r"data:image/\w+;base64,([^\"]+)", html)
    with PILImage.open(io.BytesIO(base64.b64decode(data))) as small:
        assert small.size == (420, 210)


def test_several_queries_are_linked_and_ranks_go_on():
    text = Found("a", 0.5, {}, Reference("text", "whale"))
    html = sheet([Answer("one", None, [text], first=11), Answer("two", None, [])], about="a store")
    tags = Tags(html)
    assert tags.links == ["#q0", "#q1"]
    assert 'id="q0"' in html
    assert 'id="q1"' in html
    assert "<span>11</span>a<b>" in html
    assert "Nothing was found." in html
