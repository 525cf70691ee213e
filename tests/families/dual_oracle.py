"""Tiny models of transformers as oracles for the dual encoders: made, saved and asked here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from onespace import Encoder
from onespace.families.tiny_dual import VOCAB, byte_tokenizer

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": VOCAB,
}
VISION = {**{k: v for k, v in TEXT.items() if k != "vocab_size"}, "image_size": 24, "patch_size": 8}
TEXTS = ["a whale", "", "Ein Wal, 一条龙", "long " * 60]


def model(config: Any, kind: Any) -> Any:
    """A model of transformers whose every parameter is random, so that a forgotten bias or norm shows."""
    made = kind(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * (0.3 if p.ndim < 2 else p.shape[-1] ** -0.5))
    return made


def save(made: Any, folder: Path, *, opened: bool = True) -> Path:
    """The folder that `onespace.load` reads, with one token a byte."""
    made.save_pretrained(folder)
    byte_tokenizer(opened=opened).save(folder)
    return folder


def pictures() -> list[Image.Image]:
    """Sizes on both sides of the tower's, odd borders, and the awkward colour modes."""
    random = np.random.default_rng(2)

    def noise(height: int, width: int, *channels: int) -> np.ndarray:
        return random.integers(0, 256, (height, width, *channels), dtype=np.uint8)

    colour = Image.fromarray(noise(31, 50, 3))
    return [
        colour,
        Image.fromarray(noise(24, 27, 3)),
        Image.fromarray(noise(61, 23, 3)),
        Image.fromarray(noise(24, 24, 3)),
        Image.fromarray(noise(9, 12, 3)),
        Image.fromarray(noise(40, 29)),
        Image.fromarray(noise(33, 41, 4)),
        colour.quantize(16),
        colour.convert("1"),
    ]


def text_features(made: Any, encoder: Encoder, texts: list[str], *, length: int, padded: bool = False) -> np.ndarray:
    """Unit rows from transformers for the ids that our tokenizer gives, one text at a time."""
    rows = []
    for text in texts:
        ids = torch.tensor([encoder.tokenizer.encode(text, length).ids])
        if padded:
            ids = torch.nn.functional.pad(ids, (0, length - ids.shape[1]), value=encoder.tokenizer.pad)
        with torch.no_grad():
            rows.append(made.get_text_features(input_ids=ids))
    return _unit(rows)


def image_features(made: Any, processor: Any, images: list[Image.Image]) -> np.ndarray:
    """Unit rows from transformers for what its own processor makes of the pictures."""
    with torch.no_grad():
        return _unit([made.get_image_features(**processor(images=[i], return_tensors="pt")) for i in images])


def _unit(rows: list[Any]) -> np.ndarray:
    found = torch.cat([getattr(row, "pooler_output", row) for row in rows])
    return torch.nn.functional.normalize(found, dim=-1).numpy()
