"""Text embedders of BERT's or XLM-RoBERTa's shape that give one vector: bge-*, e5, gte, MiniLM and their like.

The folder is that of transformers, or of sentence-transformers, whose ``modules.json`` names the steps after the
text tower.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from onespace import registry
from onespace.errors import ModelError
from onespace.families import bert_layout
from onespace.families import tiny as tiny_parts
from onespace.families.source import Plan, Source, read_json
from onespace.spec import HeadSpec, Spec, TextSpec

if TYPE_CHECKING:
    from onespace.encoder import Encoder

Pooling = Literal["cls", "mean", "last"]

LAYOUT = "config.json with model_type bert, roberta or xlm-roberta; or sentence-transformers' modules.json"

STEPS = ("Transformer", "Pooling", "Normalize")
"""The classes that ``modules.json`` may name."""

POOLINGS: dict[str, Pooling] = {
    "cls": "cls",
    "mean": "mean",
    "lasttoken": "last",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}
"""Values of ``pooling_mode`` in 1_Pooling/config.json, and the switches that older releases write in its place."""

M3_POSITIONS = 8194

log = logging.getLogger(__name__)


def matches(source: Source) -> bool:
    """See `LAYOUT`."""
    return source.has("modules.json") or source.model_type in bert_layout.POSITION_RULES


def plan(source: Source) -> Plan:
    """See `onespace.families.source`."""
    from onespace.model import FusedModel
    from onespace.prepare.tokens import Tokenizer

    steps = read_steps(source)
    tower = replace(source, folder=source.folder / steps.get("Transformer", ""))
    text = bert_layout.text_spec(tower)
    refuse_classifiers(tower)
    card = registry.of_files(source.name, family="bge", dim=text.width)
    pooling = read_pooling(source, steps)
    if text.max_positions == M3_POSITIONS and pooling == "cls":
        log.warning(
            "%s: dense only; were this BGE-M3, sparse_linear.pt and colbert_linear.pt would be missing.",
            source.name,
        )
    query, document = read_prompts(source, card)
    spec = Spec(
        name=card.name if card else source.name,
        family="bge",
        text=text,
        image=None,
        pixels=None,
        heads=HeadSpec(dense=text.width, pooling=pooling),
        max_tokens=read_max_tokens(tower, text),
        languages=card.languages if card else "unknown",
        licence=card.licence if card else "unknown",
        trained=("text/dense",),
        query_prefix=query,
        document_prefix=document,
    )
    return Plan(
        spec=spec,
        module=FusedModel,
        tokenizer=Tokenizer.from_folder(tower.folder),
        tensors=bert_layout.bare(tower.tensors),
        rename=bert_layout.NAMES,
        ignore=bert_layout.UNUSED,
    )


def read_steps(source: Source) -> dict[str, str]:
    """Class and folder of each step in ``modules.json``; empty without that file.

    Raises:
        ModelError: a step that we don't have, such as Dense; it is named.
    """
    if not source.has("modules.json"):
        return {}
    path = source.folder / "modules.json"
    try:
        steps = {str(step["type"]).rpartition(".")[2]: str(step["path"]) for step in read_json(path)}
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a list of steps ({error!r}). Get the file again.") from error
    odd = [name for name in steps if name not in STEPS]
    if odd:
        raise ModelError(f"{path}: the step {odd[0]} isn't supported, only {', '.join(STEPS)}. Use another model.")
    return steps


def refuse_classifiers(source: Source) -> None:
    """Raises `ModelError` for a reranker or another classifier, whose text tower alone would mean nothing."""
    classifiers = [a for a in source.config.get("architectures") or () if "Classification" in str(a)]
    if classifiers:
        raise ModelError(f"{source.name}: a {classifiers[0]} (a reranker?) gives scores, no vectors. Take another.")


def read_pooling(source: Source, steps: dict[str, str]) -> Pooling:
    """How one vector is made of many, as 1_Pooling/config.json says; CLS, with a warning, where nothing says it.

    Raises:
        ModelError: a pooling that we don't have; it is named.
    """
    name = f"{steps.get('Pooling', '1_Pooling')}/config.json"
    config = source.json(name)
    if not config:
        log.warning("%s: no %s says how to pool the tokens; the first token (CLS) is taken.", source.name, name)
        return "cls"
    switched = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    modes = [config["pooling_mode"]] if "pooling_mode" in config else switched
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ModelError(f"{source.folder / name}: pooling by {modes} isn't supported, only cls, mean or lasttoken.")
    return POOLINGS[modes[0]]


def read_max_tokens(source: Source, text: TextSpec) -> int:
    """The longest text that the model is meant for, and never more than it has positions."""
    said: Any = source.json("sentence_bert_config.json").get("max_seq_length")
    said = said or source.json("tokenizer_config.json").get("model_max_length")
    return min(said, bert_layout.longest(text)) if isinstance(said, int) and said > 0 else bert_layout.longest(text)


def read_prompts(source: Source, card: registry.ModelCard | None) -> tuple[str, str]:
    """What is put before a query and before a document: from the folder, or else from the registry."""
    config = source.json("config_sentence_transformers.json")
    prompts = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name"), "")
    query = prompts.get("query", default)
    document = prompts.get("document", prompts.get("passage", default))
    if card is not None and not (query or document):
        return card.query_prefix, card.document_prefix
    return query, document


def tiny() -> Encoder:
    """Random weights: 32 wide, 2 layers, 64 tokens, pooled by the mean."""
    from onespace.model import FusedModel

    tokenizer = tiny_parts.bert_tokenizer()
    spec = Spec(
        name="tiny-bge",
        family="bge",
        text=tiny_parts.text_spec(tokenizer, "absolute"),
        image=None,
        pixels=None,
        heads=HeadSpec(dense=32, pooling="mean"),
        max_tokens=64,
        trained=("text/dense",),
        query_prefix="query: ",
        document_prefix="passage: ",
    )
    return tiny_parts.encoder(spec, FusedModel, tokenizer)
