"""What the files of dual encoders have in common: sizes in config.json, pixels in preprocessor_config.json, names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from onespace import registry
from onespace.errors import CheckpointError, ModelError
from onespace.spec import HeadSpec, ImageSpec, PixelSpec, Spec, TextSpec
from onespace.types import Fit

if TYPE_CHECKING:
    from torch import Tensor

    from onespace.families.source import Source

Activation = Literal["gelu", "quick_gelu", "gelu_tanh"]
Names = tuple[tuple[str, str], ...]
"""(old, new) parts of names, see `onespace.checkpoint.load_into`."""

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
RESAMPLING: dict[int, Literal["lanczos", "bilinear", "bicubic"]] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}

LAYER_NAMES: Names = (
    (".encoder.layers.", ".blocks."),
    (".layer_norm1.", ".attention_norm."),
    (".layer_norm2.", ".norm."),
    (".self_attn.q_proj.", ".attention.query."),
    (".self_attn.k_proj.", ".attention.key."),
    (".self_attn.v_proj.", ".attention.value."),
    (".self_attn.out_proj.", ".attention.out."),
    (".mlp.fc1.", ".up."),
    (".mlp.fc2.", ".down."),
)
"""Hugging Face's names of a pre-norm block."""

RESBLOCK_NAMES: Names = (
    (".transformer.resblocks.", ".blocks."),
    (".ln_1.", ".attention_norm."),
    (".ln_2.", ".norm."),
    (".attn.out_proj.", ".attention.out."),
    (".attn.", ".attention."),
    (".mlp.c_fc.", ".up."),
    (".mlp.c_proj.", ".down."),
)
"""OpenAI's names of a pre-norm block, once `unpack` has parted the packed projections."""

UNUSED = {
    "logit_scale": "the temperature of the training loss",
    "logit_bias": "the bias of the training loss",
    "*.position_ids": "0, 1, 2, ...: written by older releases only",
}


def names(source: Source) -> Collection[str]:
    """The names in the weight file, or nothing when there is no such file."""
    try:
        _ = source.file
    except CheckpointError:
        return ()
    return source.tensors.keys()


class Whole(dict[str, "Tensor"]):
    """The tensors of one file; a name that isn't there is that file's fault. Raises `CheckpointError`."""

    def __init__(self, tensors: Mapping[str, Tensor], *, where: str) -> None:
        super().__init__(tensors)
        self.where = where

    def __missing__(self, name: str) -> Tensor:
        raise CheckpointError(f"{self.where}: {name} is missing. Is the file whole?")


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parts every packed ``*.in_proj_weight`` (3 D, D) and ``*.in_proj_bias`` (3 D,) into query, key and value.

    >>> import torch
    >>> {name: tuple(t.shape) for name, t in unpack({"attn.in_proj_bias": torch.zeros(6)}).items()}
    {'attn.query.bias': (2,), 'attn.key.bias': (2,), 'attn.value.bias': (2,)}
    """
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        stem, packed, kind = name.rpartition("in_proj_")
        if packed and len(tensor) % 3 == 0:
            out |= zip((f"{stem}{part}.{kind}" for part in ("query", "key", "value")), tensor.chunk(3), strict=True)
        else:
            out[name] = tensor
    return out


def dual_spec(source: Source, *, family: str, text: TextSpec, image: ImageSpec, pixels: PixelSpec, width: int) -> Spec:
    """The spec of a dual encoder for texts and pictures; licence and languages are the card's, if there is one."""
    card = registry.find(source.name)
    return Spec(
        name=source.name,
        family=family,
        text=text,
        image=image,
        pixels=pixels,
        heads=HeadSpec(dense=width),
        max_tokens=text.max_positions,
        fused=False,
        languages=card.languages if card else "unknown",
        licence=card.licence if card else "unknown",
        trained=("text/dense", "image/dense"),
    )


def activation(config: Mapping[str, Any]) -> Activation:
    """Our name of ``hidden_act``. Raises `ModelError` for one that we don't have."""
    name = config["hidden_act"]
    if name not in ACTIVATIONS:
        raise ModelError(f"config.json: the activation {name!r} isn't known. Known: {', '.join(sorted(ACTIVATIONS))}.")
    return ACTIVATIONS[name]


def text_spec(
    config: Mapping[str, Any], tower: Literal["bert", "clip", "siglip"], *, pad: int = 0, eot: int = -1
) -> TextSpec:
    """The text tower that a complete ``text_config`` describes."""
    return TextSpec(
        tower=tower,
        vocab=config["vocab_size"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        max_positions=config["max_position_embeddings"],
        eps=config["layer_norm_eps"],
        activation=activation(config),
        pad=pad,
        eot=eot,
    )


def image_spec(config: Mapping[str, Any], tower: Literal["clip", "siglip"]) -> ImageSpec:
    """The image tower that a complete ``vision_config`` describes. Raises `ModelError` where it isn't square."""
    return ImageSpec(
        tower=tower,
        size=square(config["image_size"], "image_size"),
        patch=square(config["patch_size"], "patch_size"),
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        eps=config["layer_norm_eps"],
        activation=activation(config),
    )


def square(size: Any, key: str) -> int:
    """One number from 224, [224, 224] or {"height": 224, "width": 224}. Raises `ModelError` where they differ.

    >>> square({"height": 224, "width": 224}, "size")
    224
    """
    values = set(size.values() if isinstance(size, dict) else size if isinstance(size, (list, tuple)) else [size])
    if len(values) != 1 or not isinstance(number := values.pop(), int):
        raise ModelError(f"{key}={size!r}: only square pictures and patches are supported.")
    return number


def pixel_spec(config: Mapping[str, Any], size: int) -> PixelSpec:
    """How a complete ``preprocessor_config.json`` wants pictures, for a tower that takes ``size`` pixels a side.

    Transparency is laid over white, as transformers does since version 5.

    Raises:
        ModelError: it asks for steps that we don't take, or for another size.
    """
    where = "preprocessor_config.json"
    off = [k for k in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb") if config.get(k) is False]
    if off:
        raise ModelError(f"{where}: {', '.join(off)} is false; only the usual steps are supported.")
    if config["resample"] not in RESAMPLING or abs(config["rescale_factor"] * 255 - 1) > 1e-6:
        raise ModelError(
            f"{where}: resample={config['resample']}, rescale_factor={config['rescale_factor']} aren't supported."
        )
    resized, fit = _resizing(config["size"])
    cropped = config.get("do_center_crop", fit == "crop")
    final = square(config.get("crop_size", resized), "crop_size") if cropped else resized
    if (fit == "crop" and not cropped) or not resized == final == size:
        raise ModelError(f"{where}: size={config['size']}, crop={final if cropped else None}; the tower takes {size}.")
    return PixelSpec(
        size=size,
        fit=fit,
        resample=RESAMPLING[config["resample"]],
        exif=False,
        centre="floor",
        mean=cast("tuple[float, float, float]", tuple(config["image_mean"])),
        std=cast("tuple[float, float, float]", tuple(config["image_std"])),
    )


def _resizing(size: Any) -> tuple[int, Fit]:
    if isinstance(size, int):
        return size, "crop"
    if isinstance(size, dict) and "shortest_edge" in size:
        return square(size["shortest_edge"], "size"), "crop"
    return square(size, "size"), "squash"
