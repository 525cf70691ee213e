"""Our own layout: ``onespace.json`` (the spec), ``model.safetensors`` and a tokenizer. Any family can be saved so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from onespace.errors import ModelError
from onespace.families import tiny as tiny_parts
from onespace.families.source import Plan, Source
from onespace.spec import HeadSpec, ImageSpec, PixelSpec, Spec

if TYPE_CHECKING:
    from torch import nn

    from onespace.encoder import Encoder

LAYOUT = "onespace.json, model.safetensors and tokenizer.json, as onespace saves them"

WEIGHTS = "model.safetensors"


def matches(source: Source) -> bool:
    """Whether there is an ``onespace.json``."""
    from onespace.exported import SPEC

    return source.has(SPEC)


def plan(source: Source) -> Plan:
    """See `onespace.families.source`."""
    from onespace.exported import SPEC, read_spec
    from onespace.prepare.tokens import Tokenizer

    return Plan(
        spec=read_spec(source.folder / SPEC),
        module=model,
        tokenizer=Tokenizer.from_folder(source.folder),
        tensors=source.tensors,
    )


def model(spec: Spec) -> nn.Module:
    """The module that a spec describes: one sequence for text and pictures, or two towers side by side."""
    if spec.fused:
        from onespace.model import FusedModel

        return FusedModel(spec)
    from onespace.dual import DualModel

    return DualModel(spec)


def save(encoder: Encoder, folder: Path) -> Path:
    """Writes an encoder so that `onespace.load` gives the same one again.

    Raises:
        ModelError: the encoder runs an exported graph, which has no weights to write.
    """
    from onespace.checkpoint import write
    from onespace.engines.torch_engine import TorchEngine
    from onespace.exported import SPEC

    if not isinstance(encoder.engine, TorchEngine):
        raise ModelError(f"{encoder.spec.name}: an exported model can't be saved as weights. Copy its folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write(encoder.engine.module.state_dict(), folder / WEIGHTS)
    encoder.tokenizer.save(folder)
    text = json.dumps(encoder.spec.to_dict(), ensure_ascii=False, indent=2)
    (folder / SPEC).write_text(text + "\n", "utf-8")
    return folder


def tiny() -> Encoder:
    """Random weights: onespace-mini's shape, 32 wide, pictures of 32 pixels, 64 tokens, all three heads."""
    from onespace.model import FusedModel

    tokenizer = tiny_parts.xlmr_tokenizer()
    kinds = ("text", "image", "pair")
    spec = Spec(
        name="tiny-mini",
        family="mini",
        text=tiny_parts.text_spec(tokenizer, "absolute"),
        image=ImageSpec(tower="vit", size=32, patch=16, width=32, layers=2, heads=4, hidden=48),
        pixels=PixelSpec(size=32),
        heads=HeadSpec(dense=32, sparse="tokens+terms", sparse_skip=(0, 1, 2, 3), multi=16),
        max_tokens=64,
        trained=tuple(f"{kind}/{head}" for kind in kinds for head in ("dense", "sparse", "multi")),
    )
    return tiny_parts.encoder(spec, FusedModel, tokenizer)
