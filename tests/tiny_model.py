"""A whole tiny model with random weights and a vocabulary made here: no file, no network."""

from __future__ import annotations

import json
from functools import lru_cache

from onespace.encoder import Encoder
from onespace.prepare.tokens import Tokenizer
from onespace.spec import HeadSpec, ImageSpec, PixelSpec, Spec, TextSpec
from onespace.types import HEADS, MODALITIES

TEXTS = (
    "a whale swims in the sea",
    "the red dragon flies over the snow mountain",
    "house by the lake",
    "",
    "sea sea sea whale",
    "one very long sentence about dragons, whales, houses, lakes and the red snow of the mountain by the sea",
)


@lru_cache(maxsize=1)
def tiny_tokenizer() -> Tokenizer:
    """A Unigram vocabulary of the words and letters of `TEXTS`, words being likelier."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, normalizers, pre_tokenizers, processors

    words = sorted({f"▁{word}" for text in TEXTS for word in text.replace(",", "").split()})
    letters = ["▁", *sorted(set("".join(TEXTS)) - {" "})]
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    scores = [(piece, 0.0) for piece in special] + [(w, -2.0) for w in words] + [(c, -5.0) for c in letters]
    backend = Backend(models.Unigram(scores, unk_id=3))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(special)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    return Tokenizer(json.loads(backend.to_str()), special=names)


def tiny_spec(**changes: object) -> Spec:
    vocab = tiny_tokenizer().vocab_size
    values: dict[str, object] = {
        "name": "tiny",
        "family": "mini",
        "text": TextSpec(vocab=vocab, width=32, layers=2, heads=2, hidden=48, max_positions=64, pad=1),
        "image": ImageSpec(tower="vit", size=32, patch=8, width=24, layers=2, heads=2, hidden=40, stem="conv"),
        "pixels": PixelSpec(size=32),
        "heads": HeadSpec(dense=32, sparse="tokens+terms", sparse_skip=(0, 1, 2, 3), multi=16),
        "max_tokens": 40,
        "trained": tuple(f"{m}/{h}" for m in MODALITIES for h in HEADS),
    }
    return Spec(**{**values, **changes})  # type: ignore[arg-type]


def tiny_fused(spec: Spec) -> Encoder:
    import torch

    from onespace.engines.torch_engine import TorchEngine
    from onespace.model import FusedModel

    torch.manual_seed(0)
    model = FusedModel(spec)
    with torch.no_grad():  # far from zero, so that an order or a mask that is wrong shows
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
        if hasattr(model, "patch_terms"):
            model.patch_terms.bias.zero_()
    return Encoder(spec, tiny_tokenizer(), TorchEngine(model, device="cpu"))
