"""CLIP (Radford et al. 2021) and BGE-VL, which is CLIP trained to add the vectors of a text and a picture.

Two layouts: the folders of transformers (``CLIPModel``), and OpenAI's own ``ViT-B-32.pt`` beside a folder with the
vocabulary; OpenCLIP writes the latter too.
"""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from typing import TYPE_CHECKING, Any

from onespace import registry
from onespace.errors import ModelError
from onespace.families.dual_layout import (
    LAYER_NAMES,
    RESBLOCK_NAMES,
    UNUSED,
    Activation,
    Names,
    Whole,
    dual_spec,
    image_spec,
    names,
    pixel_spec,
    text_spec,
    unpack,
)
from onespace.families.source import Plan, Source
from onespace.spec import ImageSpec, PixelSpec, TextSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from onespace.encoder import Encoder

LAYOUT = "config.json with model_type clip; or OpenAI's state dict (visual.conv1.weight, ...) beside a vocabulary"

TEXT_DEFAULTS: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}
VISION_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""What a config.json leaves out, since it is transformers' default."""

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

VISION_NAMES: Names = (
    ("vision_model.embeddings.class_embedding", "image.cls"),
    ("vision_model.embeddings.patch_embedding.", "image.stem."),
    ("vision_model.embeddings.position_embedding.weight", "image.positions"),
    ("vision_model.pre_layrnorm.", "image.stem_norm."),
    ("vision_model.post_layernorm.", "image.norm."),
    ("vision_model.", "image."),
    ("visual_projection.", "image_project."),
)
TEXT_NAMES: Names = (
    ("text_model.embeddings.token_embedding.", "text.words."),
    ("text_model.embeddings.position_embedding.", "text.positions."),
    ("text_model.final_layer_norm.", "text.norm."),
    ("text_model.", "text."),
    ("text_projection.", "text_project."),
)
OPENAI_NAMES: Names = (
    ("visual.class_embedding", "image.cls"),
    ("visual.positional_embedding", "image.positions"),
    ("visual.conv1.", "image.stem."),
    ("visual.ln_pre.", "image.stem_norm."),
    ("visual.ln_post.", "image.norm."),
    ("visual.proj", "image_project.weight"),
    ("visual.", "image."),
)
OPENAI_TEXT_NAMES: Names = (
    ("text.token_embedding.", "text.words."),
    ("text.positional_embedding", "text.positions.weight"),
    ("text.ln_final.", "text.norm."),
    ("text.text_projection", "text_project.weight"),
)
OPENAI_TEXT = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection")
"""Names without a prefix, which stand for the text tower."""
OPENAI_UNUSED = {
    **UNUSED,
    "input_resolution": "known from the positions",
    "context_length": "known from the positions",
    "vocab_size": "known from the word table",
}


def matches(source: Source) -> bool:
    """See `LAYOUT`. A weight file apart decides by its names, since the folder may only lend its vocabulary."""
    if source.weights is None and source.model_type:
        return source.model_type == "clip"
    found = names(source)
    return _openai(found) or (source.model_type == "clip" and "vision_model.pre_layrnorm.weight" in found)


def plan(source: Source) -> Plan:
    """Reads either layout."""
    return plan_openai(source) if _openai(names(source)) else plan_hugging_face(source)


def plan_hugging_face(source: Source) -> Plan:
    """A folder of transformers' ``CLIPModel``, or of BGE-VL's ``MMRet_CLIP``."""
    from onespace.dual import DualModel
    from onespace.prepare.tokens import Tokenizer

    config = source.config
    text = TEXT_DEFAULTS | config.get("text_config", {}) | (config.get("text_config_dict") or {})
    vision = VISION_DEFAULTS | config.get("vision_config", {}) | (config.get("vision_config_dict") or {})
    tokenizer = Tokenizer.from_folder(source.folder)
    legacy = text["eos_token_id"] == 2  # configs before transformers 4.31 name a wrong id; the highest id is meant
    image = image_spec(vision, "clip")
    spec = dual_spec(
        source,
        family="clip",
        text=text_spec(text, "clip", pad=tokenizer.pad, eot=-1 if legacy else text["eos_token_id"]),
        image=image,
        pixels=clip_pixels(source, image.size),
        width=config.get("projection_dim", 512),
    )
    if is_bge_vl(source):
        pixels = replace(clip_pixels(source, image.size), alpha="drop")  # its own code converts so
        spec = replace(spec, trained=(*spec.trained, "pair/dense"), pixels=pixels)
    rename = (*VISION_NAMES, *TEXT_NAMES, *LAYER_NAMES)
    return Plan(spec=spec, module=DualModel, tokenizer=tokenizer, tensors=source.tensors, rename=rename, ignore=UNUSED)


def is_bge_vl(source: Source) -> bool:
    """Whether the config names BGE-VL's class, or the registry knows the name as a CLIP that takes pairs."""
    card = registry.find(source.name)
    return "MMRet_CLIP" in source.config.get("architectures", ()) or (card is not None and "pair" in card.modalities)


def clip_pixels(source: Source, size: int) -> PixelSpec:
    """Pictures as ``CLIPImageProcessor`` prepares them, with what preprocessor_config.json changes of it."""
    defaults = {
        "size": {"shortest_edge": size},
        "crop_size": size,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "image_mean": MEAN,
        "image_std": STD,
    }
    return pixel_spec(defaults | source.json("preprocessor_config.json"), size)


def plan_openai(source: Source) -> Plan:
    """OpenAI's or OpenCLIP's state dict; every size is read from the shapes, the head width is 64 in all of them."""
    from onespace.dual import DualModel
    from onespace.prepare.tokens import Tokenizer

    tensors = Whole(prefixed(unpack(source.tensors)), where=str(source.file))
    if "visual.proj" not in tensors:
        raise ModelError(f"{source.file}: a CLIP with a ResNet; only those with a ViT are supported.")
    act = _activation(source)
    stem = tensors["visual.conv1.weight"]
    patch = stem.shape[-1]
    size = isqrt(len(tensors["visual.positional_embedding"]) - 1) * patch
    image = ImageSpec(
        tower="clip",
        size=size,
        patch=patch,
        width=len(stem),
        layers=layers(tensors, "visual.transformer.resblocks."),
        heads=len(stem) // 64,
        hidden=len(tensors["visual.transformer.resblocks.0.mlp.c_fc.bias"]),
        eps=1e-5,
        activation=act,
    )
    tokenizer = Tokenizer.from_folder(source.folder)
    text = openai_text(tensors, act)
    spec = dual_spec(
        source,
        family="clip",
        text=replace(text, pad=tokenizer.pad),
        image=image,
        pixels=openai_pixels(size),
        width=tensors["visual.proj"].shape[1],
    )
    return Plan(
        spec=spec,
        module=DualModel,
        tokenizer=tokenizer,
        tensors=upright(tensors, "visual.proj", "text.text_projection"),
        rename=(*OPENAI_NAMES, *OPENAI_TEXT_NAMES, *RESBLOCK_NAMES),
        ignore=OPENAI_UNUSED,
    )


def openai_text(tensors: Mapping[str, Tensor], act: Activation) -> TextSpec:
    """The sizes of OpenAI's text tower, under the prefix ``text.``."""
    vocab, width = tensors["text.token_embedding.weight"].shape
    return TextSpec(
        tower="clip",
        vocab=vocab,
        width=width,
        layers=layers(tensors, "text.transformer.resblocks."),
        heads=width // 64,
        hidden=len(tensors["text.transformer.resblocks.0.mlp.c_fc.bias"]),
        max_positions=len(tensors["text.positional_embedding"]),
        eps=1e-5,
        activation=act,
    )


def openai_pixels(size: int) -> PixelSpec:
    """Pictures as OpenAI's own code prepares them: resized and cropped first, converted to RGB afterwards."""
    return PixelSpec(
        size=size, fit="crop", order="resize-first", alpha="drop", exif=False, centre="round", mean=MEAN, std=STD
    )


def prefixed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives the text tower's names, which OpenAI leaves bare, the prefix ``text.``."""
    return {f"text.{name}" if name.startswith(OPENAI_TEXT) else name: t for name, t in tensors.items()}


def upright(tensors: Mapping[str, Tensor], *turned: str) -> dict[str, Tensor]:
    """Turns projections that the file holds as (in, out) into (out, in), as a linear layer wants them."""
    return {name: t.T.contiguous() if name in turned else t for name, t in tensors.items()}


def layers(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered blocks stand under a prefix.

    >>> layers({"blocks.0.w": 0, "blocks.1.w": 0, "blocks.1.b": 0}, "blocks.")
    2
    """
    return len({name[len(prefix) :].partition(".")[0] for name in tensors if name.startswith(prefix)})


def tiny() -> Encoder:
    """A small one with random weights; it takes pairs, as BGE-VL does."""
    from onespace.families.tiny_dual import tiny_dual

    return tiny_dual("clip", text="clip", image="clip", pair=True)


def _openai(found: Any) -> bool:
    return "visual.conv1.weight" in found and bool(
        {"token_embedding.weight", "text.token_embedding.weight"} & set(found)
    )


def _activation(source: Source) -> Activation:
    """OpenAI's files use quick_gelu; OpenCLIP's look the same and say in open_clip_config.json which they use."""
    if "input_resolution" in source.tensors:
        return "quick_gelu"
    config = source.json("open_clip_config.json").get("model_cfg")
    if config is None:
        raise ModelError(
            f"{source.file}: can't tell whether it uses gelu or quick_gelu. Put OpenCLIP's open_clip_config.json into "
            f'{source.folder}, or one with {{"model_cfg": {{"quick_gelu": true}}}} for weights of OpenAI.'
        )
    return "quick_gelu" if config.get("quick_gelu") else "gelu"
