"""Who made a store's vectors, and whether the model at hand would make the same.

A passport holds what the model is, piece by piece, and the vectors of 16 fixed items, the canaries. The pieces tell
another model, another preprocessing or another prompt apart; the canaries tell whether the same files still give the
same numbers, under another runtime, on another machine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.engines.onnx_engine import WEIGHTS, OnnxEngine
from onespace.errors import PassportError
from onespace.store.blobs import Precision
from onespace.types import HEADS, Head, Item, Pair

TOLERANCE = 0.01
"""Largest distance at which two unit vectors of a canary still pass; rounding in float32 stays below 0.0001."""
TEXTS = (
    "a whale swims in the sea",
    "red",
    "一条龙飞过雪山",
    "Ein Haus am See, davor ein Fahrrad.",
    "كتاب مفتوح على الطاولة",
    "la fusée part à 10:45 → 99 %",
    "दो बिल्लियाँ",
    "README v2.0: see docs/guide.md",
)
SIZES = ((40, 40), (64, 24), (24, 56), (224, 160))
"""Height and width of the drawn canaries: square, wide, tall, and larger."""
UNTOLD = ("notes", "licence", "languages", "trained", "grafted", "truncatable")
"""Parts of a spec that don't change a vector."""


@dataclass(frozen=True)
class Passport:
    """What made the vectors: plain values, compared one by one."""

    model: str
    heads: tuple[Head, ...]
    runtime: str
    """``onnx`` or ``torch``; the digests of weights are compared within one runtime only."""
    weights: str
    tokenizer: str
    spec: dict[str, Any] = field(default_factory=dict)
    """The spec without its remarks: towers, heads, pixels, prompts."""
    multi: Precision = "float16"

    @classmethod
    def of(cls, encoder: Encoder, heads: tuple[Head, ...], multi: Precision) -> Passport:
        """The passport of a model."""
        runtime, weights = _weights(encoder)
        spec = {k: v for k, v in encoder.spec.to_dict().items() if k not in UNTOLD}
        return cls(encoder.spec.name, heads, runtime, weights, _tokenizer(encoder), json.loads(json.dumps(spec)), multi)

    def to_json(self) -> str:
        """The inverse of `from_json`."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Passport:
        """Reads a passport."""
        values = json.loads(text)
        return cls(**{**values, "heads": tuple(values["heads"])})

    def differences(self, other: Passport) -> list[str]:
        """What of ``other`` isn't as here, in words."""
        told = []
        if other.model != self.model:
            told.append(f"the model is {other.model!r}, not {self.model!r}")
        if other.runtime == self.runtime and other.weights != self.weights:
            told.append(f"the weights have the digest {other.weights[:12]}, not {self.weights[:12]}")
        if other.tokenizer != self.tokenizer:
            told.append("the tokenizer is another")
        mine, theirs = _flat(self.spec), _flat(other.spec)
        # a key that an older version didn't write stands for nothing: margin 0, no prompt
        names = sorted(n for n in mine.keys() | theirs.keys() if (mine.get(n) or None) != (theirs.get(n) or None))
        return told + [f"{n} is {theirs.get(n)!r}, not {mine.get(n)!r}" for n in names if n != "name"]


def canaries(encoder: Encoder) -> list[Item]:
    """16 items: 8 texts, 4 pictures and 4 pairs, less those that the model doesn't take."""
    pictures = [_drawn(height, width, number) for number, (height, width) in enumerate(SIZES)]
    takes = encoder.spec.modalities
    items: list[Item] = list(TEXTS) if "text" in takes else []
    items += pictures if "image" in takes else []
    return items + ([Pair(TEXTS[i], p) for i, p in enumerate(pictures)] if "pair" in takes else [])


def sing(encoder: Encoder, heads: tuple[Head, ...]) -> Embeddings:
    """The vectors of the canaries, made by the model at hand."""
    e = encoder.encode(canaries(encoder), on_loss="ignore")
    dense, sparse, multi = (getattr(e, head) if head in heads else None for head in HEADS)
    return replace(e, dense=dense, sparse=sparse, multi=multi)


def check(made: Passport, own: Passport, kept: Embeddings, encoder: Encoder) -> None:
    """Raises `PassportError` unless the model at hand makes the vectors that the store holds."""
    told = made.differences(own)
    distance = difference(kept, sing(encoder, made.heads), made.heads)
    if not told and distance <= TOLERANCE:
        return
    measured = "they can't be compared" if np.isinf(distance) else f"the largest distance is {distance:.4f}"
    what = "; ".join(told[:4]) or "the model's files are the same, but they give other numbers here"
    remedy = (
        f"Open the store with {made.model!r} as it was, or move it to this one: onespace migrate."
        if told
        else "Go back to the runtime, device and number type that made the store, or encode the items anew."
    )
    raise PassportError(
        f"the store holds vectors that this model doesn't make: {what}. Of the {len(kept)} canary items {measured} "
        f"(allowed: {TOLERANCE}). Nothing was written. {remedy}"
    )


def difference(kept: Embeddings, now: Embeddings, heads: tuple[Head, ...]) -> float:
    """The largest distance between vectors of the same canary, over all heads; infinite when the shapes differ."""
    if len(kept) != len(now):
        return float("inf")
    largest = 0.0
    for head in heads:
        for i in range(len(kept)):
            a, b = _vectors(kept, head, i), _vectors(now, head, i)
            if a.shape != b.shape:
                return float("inf")
            if a.size:
                gaps = np.linalg.norm(a - b, axis=-1) / np.maximum(1.0, np.linalg.norm(a, axis=-1))
                largest = max(largest, float(np.nan_to_num(gaps, nan=np.inf).max()))
    return largest


def _vectors(e: Embeddings, head: Head, i: int) -> np.ndarray:
    if head == "dense" and e.dense is not None:
        return np.asarray(e.dense[i : i + 1])
    if head == "sparse" and e.sparse is not None:
        row = np.zeros((1, e.sparse.shape[1]), np.float32)
        terms, weights = e.sparse.row(i)
        row[0, terms] = weights
        return row
    return np.asarray(e.multi[i]) if e.multi is not None else np.zeros((0, 0), np.float32)


def _drawn(height: int, width: int, number: int) -> np.ndarray:
    """A disc, a bar and a ramp of colours, from whole numbers alone: the same pixels everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.full((height, width, 3), 255, np.uint8)
    picture[..., number % 3] = (x * 255 // (width - 1)).astype(np.uint8)
    disc = (2 * y - height) ** 2 + (2 * x - width) ** 2 < min(height, width) ** 2 // 2
    picture[disc] = ((210, 30, 40), (20, 90, 200), (30, 160, 70), (240, 190, 20))[number]
    picture[(x * 3 // width == number % 3) & (y * 8 // height == 6)] = 0
    return picture


def _weights(encoder: Encoder) -> tuple[str, str]:
    """The kind of runtime, and a digest of the weights it runs."""
    engine = encoder.engine
    if isinstance(engine, OnnxEngine):
        files = [engine.folder / WEIGHTS, *sorted(engine.folder.glob("*.onnx"))]
        return "onnx", _digest_files([file for file in files if file.is_file()])
    module = getattr(engine, "module", None)
    if module is None:
        return type(engine).__name__, ""  # only the canaries tell
    digest = sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy())
    return "torch", digest.hexdigest()


def _digest_files(files: list[Path]) -> str:
    digest = sha256()
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _tokenizer(encoder: Encoder) -> str:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        encoder.tokenizer.save(Path(folder))
        return _digest_files(sorted(Path(folder).iterdir()))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names.

    >>> _flat({"pixels": {"fit": "pad"}})
    {'pixels.fit': 'pad'}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
