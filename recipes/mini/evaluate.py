"""Retrieval on the kept-out drawing style while training: 1,000 concepts, their names in a dozen languages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from onespace.model import FusedModel
from recipes.mini.augment import to_tensor
from recipes.mini.batches import tokenise
from recipes.mini.data import read_rows

LOCALES = ("en", "zh", "es", "hi", "ar", "sw", "ja", "ru", "fr", "vi", "gl", "sk", "kn")


def evaluate(model: FusedModel, tokenizer: Tokenizer, data: Path, log: Path, step: int, *, size: int = 1000) -> None:
    """Appends one row: R@1 and R@10 of text to image in the kept-out style, per locale and head."""
    rows = [r for r in read_rows(data / "images.jsonl") if r["style"] == "twemoji"]
    names: dict[str, dict[str, str]] = {}
    for row in read_rows(data / "texts.jsonl"):
        if row["kind"] == "name" and row["locale"] in LOCALES:
            names.setdefault(row["concept"], {})[row["locale"]] = row["text"]
    rows = [r for r in rows if {"en", "zh"} <= set(names.get(r["concept"], {}))]
    rows = [rows[i] for i in np.random.default_rng(7).permutation(len(rows))[:size]]
    images = np.load(data / "images.npy", mmap_mode="r")
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        pictures = [_pixels(images[[r["row"] for r in rows[i : i + 100]]]) for i in range(0, len(rows), 100)]
        empty = tokenise(tokenizer, [""])
        outs = [model(empty.ids.expand(len(p), -1), empty.mask.expand(len(p), -1), p[:, None]) for p in pictures]
        dense = torch.cat([o["dense"] for o in outs])
        report: dict[str, float] = {"step": step}
        for locale in LOCALES:
            known = [i for i, r in enumerate(rows) if locale in names[r["concept"]]]
            texts = tokenise(tokenizer, [names[rows[i]["concept"]][locale] for i in known])
            scores = model(texts.ids, texts.mask)["dense"] @ dense.T  # (texts, pictures)
            rank = (scores > scores[torch.arange(len(known)), known][:, None]).sum(1)
            report |= {f"{locale}@{k}": float((rank < k).float().mean()) for k in (1, 10)}
    with log.open("a") as file:
        file.write(json.dumps({k: round(v, 4) for k, v in report.items()}) + "\n")


def _pixels(drawings: np.ndarray) -> Tensor:
    """RGBA uint8 (N, S, S, 4) over white, normalised: (N, 3, S, S)."""
    white = Image.new("RGBA", drawings.shape[1:3], "white")
    return to_tensor([Image.alpha_composite(white, Image.fromarray(d)).convert("RGB") for d in drawings])
