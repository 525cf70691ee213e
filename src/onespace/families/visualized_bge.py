"""Visualized-BGE (VISTA, Zhou et al. 2024): an EVA02 image tower whose patches join the text of BGE-base or BGE-M3.

The official files are one ``.pth`` with all weights, and apart from it the config and tokenizer of the text model.
Which text model it is, is read from that config; the sizes of the image tower are read from the weights' shapes.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from fnmatch import fnmatchcase
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from onespace import registry
from onespace.errors import CheckpointError, ModelError
from onespace.families import bert_layout, bge_m3
from onespace.families import tiny as tiny_parts
from onespace.families.source import Plan, Source
from onespace.spec import HeadSpec, ImageSpec, PixelSpec, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from onespace.encoder import Encoder

LAYOUT = "a .pth with model_visual.* and bge_encoder.*, and the text model's config.json and tokenizer"

NAMES = (
    *bert_layout.NAMES,
    ("bge_text.", "text."),
    ("visual_proj.", "project."),
    ("model_visual.visual.", "image."),
    ("image.cls_token", "image.cls"),
    ("image.pos_embed", "image.positions"),
    ("image.patch_embed.proj.", "image.patches."),
    (".norm1.", ".attention_norm."),
    (".norm2.", ".norm."),
    (".attn.", ".attention."),
    (".q_bias", ".query.bias"),
    (".v_bias", ".value.bias"),
    (".q_proj.", ".query."),
    (".k_proj.", ".key."),
    (".v_proj.", ".value."),
    (".inner_attn_ln.", ".inner_norm."),
    (".attention.proj.", ".attention.out."),
    (".mlp.w1.", ".mlp.gate."),
    (".mlp.w2.", ".mlp.up."),
    (".mlp.ffn_ln.", ".mlp.norm."),
    (".mlp.w3.", ".mlp.down."),
)
UNUSED = {
    **bert_layout.UNUSED,
    "model_visual.visual*.rope.freqs_*": "rotary tables, computed here",
    "model_visual.visual.norm.*": "the final norm: tokens are read before it",
    "model_visual.visual.head.*": "CLIP's projection of CLS",
    "model_visual.logit_scale": "the temperature of CLIP's loss",
}
EVA02_HEAD_WIDTH = 64
"""Of every published EVA02 tower; stored rotary tables say it too, and are believed first."""

Rotary = Literal["float32", "float16", "bfloat16"]

log = logging.getLogger(__name__)


def matches(source: Source) -> bool:
    """Whether the weights hold an image tower beside a BGE text tower."""
    kinds = ("*.pth", "*.safetensors") if source.model_type in bert_layout.POSITION_RULES else ("*.pth",)
    if source.weights is None and not any(any(source.folder.glob(kind)) for kind in kinds):
        return False
    return "visual_proj.weight" in source.tensors


def plan(source: Source) -> Plan:
    """See `onespace.families.source`."""
    from onespace.model import FusedModel
    from onespace.prepare.tokens import Tokenizer

    source = with_text_folder(source)
    text = bert_layout.text_spec(source)
    image = image_spec(source.tensors, where=str(source.file))
    card = registry.of_files(source.file.name, family="visualized_bge", dim=text.width)
    spec = Spec(
        name=card.name if card else source.file.stem,
        family="visualized_bge",
        text=text,
        image=image,
        pixels=PixelSpec(size=image.size, fit="crop", order="resize-first", alpha="drop", exif=False),
        heads=HeadSpec(dense=text.width),
        max_tokens=bert_layout.longest(text),
        languages=card.languages if card else "unknown",
        licence=card.licence if card else "unknown",
        trained=("text/dense", "image/dense", "pair/dense"),
    )
    made = Plan(
        spec=spec,
        module=FusedModel,
        tokenizer=Tokenizer.from_folder(source.folder),
        tensors=source.tensors,
        rename=NAMES,
        ignore=UNUSED,
    )
    return made if source.heads_from is None else graft(made, source.heads_from)


def with_text_folder(source: Source) -> Source:
    """The same source with the folder of its text model: the one given, or the only one that lies inside it.

    Raises:
        ModelError: there is none, or more than one.
    """
    if source.config:
        return source
    inside = [p.parent for p in sorted(source.folder.glob("*/config.json"))]
    if len(inside) != 1:
        raise ModelError(
            f"{source.file}: these are the weights alone; the text model's config.json and tokenizer are needed too "
            f"({len(inside)} such folders in {source.folder}). Load the folder of BGE-M3 or bge-base-en-v1.5, with "
            f"weights= naming this file."
        )
    return replace(source, folder=inside[0], weights=source.file)


def graft(plan: Plan, folder: Path) -> Plan:
    """Puts the sparse and the multi-vector head of a BGE-M3 folder on a Visualized-M3.

    They were trained on the text tower of that folder. Text is as good as there when the two towers are equal, which
    is checked number by number; what pictures make of these heads, nobody has trained.

    Raises:
        ModelError: the folder has no such heads, or another text tower.
    """
    donor = Source(folder.name, folder)
    heads = bge_m3.read_heads(folder)
    if len(bge_m3.head_names(heads)) < len(bge_m3.HEAD_FILES):
        raise ModelError(f"heads_from {folder}: {' and '.join(bge_m3.HEAD_FILES)} are needed. Name a BGE-M3 folder.")
    apart = distance(_text_tower(plan.tensors), _text_tower(bert_layout.bare(donor.tensors)), where=str(folder))
    assert plan.spec.text is not None
    text = "are equal" if apart == 0 else f"differ by up to {apart:.3g}"
    note = f"sparse and multi-vector head from {donor.name}; the text towers {text}; for pictures they are a graft"
    log.log(logging.INFO if apart == 0 else logging.WARNING, "%s: %s.", plan.spec.name, note)
    on_text, on_pictures = ("text/sparse", "text/multi"), ("image/multi", "pair/sparse", "pair/multi")
    spec = replace(
        plan.spec,
        heads=bge_m3.head_spec(plan.spec.text, heads),
        trained=plan.spec.trained + (on_text if apart == 0 else ()),
        grafted=on_pictures + (() if apart == 0 else on_text),
        notes=note,
    )
    return replace(plan, spec=spec, tensors={**plan.tensors, **heads})


def distance(ours: dict[str, Tensor], theirs: dict[str, Tensor], *, where: str) -> float:
    """The largest difference between two sets of tensors of the same names and shapes; 0 when they are equal.

    Where one file stores fewer bits than the other, both are compared at the coarser precision.

    Raises:
        ModelError: names or shapes differ.
    """
    odd = [n for n in sorted({*ours, *theirs}) if n not in ours or n not in theirs or ours[n].shape != theirs[n].shape]
    if odd:
        raise ModelError(f"{where}: its text tower has another shape ({odd[0]} and {len(odd) - 1} more).")
    couples = (_same_precision(ours[n], theirs[n]) for n in ours)
    return max((float((a.float() - b.float()).abs().max()) for a, b in couples if not a.equal(b)), default=0.0)


def _same_precision(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    coarser = a.dtype if a.dtype.itemsize <= b.dtype.itemsize else b.dtype
    return a.to(coarser), b.to(coarser)


def _text_tower(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    from onespace.checkpoint import renamed

    used = {n: t for n, t in tensors.items() if not any(fnmatchcase(n, pattern) for pattern in UNUSED)}
    return {new: t for n, t in used.items() if (new := renamed(n, NAMES)).startswith("text.")}


def image_spec(tensors: Mapping[str, Tensor], *, where: str) -> ImageSpec:
    """The sizes of the image tower, from the shapes of its weights.

    Raises:
        CheckpointError: the tower isn't there, or isn't an EVA02 on a square grid.
    """
    visual = "model_visual.visual."
    shapes = {k.removeprefix(visual): tuple(t.shape) for k, t in tensors.items() if k.startswith(visual)}
    try:
        width, _, patch, _ = shapes["patch_embed.proj.weight"]
        patches = shapes["pos_embed"][1] - 1
        hidden = shapes["blocks.0.mlp.w1.weight"][0]
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"{where}: the image tower isn't an EVA02 ({error!r}). Is the file whole?") from error
    table = tensors.get(f"{visual}rope.freqs_cos")
    head_width = EVA02_HEAD_WIDTH if table is None else table.shape[-1]
    if isqrt(patches) ** 2 != patches or width % head_width:
        raise CheckpointError(f"{where}: {patches} patches of width {width} don't make a square EVA02 tower.")
    return ImageSpec(
        tower="eva02",
        size=isqrt(patches) * patch,
        patch=patch,
        width=width,
        layers=len({k.split(".")[1] for k in shapes if k.startswith("blocks.")}),
        heads=width // head_width,
        hidden=hidden,
        rotary="float32" if table is None else rounding(table),
    )


def rounding(table: Tensor) -> Rotary:
    """What a stored rotary table was rounded to: the reference reads the tables from the file, with what they lost."""
    name = str(table.dtype).removeprefix("torch.")
    return cast(Rotary, name) if name in ("float16", "bfloat16") else "float32"


def tiny() -> Encoder:
    """Random weights: 32 wide, 2 layers, pictures of 28 pixels, 64 tokens."""
    from onespace.model import FusedModel

    tokenizer = tiny_parts.bert_tokenizer()
    image = ImageSpec(tower="eva02", size=28, patch=14, width=32, layers=2, heads=2, hidden=85)
    spec = Spec(
        name="tiny-visualized-bge",
        family="visualized_bge",
        text=tiny_parts.text_spec(tokenizer, "absolute"),
        image=image,
        pixels=PixelSpec(size=28, fit="crop", order="resize-first", alpha="drop", exif=False),
        heads=HeadSpec(dense=32),
        max_tokens=64,
        trained=("text/dense", "image/dense", "pair/dense"),
    )
    return tiny_parts.encoder(spec, FusedModel, tokenizer)
