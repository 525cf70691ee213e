"""Which models are compared: those that are named, or those that are on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from onespace.errors import InputError
from onespace.registry import CARDS, ModelCard

WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class Candidate:
    """A model to try."""

    label: str
    source: str | None = None
    """A folder, a file or a name from the registry or the hub; None for the shipped model."""
    weights: str | None = None

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """From how it is typed: a name, a folder, or a folder and a weights file with a comma between.

        >>> Candidate.parse("BAAI/bge-m3,files/Visualized_m3.pth").label
        'BAAI/bge-m3 + Visualized_m3.pth'
        >>> Candidate.parse("mini").label
        'onespace-mini'

        Raises:
            InputError: an empty name, or more than one comma.
        """
        source, comma, weights = (part.strip() for part in text.partition(","))
        if not source or (comma and not weights) or "," in weights:
            raise InputError(f"{text!r} isn't a model. Give a name, a folder, or FOLDER,WEIGHTS.")
        if source in ("mini", "onespace-mini"):
            return cls("onespace-mini")
        short = Path(source).resolve().name if Path(source).exists() else source
        return cls(f"{short or source} + {Path(weights).name}" if weights else short, source, weights or None)


def installed() -> list[Candidate]:
    """The shipped model, and what of the registry lies in the hub's cache on this machine; nothing is fetched."""
    found = [Candidate("onespace-mini")]
    if find_spec("torch") is None or find_spec("huggingface_hub") is None:
        return found
    return [
        *found,
        *(Candidate(card.name, card.name) for card in CARDS if card.loadable and card.repo and _cached(card)),
    ]


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same with labels that differ: a second "mini" becomes "mini (2)".

    >>> [c.label for c in distinct([Candidate("a"), Candidate("b"), Candidate("a")])]
    ['a', 'b', 'a (2)']
    """
    seen: dict[str, int] = {}
    named = []
    for candidate in candidates:
        seen[candidate.label] = times = seen.get(candidate.label, 0) + 1
        named.append(candidate if times == 1 else replace(candidate, label=f"{candidate.label} ({times})"))
    return named


def _cached(card: ModelCard) -> bool:
    """Whether the hub's cache holds the weights, and the text model's configuration where that lies elsewhere."""
    from huggingface_hub.constants import HF_HUB_CACHE

    def holds(repo: str, *endings: str) -> bool:
        folder = Path(HF_HUB_CACHE, f"models--{repo.replace('/', '--')}", "snapshots")
        return any(any(folder.glob(f"*/{ending}")) for ending in endings)

    weights = (card.file,) if card.file else WEIGHTS
    return holds(card.repo, *weights) and holds(card.text_repo or card.repo, "config.json")
