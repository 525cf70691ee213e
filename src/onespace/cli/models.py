"""``onespace models``: what can be loaded, and what each model may claim."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from onespace.cli.options import Subparsers, command
from onespace.cli.output import emit_json, print_table
from onespace.registry import CARDS, ModelCard, find
from onespace.types import HEADS, MODALITIES, Modality

EXAMPLES = """
onespace models
onespace models bge-visualized-m3
onespace models --json
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(
        subparsers, "models", "list the models that can be loaded, and what each was trained for", EXAMPLES
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="one model's card in full")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the table, or one card."""
    if args.name is None:
        _table(args.json)
    else:
        _card(args.name, args.json)
    return 0


def _table(as_json: bool) -> None:
    if as_json:
        emit_json([_values(card) for card in CARDS])
        return
    rows = [
        (
            card.name,
            *(_levels(card, modality) for modality in MODALITIES),
            str(card.dim),
            str(card.max_tokens),
            f"{card.parameters}M" if card.parameters else "?",
            card.licence,
        )
        for card in CARDS
        if card.loadable
    ]
    print_table(("model", *MODALITIES, "width", "tokens", "size", "licence"), rows)
    print("\nD dense, S sparse, M multi-vector. In small letters: grafted; it runs, but no training has shaped it.")
    print("`onespace models NAME` shows one card in full.")
    others = [card.name for card in CARDS if not card.loadable]
    if others:
        print(f"Known, but not loadable (the card says why): {', '.join(others)}.")


def _levels(card: ModelCard, modality: Modality) -> str:
    """The heads that a kind of item has, one letter each."""
    levels = {head[0]: card.level(modality, head) for head in HEADS}
    there = (h.upper() if level == "trained" else h for h, level in levels.items() if level != "unsupported")
    return "".join(there) or "-"


def _card(name: str, as_json: bool) -> None:
    from onespace.errors import ModelError

    card = find(name)
    if card is None:
        raise ModelError(f"no model is called {name!r}. `onespace models` lists the names.")
    if as_json:
        emit_json(_values(card))
        return
    print(card.name)
    facts = {
        "not loadable": "" if card.loadable else card.why_not,
        "family": card.family,
        "licence": card.licence,
        "languages": card.languages,
        "longest text": f"{card.max_tokens} tokens",
        "width": str(card.dim),
        "parameters": f"{card.parameters} million" if card.parameters else "unknown",
        "notes": card.notes,
    }
    for label, value in facts.items():
        if value:
            print(f"  {label:13} {value}")
    print()
    print_table(("", *HEADS), [(m, *(card.level(m, h) for h in HEADS)) for m in MODALITIES])


def _values(card: ModelCard) -> dict[str, Any]:
    levels = {m: {h: card.level(m, h) for h in HEADS} for m in MODALITIES}
    return dataclasses.asdict(card) | {"levels": levels}
