"""Retrieval on the kept-out drawing style while training: the card's first table, for a dozen languages."""

from __future__ import annotations

import json
from pathlib import Path

from onespace.encoder import Encoder
from onespace.engines.torch_engine import TorchEngine
from onespace.model import FusedModel
from onespace.prepare.tokens import Tokenizer
from recipes.mini.measure import Test, both_ways

LOCALES = ("en", "zh", "es", "hi", "ar", "sw", "ja", "ru", "fr", "vi", "gl", "sk", "kn")


def evaluate(model: FusedModel, tokenizer: Tokenizer, test: Test, log: Path, step: int) -> None:
    """Appends one row: R@1 and R@10 of text to image, per locale. The model is left in eval mode."""
    encoder = Encoder(model.spec, tokenizer, TorchEngine(model, device="cpu"))
    pictures = encoder.encode(test.pictures, heads="dense")
    report: dict[str, float] = {"step": step}
    for locale in LOCALES:
        names = test.names[locale]
        found = both_ways(encoder.encode(list(names.values()), heads="dense"), pictures, list(names))
        report |= {f"{locale}@{k}": found[f"R@{k}"] for k in (1, 10)}
    with log.open("a") as file:
        file.write(json.dumps({k: round(v, 4) for k, v in report.items()}) + "\n")
