"""Which drawing shows what: every drawing of every package, with its concept.

A concept is what a drawing and a text can share:
  "1f40b"                     an emoji, by its code points without the variation selector
  "icon:game-icons:acorn"     an icon, by the first set that draws it
An icon whose name is the English CLDR name of an emoji is that emoji.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from recipes.mini.sources import Package, package, packages, renames

SKIN_TONE = re.compile(r"1f3f[b-f]")
SKIN_NAME = re.compile(r"-(light|medium-light|medium|medium-dark|dark)(-skin-tone.*)?$|skin-tone")


@dataclass(frozen=True)
class Drawing:
    """One picture of one concept: the SVG is `body` in a `box` (left, top, width, height)."""

    concept: str
    style: str
    split: str
    icon: str
    name: str
    body: str
    box: tuple[float, float, float, float]


def code_points(text: str) -> str:
    """Text as a concept id.

    >>> code_points("🐋"), code_points("❤️")
    ('1f40b', '2764')
    """
    return "-".join(f"{ord(c):x}" for c in text if c != "\ufe0f")


def same_form(points: str) -> str:
    """A set's spelling of code points as a concept id.

    >>> same_form("0031-fe0f-20e3")
    '31-20e3'
    """
    return "-".join(f"{int(point, 16):x}" for point in points.split("-") if point != "fe0f")


def slug(name: str) -> str:
    """A name as the icon sets spell it.

    >>> slug("flag: Côte d’Ivoire"), slug("1st place medal")
    ('flag-cote-divoire', '1st-place-medal')
    """
    plain = unicodedata.normalize("NFKD", name.replace("'", "")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


@cache
def all_annotations() -> dict[str, dict[str, dict[str, list[str]]]]:
    """{locale: {concept: {"tts": [name], "default": keywords}}} of CLDR."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for name in ("cldr-annotations-full", "cldr-annotations-derived-full"):
        for path, data in package(name).read_all("/annotations.json"):
            (content,) = data.values()
            entries = found.setdefault(path.split("/")[1], {})
            for text, entry in content.get("annotations", {}).items():
                entries.setdefault(code_points(text), entry)
    return found


@cache
def emoji_names() -> dict[str, str]:
    """{concept: English CLDR name} of every emoji that some set draws, skin tones left out."""
    drawn = {same_form(points) for source in packages("emoji") for points in source.read("chars.json")}
    english = all_annotations()["en"]
    return {
        points: english[points]["tts"][0]
        for points in sorted(drawn)
        if points in english and "tts" in english[points] and not SKIN_TONE.search(points)
    }


@cache
def emoji_slugs() -> dict[str, str]:
    """{slug: concept}: CLDR names first, then the sets' own names, then Unicode's character names."""
    names = emoji_names()
    table = {slug(name): points for points, name in names.items()}
    for source in packages("emoji"):
        aliases: dict[str, list[str]] = {}
        for alias, entry in source.read("icons.json").get("aliases", {}).items():
            aliases.setdefault(entry["parent"], []).append(alias)
        for points, name in source.read("chars.json").items():
            points = same_form(points)
            if points in names:
                for spelling in (name, *aliases.get(name, ())):
                    table.setdefault(spelling, points)
    for points in names:
        if "-" not in points:
            table.setdefault(slug(unicodedata.name(chr(int(points, 16)), "")), points)
    table.pop("", None)
    return table


@cache
def emoji_squashed() -> dict[str, str]:
    """`emoji_slugs` without hyphens, for the set that writes names in one word."""
    return {name.replace("-", ""): points for name, points in reversed(emoji_slugs().items())}


def human(icon: str, strip: str = "") -> str:
    """An icon's name as English.

    >>> human("apple-one", "(-one)?$"), human("sperm-whale")
    ('apple', 'sperm whale')
    """
    plain = re.sub(strip, "", icon, count=1) if strip else icon
    return (plain or icon).replace("-", " ").strip()


def emoji_of(style: str, icon: str, spellings: list[str]) -> str | None:
    """The emoji that this drawing shows, if its name or one of its aliases says so."""
    renamed = renames().get(f"{style}:{icon}", "")
    if renamed in emoji_names():
        return renamed
    for table in (cldr_slugs(), emoji_slugs()):
        for name in spellings:
            flag = name.replace("flag-for-", "flag-")
            for spelling in (flag, flag.replace("-and-", "-"), f"flag-{name}", name):
                if spelling in table:
                    return table[spelling]
    return emoji_squashed().get(icon) if style == "fxemoji" else None


def chosen(source: Package, icons: dict[str, Any]) -> Iterator[str]:
    """The names of a set that its rules in `sources.toml` keep."""
    if source.categories:
        groups = source.read("metadata.json")["categories"]
        kept = {name for group in source.categories for name in groups[group]}
    else:
        kept = set(icons)
    wanted = [
        name
        for name in icons
        if name in kept
        and not icons[name].get("hidden")
        and not (source.drop and re.search(source.drop, name))
        and not (source.role == "emoji" and SKIN_NAME.search(name))
    ]
    if source.largest:
        by_size = sorted(wanted, key=lambda name: int(name.rsplit("-", 1)[-1]))
        largest = {human(name, source.strip): name for name in by_size}
        wanted = [name for name in wanted if largest[human(name, source.strip)] == name]
    yield from wanted


@cache
def drawings() -> tuple[Drawing, ...]:
    """Every drawing of every set, kept-out ones too, in the order of `sources.toml`."""
    found: list[Drawing] = []
    first: dict[str, str] = {}
    for source in packages("emoji", "icons"):
        data = source.read("icons.json")
        aliases: dict[str, list[str]] = {}
        for alias, entry in data.get("aliases", {}).items():
            aliases.setdefault(entry["parent"], []).append(alias)
        own = {}
        if source.role == "emoji":
            chars = source.read("chars.json")
            own = {name: same_form(points) for points, name in chars.items()}
        for icon in chosen(source, data["icons"]):
            entry = data["icons"][icon]
            left, top, width, height = (
                float(entry.get(key, data.get(key, fallback)))
                for key, fallback in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
            )
            box = (left, top, width, height)
            split = "kept-out" if source.kept_out and re.search(source.kept_out, icon) else source.split
            concept, name = concept_of(source, icon, own.get(icon, ""), aliases.get(icon, []), first)
            if concept:
                found.append(Drawing(concept, source.style, split, icon, name, entry["body"], box))
    return tuple(found)


def concept_of(source: Package, icon: str, points: str, aliases: list[str], first: dict[str, str]) -> tuple[str, str]:
    """(concept, English name) of a drawing, ("", "") if nothing names it; `first` grows."""
    names = emoji_names()
    if source.role == "emoji":
        plain = re.sub(source.strip, "", icon) if source.strip else icon
        emoji = points if points in names else emoji_of(source.style, icon, [icon, plain, *aliases])
        return (emoji, names[emoji]) if emoji else ("", "")
    renamed = renames().get(f"{source.style}:{icon}", "")
    name = renamed or human(icon, source.strip)
    emoji = renamed if renamed in names else "" if renamed else cldr_slugs().get(slug(name))
    if emoji:
        return emoji, names[emoji]
    return first.setdefault(slug(name), f"icon:{source.style}:{slug(name)}"), name


@cache
def cldr_slugs() -> dict[str, str]:
    """{slug: concept} of the English CLDR names alone."""
    return {slug(name): points for points, name in emoji_names().items()}


def main() -> None:
    """Print what each set gives."""
    rows = drawings()
    kept = Counter((d.style, d.split) for d in rows)
    emoji = Counter(d.style for d in rows if not d.concept.startswith("icon:"))
    print(f"{len(emoji_names())} emoji concepts, {len({d.concept for d in rows})} concepts, {len(rows)} drawings")
    for (style, split), count in kept.items():
        print(f"{style:28} {split:9} {count:6} drawings, {emoji[style]:5} of emoji")


if __name__ == "__main__":
    main()
