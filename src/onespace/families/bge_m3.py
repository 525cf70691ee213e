"""BGE-M3 (Chen et al. 2024): XLM-RoBERTa with a dense, a sparse and a multi-vector head.

The heads stand in two small files beside the text tower. When one is missing, its head is left out and that is said;
it is never filled with random numbers.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from onespace import registry
from onespace.families import bert_layout
from onespace.families import tiny as tiny_parts
from onespace.families.source import Plan, Source
from onespace.spec import HeadSpec, Spec, TextSpec

if TYPE_CHECKING:
    from torch import Tensor

    from onespace.encoder import Encoder

LAYOUT = "config.json with model_type xlm-roberta, and sparse_linear.pt and colbert_linear.pt beside the weights"

HEAD_FILES = {"sparse_linear.pt": "token_weights.linear.", "colbert_linear.pt": "multi.linear."}
"""The files of the heads, and where their ``weight`` and ``bias`` belong in the model."""

UNWEIGHED = (0, 1, 2, 3)
"""``<s>``, ``<pad>``, ``</s>``, ``<unk>``: they get no sparse weight; ``<mask>`` does, as in the original."""

log = logging.getLogger(__name__)


def matches(source: Source) -> bool:
    """Whether a head of BGE-M3 stands beside an XLM-RoBERTa."""
    return source.model_type == "xlm-roberta" and source.has(*HEAD_FILES)


def plan(source: Source) -> Plan:
    """See `onespace.families.source`."""
    from onespace.model import FusedModel
    from onespace.prepare.tokens import Tokenizer

    text = bert_layout.text_spec(source)
    heads = read_heads(source.folder)
    missing = [name for name, place in HEAD_FILES.items() if f"{place}weight" not in heads]
    if missing:
        log.warning("%s: %s missing, so the model has no such head.", source.name, " and ".join(missing))
    card = registry.of_files(source.name, family="bge_m3", dim=text.width)
    spec = Spec(
        name=card.name if card else source.name,
        family="bge_m3",
        text=text,
        image=None,
        pixels=None,
        heads=head_spec(text, heads),
        max_tokens=bert_layout.longest(text),
        languages=card.languages if card else "unknown",
        licence=card.licence if card else "unknown",
        trained=("text/dense", *(f"text/{h}" for h in head_names(heads))),
    )
    return Plan(
        spec=spec,
        module=FusedModel,
        tokenizer=Tokenizer.from_folder(source.folder),
        tensors={**bert_layout.bare(source.tensors), **heads},
        rename=bert_layout.NAMES,
        ignore=bert_layout.UNUSED,
    )


def read_heads(folder: Path) -> dict[str, Tensor]:
    """The sparse and the multi-vector head of a BGE-M3 folder, under the names of `onespace.model.FusedModel`."""
    from onespace.checkpoint import read

    found: dict[str, Tensor] = {}
    for name, place in HEAD_FILES.items():
        if (folder / name).is_file():
            found |= {place + part: tensor for part, tensor in read(folder / name).items()}
    return found


def head_names(heads: dict[str, Tensor]) -> tuple[str, ...]:
    """``sparse`` and ``multi``, as far as their weights are there."""
    places = {"sparse": "token_weights.linear.weight", "multi": "multi.linear.weight"}
    return tuple(head for head, name in places.items() if name in heads)


def head_spec(text: TextSpec, heads: dict[str, Tensor]) -> HeadSpec:
    """The three heads, or those of them that are there."""
    names = head_names(heads)
    return HeadSpec(
        dense=text.width,
        sparse="tokens" if "sparse" in names else "none",
        sparse_skip=UNWEIGHED if "sparse" in names else (),
        multi=len(heads["multi.linear.weight"]) if "multi" in names else 0,
    )


def tiny() -> Encoder:
    """Random weights: 32 wide, 2 layers, 64 tokens."""
    from onespace.model import FusedModel

    tokenizer = tiny_parts.xlmr_tokenizer()
    spec = Spec(
        name="tiny-bge-m3",
        family="bge_m3",
        text=tiny_parts.text_spec(tokenizer, "pad-aware"),
        image=None,
        pixels=None,
        heads=HeadSpec(dense=32, sparse="tokens", sparse_skip=UNWEIGHED, multi=16),
        max_tokens=64,
        trained=("text/dense", "text/sparse", "text/multi"),
    )
    return tiny_parts.encoder(spec, FusedModel, tokenizer)
