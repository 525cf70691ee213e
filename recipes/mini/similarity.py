"""How alike sentences are, as a teacher says: `python -m recipes.mini.similarity --teacher FOLDER`.

2,000 pairs of short English sentences, closer and less close, written here; no answer goes with them. The number is the
rank correlation of the model's cosines with those of a teacher, any text model that `onespace.load` opens.

The names are of things that training knows; the sentences are new to it. Training writes one phrase of `templates.py`
around one name or some keywords, or joins two names by the "and" of a locale, or runs all words together. Every
sentence here holds a word that is in no name, keyword, phrase or joint of training, so none can have been drawn;
`pairs` sees to that for the data at hand.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import onespace
from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.evaluate.intervals import Interval, interval_of
from onespace.evaluate.metrics import spearman
from onespace.evaluate.scores import pair_scores
from recipes.mini.data import read_rows
from recipes.mini.templates import ANIMALS, TEMPLATES, fill
from recipes.mini.train import BUILD

COUNT = 2000
NAME = re.compile("[a-z]+(?:[ -][a-z]+){0,2}")
"""English names that go into a sentence: up to three plain words."""
WORD = re.compile(r"\w+")

ONE = (
    "somebody drew {}",
    "there is {} here",
    "it depicts {}",
    "our emblem features {}",
    "we noticed {} yesterday",
    "this one shows {}",
    "{} appears in it",
    "imagine {}",
    "your picture contains {}",
)
"""Sentences about one thing, which comes with its article."""
TWO = (
    "{} beside {}",
    "{} near {}",
    "there is {} alongside {}",
    "somebody drew {} and {}",
    "{} leaning on {}",
    "your picture contains {} and {}",
    "{} appears together with {}",
)
"""Sentences about two things side by side."""
LOOKS = (
    "{} that is tiny",
    "{} that is enormous",
    "{}, quite beautiful",
    "{}, badly faded",
    "{} made of wood, beneath a tree",
    "{} seen from above at night",
)
"""Sentences about how one thing looks."""


@dataclass(frozen=True)
class Thing:
    """A concept's English name and its keywords, without the name."""

    name: str
    keywords: tuple[str, ...]

    @property
    def told(self) -> str:
        """With its article."""
        return fill("a {}", self.name)


@dataclass(frozen=True)
class TextPair:
    """Two sentences and in what way they are alike, a key of `KINDS`."""

    kind: str
    first: str
    second: str


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation with a teacher: over all pairs, with its 95% interval, and over each kind."""

    teacher: str
    pairs: int
    whole: Interval
    kinds: dict[str, float]


def things(data: Path) -> tuple[list[Thing], set[str]]:
    """What sentences are about, by name, and every word that training can write (lower case)."""
    names: dict[str, str] = {}
    keywords: dict[str, list[str]] = {}
    patterns = json.loads((data / "patterns.json").read_text("utf-8")).values()
    seen = words(text for table in (TEMPLATES, ANIMALS) for some in table.values() for text in some) | words(patterns)
    seen.add("an")  # `fill` writes it
    for row in read_rows(data / "texts.jsonl"):
        if row["split"] != "train":
            continue
        seen |= words([row["text"]])
        if row["locale"] == "en" and NAME.fullmatch(row["text"]):
            if row["kind"] == "name":
                names[row["concept"]] = row["text"]
            else:
                keywords.setdefault(row["concept"], []).append(row["text"])
    found = {
        name: Thing(name, tuple(k for k in keywords[c] if k != name)) for c, name in names.items() if c in keywords
    }
    plural = re.compile("[^s]s$")
    return [found[name] for name in sorted(found) if found[name].keywords and not plural.search(name)], seen


def words(texts: Iterable[str]) -> set[str]:
    """The words of some texts.

    >>> sorted(words(["a whale", "eine Zeichnung: {}"]))
    ['a', 'eine', 'whale', 'zeichnung']
    """
    return {word for text in texts for word in WORD.findall(text.lower())}


# -- the kinds of pair: each takes a draw and gives two sentences ------------------------------------------------------


class Draw:
    """Draws things and wordings, the same ones for the same seed."""

    def __init__(self, things: list[Thing], seed: int) -> None:
        self.things, self.rng = things, np.random.default_rng(seed)
        sets = [{thing.name, *thing.keywords} for thing in things]
        terms = {term: i for i, term in enumerate(sorted(set().union(*sets)))}
        has = np.zeros((len(sets), len(terms)), np.float32)
        for row, some in zip(has, sets, strict=True):
            row[[terms[term] for term in some]] = 1
        common = has @ has.T
        sizes = has.sum(1)
        self.near = common / (sizes[:, None] + sizes - common)
        """(N, N): the share of keywords that two things have in common (intersection over union)."""
        np.fill_diagonal(self.near, -1)
        names = {thing.name for thing in things}
        self.called = [(thing, keyword) for thing in things for keyword in thing.keywords if keyword in names]
        """Things with a keyword that is the name of another: a ferry, a boat."""

    def wording(self, *tables: tuple[str, ...], but: str = "") -> str:
        """A sentence of these tables, other than ``but``."""
        some = [text for table in tables for text in table if text != but]
        return some[int(self.rng.integers(len(some)))]

    def place(self) -> int:
        """Any one thing."""
        return int(self.rng.integers(len(self.things)))

    def neighbours(self) -> tuple[int, int]:
        """A thing and one of the three, or fewer, that share most keywords with it; a thing alone is passed over."""
        place = int(self.rng.choice(np.flatnonzero((self.near > 0).any(1))))
        first = np.argsort(-self.near[place], kind="stable")[:3]
        return place, int(self.rng.choice(first[self.near[place, first] > 0]))

    def stranger(self, place: int) -> int:
        """A thing that shares no keyword with it."""
        return int(self.rng.choice(np.flatnonzero(self.near[place] == 0)))

    def strangers(self) -> tuple[str, str, str]:
        """Three things with their articles; the first has nothing to do with the others."""
        first = self.place()
        second, third = self.stranger(first), self.stranger(first)
        return self.things[first].told, self.things[second].told, self.things[third].told


def _reworded(draw: Draw) -> tuple[str, str]:
    told, first = draw.things[draw.place()].told, draw.wording(ONE)
    return first.format(told), draw.wording(ONE, but=first).format(told)


def _by_keyword(draw: Draw) -> tuple[str, str]:
    thing, keyword = draw.called[int(draw.rng.integers(len(draw.called)))]
    return draw.wording(ONE).format(thing.told), draw.wording(ONE).format(fill("a {}", keyword))


def _neighbours(draw: Draw) -> tuple[str, str]:
    told, other = (draw.things[place].told for place in draw.neighbours())
    return draw.wording(ONE).format(told), draw.wording(ONE).format(other)


def _looks(draw: Draw) -> tuple[str, str]:
    told, first = draw.things[draw.place()].told, draw.wording(LOOKS)
    return first.format(told), draw.wording(LOOKS, but=first).format(told)


def _turned(draw: Draw) -> tuple[str, str]:
    first, second, _ = draw.strangers()
    return draw.wording(TWO).format(first, second), draw.wording(TWO).format(second, first)


def _one_of_two(draw: Draw) -> tuple[str, str]:
    first, second, _ = draw.strangers()
    return draw.wording(ONE, LOOKS).format(first), draw.wording(TWO).format(second, first)


def _sharing_one(draw: Draw) -> tuple[str, str]:
    first, second, third = draw.strangers()
    return draw.wording(TWO).format(first, second), draw.wording(TWO).format(first, third)


def _unrelated(draw: Draw) -> tuple[str, str]:
    first, second, _ = draw.strangers()
    return draw.wording(ONE, LOOKS).format(first), draw.wording(ONE, LOOKS).format(second)


KINDS: dict[str, Callable[[Draw], tuple[str, str]]] = {
    "one thing in other words": _reworded,
    "a thing and a keyword of it": _by_keyword,
    "two things that share keywords": _neighbours,
    "one thing that looks otherwise": _looks,
    "two things, turned round": _turned,
    "one thing, and it beside another": _one_of_two,
    "two things each, one of them shared": _sharing_one,
    "nothing in common": _unrelated,
}


def pairs(data: Path, *, count: int = COUNT, seed: int = 0) -> list[TextPair]:
    """``count`` pairs, none of them twice, as many of each kind, or one more of the first kinds.

    Raises:
        InputError: training can write all words of a sentence, or the data has too few things for so many pairs.
    """
    known, seen = things(data)
    draw, kinds = Draw(known, seed), list(KINDS)
    made: dict[tuple[str, str], TextPair] = {}
    for _ in range(20 * count):
        if len(made) == count:
            break
        kind = kinds[len(made) % len(kinds)]
        first, second = KINDS[kind](draw)
        if first != second and not {(first, second), (second, first)} & made.keys():
            made[first, second] = TextPair(kind, first, second)
    if len(made) < count:
        raise InputError(f"{data}: {len(known)} things make {len(made)} pairs, not {count}. Ask for fewer.")
    for text in (text for pair in made for text in pair):
        if words([text]) <= seen:
            raise InputError(f"{text!r}: training can write each of these words. Choose another wording.")
    return list(made.values())


def agreement(model: Encoder, teacher: Encoder, texts: list[TextPair]) -> Agreement:
    """How the model's cosines rank the pairs, against the teacher's."""
    own, theirs = (_closeness(encoder, texts) for encoder in (model, teacher))
    kinds = np.array([pair.kind for pair in texts])
    each = {kind: float(spearman(own[kinds == kind], theirs[kinds == kind])) for kind in dict.fromkeys(kinds.tolist())}
    return Agreement(teacher.spec.name, len(texts), interval_of(spearman, own, theirs), each)


def _closeness(encoder: Encoder, texts: list[TextPair]) -> np.ndarray:
    sides = ([pair.first for pair in texts], [pair.second for pair in texts])
    first, second = (encoder.encode(side, heads="dense", role="query") for side in sides)
    return pair_scores(first, second, way="dense")


def main() -> None:
    """Reads the arguments and prints the correlation, as a whole and by kind, each with a pair for example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=BUILD)
    parser.add_argument("--model", type=Path, help="a folder; the shipped model by default")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the model to be compared with")
    arguments = parser.parse_args()
    texts = pairs(arguments.data)
    found = agreement(onespace.load(arguments.model), onespace.load(arguments.teacher), texts)
    print(f"Spearman with {found.teacher} on {found.pairs:,} pairs: {found.whole}")
    for kind, value in found.kinds.items():
        example = next(pair for pair in texts if pair.kind == kind)
        print(f"  {value:6.3f}  {kind}: {example.first!r}, {example.second!r}")


if __name__ == "__main__":
    main()
