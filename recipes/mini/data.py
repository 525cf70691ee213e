"""Reads what the earlier steps wrote and draws batches from it; a batch depends on nothing but its step number."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recipes.mini.templates import ANIMALS, TEMPLATES, fill

FAVOURED = ("en", "zh", "es", "hi", "ar", "sw", "ja", "ru", "fr", "vi")
"""Locales whose names are drawn more often."""

SPACED = ("en", "es", "fr", "de", "it", "pt", "nl", "sv", "id", "ru", "uk", "vi", "sw", "tr", "pl")
"""Locales in which words are sometimes run together, as they are in names of projects."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


@dataclass
class Concept:
    """One thing that is drawn and named."""

    name: str
    index: int = -1
    rows: list[int] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    keywords: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class Corpus:
    """Drawings and names for training; nothing of a kept-out style or locale is in it."""

    def __init__(self, folder: Path) -> None:
        self.images = np.load(folder / "images.npy", mmap_mode="r")
        self.styles: list[str] = []
        concepts: dict[str, Concept] = defaultdict(lambda: Concept(""))
        for row in read_rows(folder / "images.jsonl"):
            self.styles.append(row["style"])
            if row["split"] == "train":
                concepts[row["concept"]].rows.append(row["row"])
                concepts[row["concept"]].name = row["name"]
        for row in read_rows(folder / "texts.jsonl"):
            if row["split"] != "train" or row["concept"] not in concepts:
                continue
            concept = concepts[row["concept"]]
            if row["kind"] == "name":
                concept.names[row["locale"]] = row["text"]
            else:
                concept.keywords[row["locale"]].append(row["text"])
        drawn = {key: c for key, c in sorted(concepts.items()) if c.rows and c.names}
        self.emoji = [c for key, c in drawn.items() if not key.startswith("icon:")]
        self.icons = [c for key, c in drawn.items() if key.startswith("icon:")]
        for index, concept in enumerate(self.emoji + self.icons):
            concept.index = index
        self.patterns: dict[str, str] = json.loads((folder / "patterns.json").read_text(encoding="utf-8"))

    @cached_property
    def monochrome(self) -> np.ndarray:
        """(M,) bool: rows whose opaque pixels are all black, so that any colour may be given to them."""
        flags = np.zeros(len(self.images), dtype=bool)
        for start in range(0, len(flags), 512):
            block = self.images[start : start + 512]
            flags[start : start + 512] = (block[..., :3].max(-1) * (block[..., 3] > 128)).max((1, 2)) < 40
        return flags

    def draw_concepts(self, rng: np.random.Generator, count: int, *, known: int | None = None) -> list[Concept]:
        """``count`` different concepts: a few icons, the rest emoji, half of which are runs of neighbours.

        Neighbours in code point order are each other's hardest negatives (clock faces, flags, faces). While only
        ``known`` emoji take part, they are a fixed random choice, without icons.
        """
        if known is not None and known < len(self.emoji):
            active = np.random.default_rng(0).permutation(len(self.emoji))[: max(known, count)]
            return [self.emoji[int(i)] for i in rng.choice(active, count, replace=False)]
        icons = rng.choice(len(self.icons), count // 24, replace=False)
        wanted = count - len(icons)
        chosen: dict[int, None] = {}
        while len(chosen) < wanted // 2:
            start = int(rng.integers(len(self.emoji)))
            chosen.update(dict.fromkeys(range(start, min(start + 12, len(self.emoji)))))
        while len(chosen) < wanted:
            chosen.setdefault(int(rng.integers(len(self.emoji))))
        return [self.emoji[i] for i in list(chosen)[:wanted]] + [self.icons[int(i)] for i in icons]

    def draw_any(self, rng: np.random.Generator) -> Concept:
        """Any one concept, seldom an icon."""
        some = self.icons if rng.random() < 1 / 24 else self.emoji
        return some[int(rng.integers(len(some)))]

    def draw_text(self, rng: np.random.Generator, concept: Concept, *, locale: str | None = None) -> tuple[str, str]:
        """A text for a concept and its locale: mostly the name, sometimes keywords, sometimes a phrase around it."""
        locale = locale or draw_locale(rng, concept)
        text = concept.names[locale]
        keywords = concept.keywords.get(locale, [])
        if len(keywords) > 1 and rng.random() < 0.12:
            text = " ".join(rng.permutation(keywords)[: int(rng.integers(2, 5))])
        templates = TEMPLATES.get(locale, [])
        if "animal" in concept.keywords.get("en", []):
            templates = templates + ANIMALS.get(locale, []) * 3
        if templates and rng.random() < 0.3:
            text = fill(templates[int(rng.integers(len(templates)))], text)
        if locale in SPACED and rng.random() < 0.06:
            text = text.replace(" ", "")  # "bluewhale"
        return text, locale

    def joint(self, first: Concept, second: Concept, locale: str) -> str:
        """Both names joined in the way of the locale ("A and B"), or in English where one is missing."""
        if locale not in first.names or locale not in second.names:
            locale = "en"
        pattern = self.patterns.get(locale, "{0}, {1}")
        return pattern.format(first.names[locale], second.names[locale])


def draw_locale(rng: np.random.Generator, concept: Concept) -> str:
    """One of the concept's locales, favoured ones four times as often."""
    locales = list(concept.names)
    weights = np.array([4.0 if x in FAVOURED else 1.0 for x in locales])
    return locales[int(rng.choice(len(locales), p=weights / weights.sum()))]
