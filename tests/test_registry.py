"""The list of published models."""

from __future__ import annotations

from pathlib import Path

import pytest

from onespace import registry
from onespace.families import FAMILIES
from onespace.registry import CARDS, find, of_files


def test_names_are_unique_also_without_their_owner() -> None:
    assert len({card.name.rpartition("/")[2].lower() for card in CARDS}) == len(CARDS)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_card_is_whole(card: registry.ModelCard) -> None:
    assert card.licence
    assert card.languages
    assert card.dim > 0
    assert card.max_tokens > 0
    assert card.loadable != bool(card.why_not)
    assert (card.family in FAMILIES) == card.loadable
    assert not card.file or card.text_repo
    assert "dense" in card.heads


def test_cards_are_found_by_full_and_short_name() -> None:
    card = find("BAAI/bge-m3")
    assert card is find("BGE-M3") is not None
    assert find("someone/bge-m3") is None
    assert find("bge") is None


def test_files_may_claim_a_card_only_with_its_family_and_width() -> None:
    assert of_files("bge-m3", family="bge_m3", dim=1024) is find("bge-m3")
    assert of_files("bge-m3", family="bge_m3", dim=96) is None
    assert of_files("bge-m3", family="visualized_bge", dim=1024) is None
    assert of_files("Visualized_m3.pth", family="visualized_bge", dim=1024) is find("bge-visualized-m3")


def test_levels() -> None:
    card = find("bge-m3")
    assert card is not None
    assert card.level("text", "sparse") == "trained"
    assert card.level("image", "dense") == "unsupported"


def test_nothing_is_imported_for_it() -> None:
    source = Path(registry.__file__).read_text("utf-8")
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert imports == [
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        "from onespace.types import Head, Level, Modality",
    ]
