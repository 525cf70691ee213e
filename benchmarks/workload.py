"""What the speed benchmarks run on: models of true size with random weights, texts and pictures of mixed sizes.

Speed doesn't depend on weights. The folders are in the published layout, so that every library reads the same files;
the tokenizer is the shipped model's, whose special tokens have XLM-R's ids.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

ASSETS = Path(__file__).parents[1] / "src" / "onespace" / "assets" / "mini"
FOLDER = Path(__file__).parents[1] / "build" / "benchmarks"


@dataclass(frozen=True)
class Size:
    """A text tower of BERT's shape, as ``config.json`` has it."""

    kind: str
    vocab: int
    width: int
    layers: int
    heads: int
    positions: int

    @property
    def token_bytes(self) -> float:
        """Of float32 numbers that a padded token needs at once, at the widest place: the MLP's (4 D, before and after
        its activation) beside half a dozen rows of D; an estimate."""
        return 4.0 * (2 * 4 + 6) * self.width

    @property
    def flops(self) -> float:
        """Of the matrix products with weights, for each token (a multiply-add counts as two)."""
        return 2.0 * 12 * self.width**2 * self.layers

    def attention(self, lengths: np.ndarray) -> float:
        """Operations of attention itself, over texts of these lengths."""
        return float(4 * self.width * self.layers * (lengths.astype(float) ** 2).sum())


BGE_M3 = Size("xlm-roberta", 250_002, 1024, 24, 16, 8194)
BGE_BASE = Size("bert", 30_522, 768, 12, 12, 512)


def text_model(size: Size, *, layers: int | None = None) -> Path:
    """A folder as BGE-M3 or bge-base is published, with random weights; made once."""
    import torch
    from transformers import AutoConfig, AutoModel

    layers = layers or size.layers
    name = "bge-m3" if size.kind == "xlm-roberta" else "bge-base-en-v1.5"
    folder = FOLDER / f"{name}-{layers}"
    if (folder / "model.safetensors").is_file():
        return folder
    config = AutoConfig.for_model(
        size.kind,
        vocab_size=size.vocab,
        hidden_size=size.width,
        num_hidden_layers=layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.width,
        max_position_embeddings=size.positions,
        type_vocab_size=1 if size.kind == "xlm-roberta" else 2,
        layer_norm_eps=1e-5 if size.kind == "xlm-roberta" else 1e-12,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    if size.kind == "xlm-roberta":
        for name, out in (("sparse_linear.pt", 1), ("colbert_linear.pt", size.width)):
            torch.save(torch.nn.Linear(size.width, out).state_dict(), folder / name)
    tokenizer = json.loads((ASSETS / "tokenizer.json").read_text("utf-8"))
    if size.kind == "bert":  # its table is shorter than the vocabulary
        tokenizer["model"]["vocab"] = tokenizer["model"]["vocab"][: size.vocab]
        tokenizer["added_tokens"] = tokenizer["added_tokens"][:-1]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    names |= {"pad_token": "<pad>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": size.positions - 2, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    return folder


def lengths(count: int, *, seed: int = 0, longest: int = 512) -> np.ndarray:
    """Log-normal, from 5 to ``longest`` tokens, in no order."""
    drawn = np.random.default_rng(seed).lognormal(np.log(70), 1.0, count)
    return np.asarray(drawn.astype(int).clip(5, longest))


def mixed(count: int, *, long: int = 2000, seed: int = 0) -> np.ndarray:
    """As `lengths`, but two in a hundred (at least one) have about ``long`` tokens, up to a tenth more or less."""
    random = np.random.default_rng(seed + 1)
    out = lengths(count, seed=seed)
    places = random.choice(count, max(1, count // 50), replace=False)
    out[places] = random.integers(int(0.9 * long), int(1.1 * long), len(places))
    return out


def texts(wanted: np.ndarray, *, seed: int = 0) -> list[str]:
    """Texts of so many tokens each, special ones included: whole words of the vocabulary, a token each."""
    vocabulary = json.loads((ASSETS / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    words = [piece[1:] for piece, _ in vocabulary[4:30_000] if piece[0] == "▁" and piece[1:].isascii()]
    words = [word for word in words if word.isalpha() and len(word) > 2]
    random = np.random.default_rng(seed)
    return [" ".join(words[i] for i in random.integers(0, len(words), n - 2)) for n in wanted]


def pictures(count: int, *, seed: int = 0) -> list[bytes]:
    """Encoded pictures of mixed sizes (0.1 to 12 megapixels) and formats, as blurred noise.

    They are twelve, one of each size and format, over and over: nothing that reads them keeps anything of a picture.
    """
    random = np.random.default_rng(seed)
    sizes = [(320, 240), (800, 600), (1024, 768), (1600, 1200), (3000, 2000), (4000, 3000)]
    formats = ["JPEG", "PNG", "WEBP", "JPEG"]
    made = [picture(sizes[i % len(sizes)], formats[i % len(formats)], random) for i in range(min(count, 12))]
    return [made[i % len(made)] for i in range(count)]


def picture(size: tuple[int, int], kind: str, random: np.random.Generator) -> bytes:
    """One encoded picture with detail at several scales, so that it takes the room of a photograph."""
    out = np.zeros((size[1], size[0], 3), np.float32)
    for step in (8, 40, 200):
        coarse = random.integers(0, 256, (max(2, size[1] // step), max(2, size[0] // step), 3), dtype=np.uint8)
        out += np.asarray(PILImage.fromarray(coarse).resize(size, PILImage.Resampling.BICUBIC), np.float32) / 3
    buffer = io.BytesIO()
    PILImage.fromarray(out.clip(0, 255).astype(np.uint8)).save(buffer, kind, quality=90)
    return buffer.getvalue()
