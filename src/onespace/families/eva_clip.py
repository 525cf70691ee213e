"""EVA02-CLIP (Sun et al. 2023): the image tower that Visualized-BGE starts from, and OpenAI's text tower with gelu.

The official files are single state dicts (``EVA02_CLIP_B_psz16_s8B.pt``); the vocabulary is OpenAI's, from the folder
of any CLIP.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from onespace.errors import ModelError
from onespace.families import visualized_bge
from onespace.families.clip import OPENAI_TEXT_NAMES, openai_pixels, openai_text, prefixed, upright
from onespace.families.dual_layout import RESBLOCK_NAMES, UNUSED, Names, Whole, dual_spec, names, unpack
from onespace.families.source import Plan, Source

if TYPE_CHECKING:
    from onespace.encoder import Encoder

LAYOUT = "EVA-CLIP's state dict (visual.cls_token, text.token_embedding.weight, ...) beside CLIP's vocabulary"

NAMES: Names = (
    *OPENAI_TEXT_NAMES,
    *RESBLOCK_NAMES,
    ("model_visual.visual.head.", "image_project."),
    *visualized_bge.NAMES,
)
IGNORED = {**UNUSED, "*.rope.freqs_*": "rotary tables, computed here"}


def matches(source: Source) -> bool:
    """See `LAYOUT`."""
    if source.weights is None and source.model_type:
        return False
    found = names(source)
    return "visual.cls_token" in found and "visual.pos_embed" in found


def plan(source: Source) -> Plan:
    """Reads EVA-CLIP's state dict; every size is read from the shapes.

    Raises:
        ModelError: a first-generation or an enormous EVA-CLIP, whose blocks are of another kind.
    """
    from onespace.dual import DualModel
    from onespace.prepare.tokens import Tokenizer

    tensors = Whole(prefixed(unpack(source.tensors)), where=str(source.file))
    if "visual.blocks.0.mlp.w1.weight" not in tensors or "visual.blocks.0.attn.q_proj.weight" not in tensors:
        raise ModelError(
            f"{source.file}: an EVA-CLIP of another kind (EVA01, or EVA02-E). "
            "Supported are EVA02-CLIP B/16, L/14 and L/14-336."
        )
    visual = {name: f"model_visual.{name}" for name in tensors if name.startswith("visual.")}
    tensors = Whole({visual.get(name, name): t for name, t in tensors.items()}, where=tensors.where)
    image = visualized_bge.image_spec(tensors, where=str(source.file))
    tokenizer = Tokenizer.from_folder(source.folder)
    spec = dual_spec(
        source,
        family="eva_clip",
        text=replace(openai_text(tensors, "gelu"), pad=tokenizer.pad),
        image=image,
        pixels=openai_pixels(image.size),
        width=len(tensors["model_visual.visual.head.weight"]),
    )
    return Plan(
        spec=spec,
        module=DualModel,
        tokenizer=tokenizer,
        tensors=upright(tensors, "text.text_projection"),
        rename=NAMES,
        ignore=IGNORED,
    )


def tiny() -> Encoder:
    """A small one with random weights."""
    from onespace.families.tiny_dual import tiny_dual

    return tiny_dual("eva_clip", text="clip", image="eva02")
