"""Pictures and pairs through Visualized-M3, against the reference one at a time; and large JPEGs as drafts.

    VISUAL_BGE=FlagEmbedding/research/visual_bge python -m benchmarks pictures [--full]

VISUAL_BGE names the folder in which the reference's package ``visual_bge`` lies (its own requirements must be
installed). Without it, the peer is our own model given one item at a time, and the rows say so.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import onespace
from benchmarks.row import Row, cosines, interleave, pair
from benchmarks.workload import BGE_M3, FOLDER, lengths, picture, pictures, text_model, texts
from onespace.encoder import Encoder
from onespace.prepare.images import open_image
from onespace.prepare.pixels import to_pixels
from onespace.spec import HeadSpec, ImageSpec, PixelSpec, Spec, TextSpec
from onespace.types import Item, Pair

KINDS = ("float32", "bfloat16", "int8")


def rows(quick: bool) -> list[Row]:
    return [*m3(quick), *drafts(quick)]


def m3(quick: bool) -> list[Row]:
    """Pictures, and pairs with short texts."""
    layers, count = (1, 8) if quick else (24, 40)
    reference = os.environ.get("VISUAL_BGE")
    if reference:
        peer, weights = visual_bge(Path(reference), layers)
        models = [
            onespace.load(text_model(BGE_M3, layers=layers), weights=weights, device="cpu", dtype=k) for k in KINDS
        ]
        who = "the reference, one at a time"
    else:
        models = [random_model(layers, kind) for kind in KINDS]
        who, peer = "ours, one at a time", lambda items: np.concatenate([models[0].encode(i).dense for i in items])
    seen = pictures(count)
    described = texts(lengths(count, longest=60))
    out = []
    for kind, items in (
        ("pictures", list(seen)),
        ("pairs", [Pair(t, p) for t, p in zip(described, seen, strict=True)]),
    ):
        runs = [lambda model=m, items=items: model.encode(items, on_loss="ignore") for m in models]
        *ours, theirs = interleave([*runs, lambda items=items: peer(items)], times=3, warm=quick)  # type: ignore[misc]
        wanted = peer(items[:8])
        for name, model, taken in zip(KINDS, models, ours, strict=True):
            cosine = cosines(model.encode(items[:8], on_loss="ignore"), wanted).min()
            note = f"cosine {cosine:.6f}; {layers} layers"
            out.append(pair(f"Visualized-M3 {name}, {count} {kind}: {who}", taken, theirs, note=note))
    return out


def drafts(quick: bool) -> list[Row]:
    """A JPEG of 12 megapixels to the model's pixels: whole, and as a draft; and what that does to vectors."""
    random = np.random.default_rng(0)
    large = [picture((4000, 3000), "JPEG", random) for _ in range(2 if quick else 8)]
    spec = PixelSpec(size=224, fit="crop", order="resize-first", alpha="drop", exif=False)

    def prepare(draft: int) -> None:
        for data in large:
            to_pixels(open_image(data, where="picture", pixels=spec, draft=draft).picture, spec)

    ours, theirs = interleave([lambda: prepare(2 * spec.size), lambda: prepare(0)], times=3)
    model = onespace.load()
    whole, draft = (m.encode(large, on_loss="ignore") for m in (model, model.with_draft()))
    note = f"opt-in (with_draft); cosine {cosines(draft, whole).min():.5f} with the shipped model"
    return [pair("JPEG of 12 megapixels to 224 x 224, draft: decoded whole", ours, theirs, note=note)]


def random_model(layers: int, kind: str) -> Encoder:
    """Visualized-M3's sizes with random weights."""
    import torch

    from onespace.engines.torch_engine import TorchEngine
    from onespace.families.source import torch_dtype
    from onespace.model import FusedModel
    from onespace.prepare.tokens import Tokenizer

    text = TextSpec(
        vocab=BGE_M3.vocab,
        width=BGE_M3.width,
        layers=layers,
        heads=BGE_M3.heads,
        hidden=4 * BGE_M3.width,
        max_positions=BGE_M3.positions,
        position_rule="pad-aware",
        pad=1,
        eps=1e-5,
    )
    image = ImageSpec(tower="eva02", size=224, patch=14, width=1024, layers=layers, heads=16, hidden=2730)
    spec = Spec(
        name="visualized-m3",
        family="visualized_bge",
        text=text,
        image=image,
        pixels=PixelSpec(size=224, fit="crop", order="resize-first", alpha="drop", exif=False),
        heads=HeadSpec(dense=BGE_M3.width),
        max_tokens=8192,
        trained=("text/dense", "image/dense", "pair/dense"),
    )
    torch.manual_seed(0)
    engine = TorchEngine(FusedModel(spec), device="cpu", dtype=torch_dtype(kind))
    return Encoder(spec, Tokenizer.from_folder(text_model(BGE_M3, layers=layers)), engine)


def visual_bge(folder: Path, layers: int) -> tuple[Callable[[Sequence[Item]], np.ndarray], Path]:
    """The reference with random weights, and the file of these weights."""
    import torch

    sys.path.insert(0, str(folder))
    from visual_bge.eva_clip import factory
    from visual_bge.modeling import Visualized_BGE

    class Reference(Visualized_BGE):  # type: ignore[misc]
        def load_model(self, _: object) -> None:
            """Keeps its random weights."""

    factory._MODEL_CONFIGS["EVA02-CLIP-L-14"]["vision_cfg"]["layers"] = layers
    torch.manual_seed(0)
    model = Reference(str(text_model(BGE_M3, layers=layers)), model_weight="random").eval()
    weights = FOLDER / f"Visualized_m3-{layers}.pth"
    torch.save(model.state_dict(), weights)

    def encode(items: Sequence[Item]) -> np.ndarray:
        vectors = []
        with torch.no_grad():
            for item in items:
                text, image = (item.text, item.image) if isinstance(item, Pair) else (None, item)
                assert isinstance(image, bytes)
                vectors.append(model.encode(image=io.BytesIO(image), text=text))
        return np.asarray(torch.cat(vectors))

    return encode, weights
