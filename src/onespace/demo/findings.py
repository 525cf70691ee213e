"""Says in words what the numbers show. Every sentence is computed, and says so where the numbers disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from onespace.demo.experiment import THINGS, Thing

Cosine: TypeAlias = Callable[[str, str], float]
"""The cosine of two things, by their ids."""

NAMES = {
    "image/logo": "the logo",
    "image/logo-2": "the second logo",
    "image/whale": "the realistic whale",
    "image/dragon": "the dragon",
    "image/bicycle": "the bicycle",
}


@dataclass(frozen=True)
class Finding:
    """What one would expect, whether this model's numbers agree, and the numbers."""

    expected: str
    agrees: bool
    words: str


def findings(cosine: Cosine) -> list[Finding]:
    """All the findings, in the order in which they are told."""
    return [rule(cosine) for rule in (_logos, _dragon, _whale, _own, _pull, _shared, _language, _replaced)]


def _of(modality: str) -> list[Thing]:
    return [thing for thing in THINGS if thing.modality == modality]


def _mean(numbers: Iterable[float]) -> float:
    listed = list(numbers)
    return sum(listed) / len(listed)


def _logos(cosine: Cosine) -> Finding:
    pairs = {(a.id, b.id): cosine(a.id, b.id) for a, b in combinations(_of("image"), 2)}
    best = max(pairs, key=pairs.__getitem__)
    ours = pairs["image/logo", "image/logo-2"]
    expected = "The two whale logos are the most similar pictures, although their styles differ."
    if best == ("image/logo", "image/logo-2"):
        second = max(value for key, value in pairs.items() if key != best)
        return Finding(expected, True, f"They are, at {ours:.2f}; the next two pictures reach {second:.2f}.")
    a, b = (NAMES[i] for i in best)
    return Finding(expected, False, f"They reach {ours:.2f}, but {a} and {b} reach {pairs[best]:.2f}.")


def _dragon(cosine: Cosine) -> Finding:
    expected = "Of the animals, the dragon is the farthest from the logo."
    values = {i: cosine("image/logo", i) for i in ("image/logo-2", "image/whale", "image/dragon")}
    last = min(values, key=values.__getitem__)
    told = ", ".join(f"{NAMES[i]} {value:.2f}" for i, value in sorted(values.items(), key=lambda kv: -kv[1]))
    if last == "image/dragon":
        return Finding(expected, True, f"It is: {told}.")
    return Finding(expected, False, f"The farthest is {NAMES[last]}: {told}.")


def _whale(cosine: Cosine) -> Finding:
    expected = "A blue whale is nearer to the whale logo than a dragon is: as picture, as text and as pair."
    kinds = {"picture": "image", "text": "text", "pair": "pair"}
    values = {k: (cosine(f"{m}/whale", f"{m}/logo"), cosine(f"{m}/dragon", f"{m}/logo")) for k, m in kinds.items()}
    wrong = [kind for kind, (whale, dragon) in values.items() if whale <= dragon]
    told = ", ".join(f"{kind} {whale:.2f} against {dragon:.2f}" for kind, (whale, dragon) in values.items())
    start = f"Not as {' and '.join(wrong)}" if wrong else "It is"
    return Finding(expected, not wrong, f"{start}: {told}.")


def _own(cosine: Cosine) -> Finding:
    """A pair against all pictures and all texts; the right ones are those that it was made of."""
    expected = "Of all pictures a pair is nearest to its own, and of all texts to its own."
    lost: list[str] = []
    for pair in _of("pair"):
        picture = max(_of("image"), key=lambda t: cosine(pair.id, t.id))
        text = max(_of("text"), key=lambda t: cosine(pair.id, t.id))
        if picture.picture != pair.picture:
            lost.append(f"{pair.id} is nearer to {picture.id}")
        if text.text != pair.text:
            lost.append(f"{pair.id} is nearer to {text.id}")
    total = 2 * len(_of("pair"))
    if not lost:
        return Finding(expected, True, f"True in all {total} cases.")
    more = f"; and {len(lost) - 3} more" if len(lost) > 3 else ""
    return Finding(expected, False, f"True in {total - len(lost)} of {total} cases; {'; '.join(lost[:3])}{more}.")


def _parts(pair: Thing) -> tuple[str, str]:
    """The ids of the picture and of the text that a pair was made of."""
    picture = next(t.id for t in _of("image") if t.picture == pair.picture)
    return picture, next(t.id for t in _of("text") if t.text == pair.text)


def _pull(cosine: Cosine) -> Finding:
    expected = "A caption pulls its picture towards the text: a pair is nearer to the text than the picture alone is."
    moves: list[float] = []
    to_picture: list[float] = []
    to_text: list[float] = []
    for pair in _of("pair"):
        picture, text = _parts(pair)
        to_picture.append(cosine(picture, pair.id))
        to_text.append(cosine(text, pair.id))
        moves.append(to_text[-1] - cosine(picture, text))
    ahead = sum(move > 0 for move in moves)
    leans = "its picture" if _mean(to_picture) > _mean(to_text) else "its text"
    words = (
        f"{'True' if ahead == len(moves) else 'Only true'} for {ahead} of {len(moves)} pairs, by {_mean(moves):+.2f} "
        f"on average. A pair leans towards {leans} here: on average it is {_mean(to_picture):.2f} to its picture and "
        f"{_mean(to_text):.2f} to its text."
    )
    return Finding(expected, ahead == len(moves), words)


def _shared(cosine: Cosine) -> Finding:
    expected = "One caption under both logos brings them closer together than the pictures alone are."
    alone, together = cosine("image/logo", "image/logo-2"), cosine("pair/logo", "pair/logo-2")
    verb = "It does" if together > alone else "It does not"
    return Finding(expected, together > alone, f"{verb}: {alone:.2f} without it, {together:.2f} with it.")


def _language(cosine: Cosine) -> Finding:
    expected = "The caption in Chinese is nearest to the same caption in English."
    same = cosine("text/logo", "text/logo-en")
    others = {t.text: cosine("text/logo", t.id) for t in _of("text") if t.concept != "logo"}
    best = max(others, key=others.__getitem__)
    if same > others[best]:
        return Finding(expected, True, f"It is, at {same:.2f}; the next text, {best}, is at {others[best]:.2f}.")
    return Finding(expected, False, f"That is at {same:.2f}, but {best} is at {others[best]:.2f}.")


def _replaced(cosine: Cosine) -> Finding:
    expected = 'With its caption replaced by "bluewhale", the logo moves towards that word.'
    before, after = cosine("text/bluewhale", "pair/logo"), cosine("text/bluewhale", "pair/logo+bluewhale")
    stay = cosine("pair/logo", "pair/logo+bluewhale")
    start = "It does" if after > before else "It does not"
    return Finding(
        expected,
        after > before,
        f"{start}: from {before:.2f} to {after:.2f}; the two pairs, which share the picture, are {stay:.2f} alike.",
    )


def geometry(cosine: Cosine, dot: Cosine, euclidean: Cosine) -> str:
    """What the three metrics have to do with each other, checked on the numbers."""
    ids = [(a.id, b.id) for a, b in combinations(THINGS, 2)]
    gap = max(abs(cosine(*k) - dot(*k)) for k in ids)
    bend = max(abs(euclidean(*k) ** 2 - (2 - 2 * cosine(*k))) for k in ids)
    if max(gap, bend) < 1e-3:
        return (
            "Every vector has length 1, so the dot product equals the cosine and the squared Euclidean distance equals "
            "2 - 2 cosine: all three put the things in the same order."
        )
    return f"The vectors aren't all of length 1: dot and cosine differ by up to {gap:.3f}, so the metrics may disagree."
