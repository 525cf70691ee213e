"""Step 2: what the concepts are called, in every language of CLDR.

    python -m recipes.mini.texts

Writes build/mini/texts.jsonl (concept, locale, text, kind, split), patterns.json (how a locale says
"A and B") and locales.json (names per locale). The emoji themselves stand as texts of locale "und".
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

from recipes.mini.concepts import all_annotations, drawings, emoji_names
from recipes.mini.sources import BUILD, package, settings, write_json, write_jsonl

TEXTS = BUILD / "texts.jsonl"
FULL = 1_300
UNDETERMINED = "und"
INHERIT = "↑↑↑"
LATIN_AMERICA = re.compile("AR|B[ORZ]|C[LORU]|DO|EC|GT|HN|MX|NI|P[AERY]|SV|US|UY|VE")


def split_of(locale: str) -> str:
    """Say "kept-out" for a locale whose language no training may see.

    >>> split_of("ms"), split_of("ms-ID"), split_of("mn")
    ('kept-out', 'kept-out', 'train')
    """
    return "kept-out" if locale.split("-")[0] in settings()["kept_out_locales"] else "train"


def parents(locale: str) -> list[str]:
    """The locales that a regional variant inherits from, nearest first; a script is no region.

    >>> parents("en-AU"), parents("es-MX"), parents("zh-Hant-HK"), parents("zh-Hant"), parents("sr-Cyrl-BA")
    (['en-001', 'en'], ['es-419', 'es'], ['zh-Hant'], [], ['sr-Cyrl', 'sr'])
    """
    language, *rest = locale.split("-")
    script = [part for part in rest if len(part) == 4 and part.isalpha()]
    region = [part for part in rest if part not in script]
    found = []
    if region:
        if script:
            found.append("-".join([language, *script]))
        if language == "en" and region[0] not in ("001", "US"):
            found.append("en-001")
        if language == "es" and LATIN_AMERICA.fullmatch(region[0]):
            found.append("es-419")
        if language == "pt" and region[0] not in ("PT", "BR"):
            found.append("pt-PT")
        if not script:
            found.append(language)
    if script == ["Cyrl"] and language == "sr" and region:
        found.append(language)
    return found


def clean(text: str) -> str:
    """A text in composed form, with single spaces.

    >>> clean("  a   whale ")
    'a whale'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def emoji_texts() -> Iterator[dict[str, Any]]:
    """Names and keywords of every emoji in every locale, without what a variant repeats."""
    wanted = emoji_names()
    said: dict[str, set[tuple[str, str, str]]] = {}
    locales = all_annotations()
    for locale in sorted(locales, key=lambda name: (name.count("-"), name != "en-001", name)):
        own = said.setdefault(locale, set())
        inherited = set().union(*(said.get(parent, set()) for parent in parents(locale)))
        for concept in wanted:
            entry = locales[locale].get(concept, {})
            for kind, key in (("name", "tts"), ("keyword", "default")):
                for text in entry.get(key, []):
                    row = (concept, kind, clean(text))
                    if row[2] and INHERIT not in text and row not in own:
                        own.add(row)
                        if row not in inherited and (kind == "name" or (concept, "name", row[2]) not in own):
                            yield {
                                "concept": concept,
                                "locale": locale,
                                "text": row[2],
                                "kind": kind,
                                "split": split_of(locale),
                            }


def icon_texts() -> Iterator[dict[str, Any]]:
    """The English name of every icon; kept out where no training drawing shows the concept."""
    trained = {d.concept for d in drawings() if d.split == "train"}
    seen = set()
    for d in drawings():
        if d.concept.startswith("icon:") and (d.concept, d.name) not in seen:
            seen.add((d.concept, d.name))
            split = "train" if d.concept in trained else "kept-out"
            yield {"concept": d.concept, "locale": "en", "text": d.name, "kind": "name", "split": split}


def emoji_themselves() -> Iterator[dict[str, Any]]:
    """Every emoji as a text of its own, in the locale "und": who types one means its concept."""
    for concept in emoji_names():
        text = "".join(chr(int(point, 16)) for point in concept.split("-"))
        yield {"concept": concept, "locale": UNDETERMINED, "text": text, "kind": "name", "split": "train"}


def patterns(locales: list[str]) -> dict[str, str]:
    """{locale: "{0} and {1}"}; a locale without its own pattern has its parent's."""
    own = {}
    for path, data in package("cldr-misc-full").read_all("/listPatterns.json"):
        locale = path.split("/")[1]
        own[locale] = data["main"][locale]["listPatterns"]["listPattern-type-standard"]["2"]
    found = {}
    for locale in locales:
        chain = [locale, *parents(locale), "-".join(locale.split("-")[:2]), locale.split("-")[0]]
        found[locale] = next((own[name] for name in chain if name in own), "{0}, {1}")
    return found


def main() -> None:
    """Write the three files and print what they hold."""
    rows = [*emoji_texts(), *icon_texts()]
    write_jsonl(TEXTS, [*rows, *emoji_themselves()])
    names = Counter(row["locale"] for row in rows if row["kind"] == "name")
    keywords = Counter(row["locale"] for row in rows if row["kind"] == "keyword")
    write_json(BUILD / "locales.json", dict(names.most_common()))
    locales = sorted({row["locale"] for row in rows})
    found = patterns(locales) | {UNDETERMINED: "{0} {1}"}
    write_json(BUILD / "patterns.json", found)
    full = [locale for locale, count in names.items() if count >= FULL]
    print(f"{len(rows)} texts: {names.total()} names, {keywords.total()} keywords, {len(locales)} locales")
    print(f"{len(full)} locales with at least {FULL} names: {' '.join(sorted(full))}")
    print("kept out:", " ".join(f"{name}={names[name]}" for name in locales if split_of(name) == "kept-out"))
    print("plain comma pattern:", " ".join(name for name in locales if found[name] == "{0}, {1}"))


if __name__ == "__main__":
    main()
