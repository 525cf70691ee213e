"""Hits as one HTML page that needs nothing else: pictures with the place that was found, and scores that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image as PILImage

from onespace.explain.page import STYLE, data_uri, frame, ledger, shares
from onespace.explain.view import over_white
from onespace.results.view import Shown, caption, facts, name, show, where
from onespace.spec import PixelSpec
from onespace.store import Found

SIDE = 420
"""Longest side of a picture, in pixels."""


@dataclass(frozen=True)
class Answer:
    """One query and what it found; ``first`` is the rank of the first hit."""

    text: str
    picture: PILImage.Image | None
    found: Sequence[Found]
    first: int = 1

    @property
    def title(self) -> str:
        """The query in words."""
        return self.text or "a picture"


def sheet(answers: Sequence[Answer], *, about: str, pixels: PixelSpec | None = None) -> str:
    """A contact sheet as one HTML document: no script, no request, light and dark; every text is escaped.

    Args:
        answers: a query each, with its hits.
        about: one line on where was searched and how.
        pixels: of the model, so that pictures are opened as they were for it.
    """
    title = answers[0].title if len(answers) == 1 else f"{len(answers)} queries"
    contents = "".join(f'<li><a href="#q{i}">{escape(a.title)}</a></li>' for i, a in enumerate(answers))
    nav = f"<nav><ol>{contents}</ol></nav>" if len(answers) > 1 else ""
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}: search</title><style>{STYLE}{CARDS}</style>
<main><header><p class="facts">{escape(about)}</p></header>
{nav}{"".join(_answer(i, answer, pixels) for i, answer in enumerate(answers))}
<footer>Made by <code>onespace search</code>.</footer></main></html>
"""


def _answer(number: int, answer: Answer, pixels: PixelSpec | None) -> str:
    asked = "" if answer.picture is None else f'<img alt="" src="{_small(over_white(answer.picture), 160)}">'
    words = f'<h1 class="text" dir="auto">{escape(answer.title)}</h1>'
    cards = "".join(_card(rank, found, pixels) for rank, found in enumerate(answer.found, answer.first))
    return (
        f'<div class="asked" id="q{number}">{asked}{words}</div>'
        f'<ol class="cards">{cards or "<li>Nothing was found.</li>"}</ol>'
    )


def _card(rank: int, found: Found, pixels: PixelSpec | None) -> str:
    words, told, place = caption(found), facts(found), where(found)
    lines = [f'<p class="text" dir="auto">{escape(words)}</p>'] if words and words != name(found) else []
    lines += [f'<p class="facts">{escape(" · ".join(told))}</p>'] if told else []
    lines += [f'<p class="facts">best at {escape(place)}</p>'] if place else []
    if found.why is not None:
        lines.append(shares(found.why))
        lines.append(f"<details><summary>{len(found.why.parts)} parts</summary>{ledger(found.why)}</details>")
    return (
        f"<li>{_figure(show(found, pixels), name(found))}"
        f"<h2><span>{rank}</span>{escape(name(found))}<b>{found.score:.4f}</b></h2>{''.join(lines)}</li>"
    )


def _figure(shown: Shown | None, label: str) -> str:
    if shown is None:
        return ""
    box = "" if shown.box is None else frame(shown.box, shown.picture.size)
    return f'<figure><img alt="{escape(label)}" src="{_small(shown.picture, SIDE)}">{box}</figure>'


def _small(picture: PILImage.Image, side: int) -> str:
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return data_uri(picture.resize(size, PILImage.Resampling.LANCZOS) if scale < 1 else picture)


CARDS = """
main{max-width:1280px}
.asked{display:flex;gap:20px;align-items:center;margin:28px 0 18px}
.asked img{width:88px;height:88px;object-fit:contain;background:#fff;border:1px solid var(--line);border-radius:10px}
.cards{list-style:none;padding:0;margin:0;display:grid;gap:18px;
grid-template-columns:repeat(auto-fill,minmax(min(100%,250px),1fr));align-items:start}
.cards>li{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:16px;overflow:hidden}
.cards figure img:first-child,.cards figure:hover img:first-child{filter:none;display:block;background:#fff}
.cards figure{width:fit-content;max-width:100%;margin:0 auto 14px}.cards figure img{width:auto;max-width:100%}
.cards h2{display:flex;gap:10px;align-items:baseline;font-size:14px;letter-spacing:0;text-transform:none;margin:0 0 6px;
overflow-wrap:anywhere}
.cards h2 span{color:var(--soft);font-weight:400}
.cards h2 b{margin-left:auto;font-variant-numeric:tabular-nums;font-weight:600}
.cards p.text{font-size:14px;line-height:1.5}.cards .facts{margin:4px 0;overflow-wrap:anywhere}
.cards .bar{height:8px;margin-top:12px}.cards .key{font-size:12px;gap:2px 14px;margin:8px 0 0}
details{margin-top:10px;font-size:13px}summary{cursor:pointer;color:var(--soft)}
details h2{display:block;font-size:11px;letter-spacing:.08em;text-transform:uppercase;margin:14px 0 4px}
details table{font-size:12px}
nav ol{columns:3 200px;font-size:14px;padding-left:22px}nav a{color:inherit}
"""
