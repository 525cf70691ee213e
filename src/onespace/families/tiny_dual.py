"""Small dual encoders with random weights, for the contract tests of their families."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from onespace.families import tiny
from onespace.spec import HeadSpec, ImageSpec, PixelSpec, Spec, TextSpec

if TYPE_CHECKING:
    from onespace.encoder import Encoder
    from onespace.prepare.tokens import Tokenizer

VOCAB = 259
"""256 bytes and three special tokens."""


def tiny_dual(
    family: str,
    *,
    text: Literal["bert", "clip", "siglip"],
    image: Literal["clip", "siglip", "eva02"],
    pair: bool = False,
) -> Encoder:
    """Towers of 2 layers, 32 wide, for 40 tokens and pictures of 24 pixels, into 32 dimensions; always the same."""
    from onespace.dual import DualModel

    spec = Spec(
        name=f"tiny-{family}",
        family=family,
        text=TextSpec(tower=text, vocab=VOCAB, width=32, layers=2, heads=2, hidden=64, max_positions=40),
        image=ImageSpec(tower=image, size=24, patch=8, width=32, layers=2, heads=2, hidden=64),
        pixels=PixelSpec(size=24, fit="squash" if image == "siglip" else "crop"),
        heads=HeadSpec(dense=32),
        max_tokens=40,
        fused=False,
        trained=("text/dense", "image/dense", *(["pair/dense"] if pair else [])),
    )
    return tiny.encoder(spec, DualModel, byte_tokenizer(opened=text != "siglip"))


def byte_tokenizer(*, opened: bool = True) -> Tokenizer:
    """One token a byte; ``<pad>`` is 0, ``<start>`` 1 (left out of texts that aren't opened), ``<end>`` the highest.

    >>> byte_tokenizer().encode("hé").ids
    [1, 73, 129, 104, 258]
    """
    from tokenizers.pre_tokenizers import ByteLevel

    from onespace.prepare.tokens import Tokenizer

    pieces = ["<pad>", "<start>", *sorted(ByteLevel.alphabet()), "<end>"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    special = ["<start>"] if opened else []
    template: list[dict[str, Any]] = [{"SpecialToken": {"id": name, "type_id": 0}} for name in (*special, "<end>")]
    template.insert(len(special), {"Sequence": {"id": "A", "type_id": 0}})
    rules = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    document = {
        "version": "1.0",
        "added_tokens": [{"id": ids[name], "content": name} | rules for name in ("<pad>", "<start>", "<end>")],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template,
            "pair": [*template, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {n: {"id": n, "ids": [ids[n]], "tokens": [n]} for n in (*special, "<end>")},
        },
        "decoder": None,
        "model": {"type": "BPE", "fuse_unk": False, "byte_fallback": False, "vocab": ids, "merges": []},
    }
    return Tokenizer(document, special={"pad_token": "<pad>"})
