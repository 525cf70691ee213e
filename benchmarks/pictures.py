"""Pictures and pairs through Visualized-M3, against the reference one at a time; and large JPEGs as drafts.

    VISUAL_BGE=FlagEmbedding/research/visual_bge python -m benchmarks pictures [--full]

VISUAL_BGE names the folder in which the reference's package ``visual_bge`` lies; it needs timm, einops and ftfy, and
torchvision, for whose transforms `benchmarks.transforms` stands in where it is missing. Without the reference the peer
is our own model given one item at a time, and the rows say so.

The items are shared out: each round takes other ones, every library in turn, so that all are read once by each.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import onespace
from benchmarks import transforms
from benchmarks.machine import EMULATED, KINDS, kinds
from benchmarks.row import Row, cosines, interleave, left_out, pair, share_out
from benchmarks.workload import BGE_M3, FOLDER, lengths, picture, pictures, text_model, texts
from onespace.encoder import Encoder
from onespace.prepare.images import open_image
from onespace.prepare.pixels import to_pixels
from onespace.spec import HeadSpec, ImageSpec, PixelSpec, Spec, TextSpec
from onespace.types import Item, Pair

EVA = "EVA02-CLIP-L-14"
COMPARED = 4
"""Items whose vectors are compared."""

Run = Callable[[Sequence[Item]], np.ndarray]


class Peer(NamedTuple):
    """What ours is measured against, and the models to measure."""

    name: str
    run: Run
    ours: dict[str, Encoder]
    note: str = ""


def rows(quick: bool) -> list[Row]:
    return [*m3(quick), *drafts(quick)]


def m3(quick: bool) -> list[Row]:
    """Pictures, and pairs with short texts."""
    layers, count, pairs, rounds = (1, 6, 4, 2) if quick else (2, 200, 60, 5)
    reference = os.environ.get("VISUAL_BGE")
    peer = against_reference(Path(reference), layers) if reference else against_ours(layers)
    seen = pictures(count)
    described = texts(lengths(pairs, longest=60))
    both: list[Item] = [Pair(t, p) for t, p in zip(described, seen, strict=False)]
    return [
        *compared(peer, "pictures", list(seen), rounds, f"{layers} layers"),
        *compared(peer, "pairs", both, rounds, f"{layers} layers"),
    ]


def compared(peer: Peer, kind: str, items: list[Item], rounds: int, note: str) -> list[Row]:
    """A row for each kind of numbers."""
    runs: list[Callable[[Sequence[Item]], object]] = [
        partial(model.encode, on_loss="ignore") for model in peer.ours.values()
    ]
    for run in [*runs, peer.run]:
        run(items[:1])
    works = [items[k::rounds] for k in range(rounds)]
    *ours, theirs = share_out([*runs, peer.run], works)
    seconds = dict(zip(peer.ours, ours, strict=True))
    wanted = peer.run(items[:COMPARED])
    out = []
    for name in KINDS:
        told = f"Visualized-M3 {name}, {len(items)} {kind}: {peer.name}"
        if name not in seconds:
            out.append(left_out(told, EMULATED))
            continue
        cosine = cosines(peer.ours[name].encode(items[:COMPARED], on_loss="ignore"), wanted).min()
        out.append(pair(told, seconds[name], theirs, note=f"cosine {cosine:.6f}; {note}{peer.note}"))
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


def against_ours(layers: int) -> Peer:
    """Our own model, one item at a time."""
    models = {kind: random_model(layers, kind) for kind in kinds()}

    def one_by_one(items: Sequence[Item]) -> np.ndarray:
        return np.concatenate([models["float32"].encode(item, on_loss="ignore").dense for item in items])

    return Peer("ours, one at a time", one_by_one, models)


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


def against_reference(folder: Path, layers: int) -> Peer:
    """The reference with random weights, and ours with the same."""
    import torch

    Visualized_BGE, configurations = import_reference(folder)

    class Reference(Visualized_BGE):  # type: ignore[misc, valid-type]
        def load_model(self, _: object) -> None:
            """Keeps its random weights."""

    configurations[EVA]["vision_cfg"]["layers"] = layers
    torch.manual_seed(0)
    texts_from = text_model(BGE_M3, layers=layers)
    model = Reference(str(texts_from), model_weight="random").eval()
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

    ours = {kind: onespace.load(texts_from, weights=weights, device="cpu", dtype=kind) for kind in kinds()}
    note = "" if transforms.installed() else "; a stand-in for torchvision makes the reference's pixels"
    return Peer("the reference, one at a time", encode, ours, note)


def import_reference(folder: Path) -> tuple[type, dict[str, dict[str, dict[str, object]]]]:
    """The reference's class, and its table of image towers."""
    import transformers

    _ = transformers.AutoModel  # looks for the real torchvision, before there is a stand-in
    sys.path.insert(0, str(folder))
    with transforms.stand_in():
        from visual_bge.eva_clip import factory
        from visual_bge.modeling import Visualized_BGE
    return Visualized_BGE, factory._MODEL_CONFIGS
