"""Titles, headings, sections and alt texts of HTML and Markdown files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

HTML, MARKDOWN = frozenset({".html", ".htm", ".xhtml"}), frozenset({".md", ".markdown"})
_HIDDEN = frozenset({"script", "style", "template", "noscript", "svg", "nav"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BREAKS = frozenset({"p", "div", "br", "li", "tr", "td", "section", "article", "pre", "blockquote"})
_ATX = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_PICTURE = re.compile(r"!\[([^\]]*)\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_TAG = re.compile(r"<img\s[^>]*>", re.IGNORECASE)


@dataclass
class Page:
    """What a page says."""

    title: str = ""
    sections: list[tuple[str, str]] = field(default_factory=list)
    """(heading, text below it); the text before the first heading has the heading ""."""
    pictures: list[tuple[str, str]] = field(default_factory=list)
    """(source, alt text)"""

    @property
    def text(self) -> str:
        """All its text, without the title and the headings."""
        return "\n".join(text for _, text in self.sections if text)


def read_html(source: str) -> Page:
    """Reads HTML, broken or not.

    >>> page = read_html("<title>Whales</title><h1>Blue</h1><p>The largest.<img src=b.png alt='a whale'>")
    >>> page.title, page.sections, page.pictures
    ('Whales', [('Blue', 'The largest.')], [('b.png', 'a whale')])
    """
    parser = _Parser()
    parser.feed(source)
    parser.close()
    return parser.page()


def read_markdown(source: str) -> Page:
    r"""Reads Markdown: its first heading is the title.

    >>> page = read_markdown("# Whales\n\nSea mammals.\n\n## Blue\nThe ![a whale](b.png) [largest](x.html).")
    >>> page.title, page.sections, page.pictures
    ('Whales', [('Whales', 'Sea mammals.'), ('Blue', 'The largest.')], [('b.png', 'a whale')])
    """
    page = Page(sections=[("", "")])
    fenced = False
    for line in source.splitlines():
        fenced ^= bool(_FENCE.match(line))
        if heading := None if fenced else _ATX.match(line):
            page.sections.append((_plain(heading[1]), ""))
            page.title = page.title or _plain(heading[1])
            continue
        page.pictures += [(where, alt) for alt, where in _PICTURE.findall(line)]
        for tag in _TAG.findall(line):
            page.pictures += read_html(tag).pictures
        name, text = page.sections[-1]
        page.sections[-1] = (name, f"{text} {_plain(line)}".strip())
    page.sections = [some for some in page.sections if any(some)]
    return page


def _plain(text: str) -> str:
    """Markdown's text without its signs."""
    text = _LINK.sub(r"\1", _TAG.sub("", _PICTURE.sub("", text)))
    return " ".join(re.sub(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}", "", text).split())


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._title: list[str] = []
        self._sections: list[tuple[list[str], list[str]]] = [([], [])]
        self._pictures: list[tuple[str, str]] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HEADINGS:
            self._sections.append(([], []))
        if tag in _HEADINGS | _HIDDEN | {"title"}:
            self._inside.append(tag)
        if tag == "img":
            values = dict(attrs)
            self._pictures.append((values.get("src") or "", values.get("alt") or ""))
        if tag in _BREAKS:
            self._sections[-1][1].append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            del self._inside[self._inside.index(tag) :]

    def handle_data(self, data: str) -> None:
        where = self._inside[-1] if self._inside else ""
        if where == "title":
            self._title.append(data)
        elif where in _HEADINGS:
            self._sections[-1][0].append(data)
        elif where not in _HIDDEN:
            self._sections[-1][1].append(data)

    def page(self) -> Page:
        sections = [(_joined(heading), _joined(text)) for heading, text in self._sections]
        return Page(_joined(self._title), [some for some in sections if any(some)], self._pictures)


def _joined(parts: list[str]) -> str:
    return " ".join("".join(parts).split())
