"""SigLIP (Zhai et al. 2023) and the fixed-resolution models of SigLIP 2 (Tschannen et al. 2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onespace.errors import ModelError
from onespace.families.dual_layout import (
    LAYER_NAMES,
    UNUSED,
    Names,
    dual_spec,
    image_spec,
    pixel_spec,
    text_spec,
    unpack,
)
from onespace.families.source import Plan, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from onespace.encoder import Encoder
    from onespace.prepare.tokens import Tokenizer

LAYOUT = "config.json with model_type siglip"

TEXT_DEFAULTS: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 64,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
VISION_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
"""What a config.json leaves out, since it is transformers' default."""

PIXELS: dict[str, Any] = {
    "do_center_crop": False,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": (0.5, 0.5, 0.5),
    "image_std": (0.5, 0.5, 0.5),
}
"""Transformers' defaults of a ``SiglipImageProcessor``."""

CLEANING: dict[str, tuple[dict[str, Any], ...]] = {
    "SiglipTokenizer": (
        {"type": "Lowercase"},
        {"type": "Replace", "pattern": {"Regex": r"[!-/:-@\[-`{-~]"}, "content": ""},
        {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ),
    "GemmaTokenizer": ({"type": "Lowercase"},),
    "Siglip2Tokenizer": ({"type": "Lowercase"},),
}
"""What comes before the file's own normaliser, by the ``tokenizer_class`` that the folder names."""

NAMES: Names = (
    ("text_model.embeddings.token_embedding.", "text.words."),
    ("text_model.embeddings.position_embedding.", "text.positions."),
    ("text_model.final_layer_norm.", "text.norm."),
    ("text_model.head.", "text_project."),
    ("text_model.", "text."),
    ("vision_model.embeddings.patch_embedding.", "image.patches.stem."),
    ("vision_model.embeddings.position_embedding.weight", "image.patches.positions"),
    ("vision_model.encoder.", "image.patches.encoder."),
    ("vision_model.post_layernorm.", "image.patches.norm."),
    ("vision_model.head.attention.out_proj.", "image.pool.attention.out."),
    ("vision_model.head.layernorm.", "image.pool.norm."),
    ("vision_model.head.", "image.pool."),
)
POSITIONS = "vision_model.embeddings.position_embedding.weight"


def matches(source: Source) -> bool:
    """See `LAYOUT`; NaFlex (siglip2) is recognised in order to be refused by name."""
    return source.model_type in ("siglip", "siglip2")


def plan(source: Source) -> Plan:
    """A folder of transformers' ``SiglipModel``.

    Raises:
        ModelError: it is a NaFlex model, or one without the pooling head.
    """
    from onespace.dual import DualModel

    config = source.config
    if source.model_type == "siglip2":
        raise ModelError(
            f"{source.name}: a NaFlex model of SigLIP 2, which takes pictures of any shape; that isn't supported. "
            "Take the same model at a fixed resolution, such as google/siglip2-base-patch16-256."
        )
    vision = VISION_DEFAULTS | config.get("vision_config", {})
    if vision.get("vision_use_head") is False:
        raise ModelError(f"{source.name}: without the pooling head (vision_use_head) there is no vector of a picture.")
    text = TEXT_DEFAULTS | config.get("text_config", {})
    image = image_spec(vision, "siglip")
    width = text.get("projection_size") or text["hidden_size"]
    if width != image.width:
        raise ModelError(
            f"{source.name}: texts give {width} numbers and pictures {image.width}; they can't be compared."
        )
    tokens = tokenizer(source)
    spec = dual_spec(
        source,
        family="siglip",
        text=text_spec(text, "siglip", pad=tokens.pad),
        image=image,
        pixels=pixel_spec(
            PIXELS | {"size": {"height": image.size, "width": image.size}} | source.json("preprocessor_config.json"),
            image.size,
        ),
        width=width,
    )
    return Plan(
        spec=spec,
        module=DualModel,
        tokenizer=tokens,
        tensors=with_row(unpack(source.tensors)),
        rename=(*NAMES, *LAYER_NAMES),
        ignore=UNUSED,
    )


def with_row(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The patch positions (P, D) as (1, P, D), which is how `onespace.towers.vit` holds them."""
    return {name: t[None] if name == POSITIONS else t for name, t in tensors.items()}


def tokenizer(source: Source) -> Tokenizer:
    """The folder's tokenizer with the rules that SigLIP trained with and that its tokenizer.json may lack.

    SigLIP lower-cases and drops punctuation, SigLIP 2 (which has Gemma's vocabulary) lower-cases; doing it twice does
    no harm. Both close a text with the end token and open it with none.

    Raises:
        ModelError: the vocabulary has no end token.
    """
    from onespace.prepare.tokens import Tokenizer
    from onespace.prepare.vocabularies import read_folder

    document, special = read_folder(source.folder)
    kind = str(source.json("tokenizer_config.json").get("tokenizer_class", "")).removesuffix("Fast")
    own = document.get("normalizer")
    steps = [*CLEANING.get(kind, ()), *([own] if own else ())]
    document = {**document, "normalizer": {"type": "Sequence", "normalizers": steps}}
    if kind in CLEANING:
        document["post_processor"] = closed(document, special.get("eos_token", ""), where=str(source.folder))
    return Tokenizer(document, special=special)


def closed(document: Mapping[str, Any], end: str, *, where: str) -> dict[str, Any]:
    """The post-processor of a tokenizer.json that puts the end token behind a text and nothing before it."""
    ids = [token["id"] for token in document["added_tokens"] if token["content"] == end]
    if not ids:
        raise ModelError(
            f"{where}: the tokenizer has no eos_token {end!r} among its added tokens. Get its files again."
        )
    text, closing = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [text, closing],
        "pair": [text, closing, {"Sequence": {"id": "B", "type_id": 0}}, closing],
        "special_tokens": {end: {"id": end, "ids": ids, "tokens": [end]}},
    }


def tiny() -> Encoder:
    """A small one with random weights."""
    from onespace.families.tiny_dual import tiny_dual

    return tiny_dual("siglip", text="siglip", image="siglip")
