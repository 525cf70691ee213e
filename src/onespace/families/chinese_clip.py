"""Chinese-CLIP (Yang et al. 2022): CLIP's image tower, and BERT's CLS token in place of its text tower."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onespace.families import bert_layout, dual_layout
from onespace.families.clip import VISION_DEFAULTS, VISION_NAMES, clip_pixels
from onespace.families.dual_layout import LAYER_NAMES, UNUSED, Names, dual_spec, image_spec
from onespace.families.source import Plan, Source
from onespace.spec import TextSpec

if TYPE_CHECKING:
    from onespace.encoder import Encoder

LAYOUT = "config.json with model_type chinese_clip"

TEXT_DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
"""What a config.json leaves out, since it is transformers' default."""

TEXT_NAMES: Names = (("text_model.", ""), ("text_projection.", "text_project."), *bert_layout.NAMES)
IGNORED = {**UNUSED, **bert_layout.UNUSED}


def matches(source: Source) -> bool:
    """See `LAYOUT`."""
    return source.model_type == "chinese_clip"


def plan(source: Source) -> Plan:
    """A folder of transformers' ``ChineseCLIPModel``."""
    from onespace.dual import DualModel
    from onespace.prepare.tokens import Tokenizer

    config = source.config
    image = image_spec(VISION_DEFAULTS | config.get("vision_config", {}), "clip")
    spec = dual_spec(
        source,
        family="chinese_clip",
        text=text_spec(TEXT_DEFAULTS | config.get("text_config", {})),
        image=image,
        pixels=clip_pixels(source, image.size),
        width=config.get("projection_dim", 512),
    )
    return Plan(
        spec=replace(spec, notes="Trained on texts of up to 52 tokens; longer ones run."),
        module=DualModel,
        tokenizer=Tokenizer.from_folder(source.folder),
        tensors=source.tensors,
        rename=(*VISION_NAMES, *TEXT_NAMES, *LAYER_NAMES),
        ignore=IGNORED,
    )


def text_spec(config: dict[str, Any]) -> TextSpec:
    """The BERT that a complete ``text_config`` describes."""
    spec = dual_layout.text_spec(config, "bert", pad=config["pad_token_id"])
    return replace(spec, token_types=config["type_vocab_size"])


def tiny() -> Encoder:
    """A small one with random weights."""
    from onespace.families.tiny_dual import tiny_dual

    return tiny_dual("chinese_clip", text="bert", image="clip")
