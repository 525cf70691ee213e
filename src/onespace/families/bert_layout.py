"""What the files of BERT and XLM-RoBERTa have in common: sizes in config.json, and names in the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onespace.errors import ModelError
from onespace.spec import TextSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from onespace.families.source import Source

NAMES = (
    (".gamma", ".weight"),
    (".beta", ".bias"),
    ("embeddings.word_embeddings.", "text.embed.words."),
    ("embeddings.position_embeddings.", "text.embed.positions."),
    ("embeddings.token_type_embeddings.", "text.embed.types."),
    ("embeddings.LayerNorm.", "text.embed.norm."),
    ("encoder.layer.", "text.blocks."),
    (".attention.self.", ".attention."),
    (".attention.output.dense.", ".attention.out."),
    (".attention.output.LayerNorm.", ".attention_norm."),
    (".intermediate.dense.", ".up."),
    (".output.dense.", ".down."),
    (".output.LayerNorm.", ".norm."),
)
"""From Hugging Face's names, without a prefix, to those of `onespace.model.FusedModel`."""

UNUSED = {
    "*embeddings.position_ids": "0, 1, 2, ...: written by older releases only",
    "*embeddings.token_type_ids": "zeros: written by older releases only",
    "*pooler.dense.*": "the pooler of next-sentence prediction, which no embedding uses",
    "cls.*": "the head that guessed masked words",
    "lm_head.*": "the head that guessed masked words",
}

POSITION_RULES = {"bert": "absolute", "roberta": "pad-aware", "xlm-roberta": "pad-aware", "camembert": "pad-aware"}
"""``model_type`` of the text towers that we have."""


def text_spec(source: Source) -> TextSpec:
    """The text tower that ``config.json`` describes.

    Raises:
        ModelError: another architecture, or a value that our tower doesn't have; both are named.
    """
    config, where = source.config, source.folder / "config.json"
    if not config:
        raise ModelError(f"{where}: the text model's config is missing. Name the folder of the text model.")
    kind = source.model_type
    if kind not in POSITION_RULES:
        raise ModelError(f"{where}: model_type {kind!r} isn't BERT-shaped. Known: {', '.join(POSITION_RULES)}.")
    wanted: dict[str, tuple[Any, ...]] = {
        "hidden_act": ("gelu",),
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
    }
    for key, values in wanted.items():
        if config.get(key, values[0]) not in values:
            raise ModelError(f"{where}: {key} = {config[key]!r} isn't supported, only {values[0]!r}.")
    try:
        return TextSpec(
            vocab=config["vocab_size"],
            width=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            hidden=config["intermediate_size"],
            max_positions=config["max_position_embeddings"],
            position_rule="absolute" if POSITION_RULES[kind] == "absolute" else "pad-aware",
            token_types=config.get("type_vocab_size", 2 if kind == "bert" else 1),
            pad=config.get("pad_token_id", 0 if kind == "bert" else 1),
            eps=config.get("layer_norm_eps", 1e-12),
        )
    except KeyError as error:
        raise ModelError(f"{where}: {error.args[0]} is missing. Get the file again.") from error


def bare(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes off the prefix (``bert.``, ``roberta.``, ...) that some files put before every name of the tower.

    >>> list(bare({"bert.embeddings.word_embeddings.weight": 0, "bert.encoder.x": 0, "cls.x": 0}))
    ['embeddings.word_embeddings.weight', 'encoder.x', 'cls.x']
    """
    mark = "embeddings.word_embeddings.weight"
    prefix = next((name.removesuffix(mark) for name in tensors if name.endswith("." + mark)), "")
    return {name.removeprefix(prefix): t for name, t in tensors.items()}


def longest(text: TextSpec) -> int:
    """Most tokens of a text alone, special ones included: what the position table allows.

    >>> xlmr = TextSpec(vocab=9, width=4, layers=1, heads=1, hidden=4, max_positions=9, position_rule="pad-aware")
    >>> longest(xlmr)
    8
    """
    return text.max_positions - (text.pad + 1 if text.position_rule == "pad-aware" else 0)
