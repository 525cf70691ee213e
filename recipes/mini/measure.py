"""What onespace-mini can do, measured through the public API on a drawing style that training never saw."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import onespace
from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.types import Metric, Pair
from recipes.mini.data import FAVOURED, read_rows

KEPT_OUT = ("af", "gl", "kn", "ms", "sk")
"""Locales whose names training never saw."""
CANDIDATES = 1000
FULL = 1300
"""A locale with so many names counts as full."""


@dataclass
class Test:
    """``CANDIDATES`` concepts, each a kept-out drawing and its names."""

    pictures: list[Image.Image] = field(default_factory=list)
    names: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    """locale -> {concept: name}"""


def read_test(data: Path, *, seed: int = 7, part: slice = slice(0, CANDIDATES)) -> Test:
    """Draws concepts among those that have a kept-out drawing and names in all favoured locales."""
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for row in read_rows(data / "texts.jsonl"):
        if row["kind"] == "name":
            names[row["concept"]][row["locale"]] = row["text"]
    rows = [r for r in read_rows(data / "images.jsonl") if r["style"] == "twemoji"]
    rows = [r for r in rows if set(FAVOURED) <= set(names[r["concept"]])]
    rows = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))[part]]
    drawings = np.load(data / "images.npy", mmap_mode="r")
    locales = json.loads((data / "locales.json").read_text("utf-8"))
    test = Test()
    for index, row in enumerate(rows):
        test.pictures.append(Image.fromarray(np.asarray(drawings[row["row"]])))
        for locale, count in locales.items():
            if (count >= FULL or locale in KEPT_OUT) and locale in names[row["concept"]]:
                test.names[locale][index] = names[row["concept"]][locale]
    return test


def recall(scores: np.ndarray, own: np.ndarray, k: int) -> float:
    """Share of rows whose own column is among the k best; ties count against.

    >>> recall(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), 1)
    0.5
    """
    return float(among_first(scores, own, k).mean())


def among_first(scores: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """1.0 for each row whose own column is among the k best, else 0.0; ties count against."""
    best = scores[np.arange(len(own)), own][:, None]
    return ((scores >= best).sum(1) <= k).astype(float)


def measure(model: Encoder, test: Test) -> dict[str, Any]:
    """Every number of the card."""
    pictures = model.encode(test.pictures)
    texts = {locale: model.encode(list(names.values()), heads=("dense",)) for locale, names in test.names.items()}
    languages = {locale: both_ways(texts[locale], pictures, list(test.names[locale])) for locale in test.names}
    full = [locale for locale in languages if locale not in KEPT_OUT]
    means = {k: float(np.mean([languages[locale][k] for locale in full])) for k in ("R@1", "R@10", "image R@10")}
    return {
        "candidates": len(test.pictures),
        "languages": languages,
        "full locales": len(full),
        "mean": means,
        "heads": _heads(model, test, pictures),
        "across": _across(texts, test),
        "composed": composed(model, test),
    }


def both_ways(texts: Embeddings, pictures: Embeddings, own: list[int]) -> dict[str, float]:
    """Recall of pictures by texts and of texts by pictures; ``own[i]`` is the picture of text i."""
    scores = onespace.similarity(texts, pictures)
    back, order = scores.T[own], np.arange(len(own))
    return {
        "R@1": recall(scores, np.array(own), 1),
        "R@10": recall(scores, np.array(own), 10),
        "image R@1": recall(back, order, 1),
        "image R@10": recall(back, order, 10),
    }


def _heads(model: Encoder, test: Test, pictures: Embeddings, *, seed: int = 11) -> dict[str, Any]:
    """R@1 and R@10 of each representation alone and of the blend, for the favoured languages.

    ``gain`` is what the blend adds to dense in R@1 over all of them, with a 95% interval: concepts are drawn again.
    """
    metrics: tuple[Metric, ...] = ("cosine", "lexical", "maxsim", "blend")
    table: dict[str, dict[str, list[float]]] = {}
    gains = np.zeros((len(FAVOURED), len(test.pictures)))
    for i, locale in enumerate(FAVOURED):
        own = np.array(list(test.names[locale]))
        texts = model.encode(list(test.names[locale].values()), role="query")
        scores = {m: onespace.similarity(texts, pictures, metric=m) for m in metrics}
        table[locale] = {m: [recall(s, own, 1), recall(s, own, 10)] for m, s in scores.items()}
        gains[i, own] = among_first(scores["blend"], own, 1) - among_first(scores["cosine"], own, 1)
    each = gains.mean(0)
    drawn = np.random.default_rng(seed).integers(len(each), size=(2000, len(each)))
    low, high = np.quantile(each[drawn].mean(1), (0.025, 0.975))
    return {"table": table, "gain": [float(each.mean()), float(low), float(high)]}


def _across(texts: dict[str, Embeddings], test: Test, *, seed: int = 3, couples: int = 20) -> dict[str, float]:
    """R@1 of a name in one language finding the same concept's name in another."""
    rng = np.random.default_rng(seed)
    locales = sorted(x for x in test.names if x not in KEPT_OUT)
    found: dict[str, float] = {}
    while len(found) < couples:
        a, b = (str(x) for x in rng.choice(locales, 2, replace=False))
        shared = [c for c in test.names[a] if c in test.names[b]]
        place = {c: i for i, c in enumerate(test.names[b])}
        rows = [i for i, c in enumerate(test.names[a]) if c in place]
        scores = onespace.similarity(texts[a][np.array(rows)], texts[b])
        found[f"{a} to {b}"] = recall(scores, np.array([place[c] for c in shared]), 1)
    return found


def composed(model: Encoder, test: Test, *, seed: int = 5, count: int = 200) -> dict[str, float]:
    """R@1 of a picture of A and the word B finding the picture of A beside B, among as many such pictures.

    Half of the candidates share their A or their B with another, so neither the picture nor the word alone suffices.
    """
    rng = np.random.default_rng(seed)
    firsts, seconds = rng.permutation(len(test.pictures))[: 2 * count].reshape(2, count)
    firsts[count // 2 :] = firsts[: count - count // 2]
    seconds[1::2] = seconds[::2]
    beside = [_beside(test.pictures[a], test.pictures[b]) for a, b in zip(firsts, seconds, strict=True)]
    words = [test.names["en"][int(b)] for b in seconds]
    pictures = [test.pictures[a] for a in firsts]
    found = model.encode(beside, heads=("dense",))
    asked = {
        "picture and word": [Pair(w, p) for w, p in zip(words, pictures, strict=True)],
        "picture alone": pictures,
        "word alone": words,
    }
    own = np.arange(count)
    return {k: recall(onespace.similarity(model.encode(v, heads=("dense",)), found), own, 1) for k, v in asked.items()}


def _beside(first: Image.Image, second: Image.Image) -> Image.Image:
    """Two drawings side by side on white, square as a whole."""
    size = first.width
    canvas = Image.new("RGBA", (2 * size, 2 * size), "white")
    canvas.alpha_composite(first, (0, size // 2))
    canvas.alpha_composite(second.resize((size, size)), (size, size // 2))
    return canvas.convert("RGB")
