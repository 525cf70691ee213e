"""Texts of mixed lengths through BGE-M3 and bge-base, against sentence-transformers, FlagEmbedding and onnxruntime.

    python -m benchmarks text [--full]

Everything runs in one process, in turn, with the same number of threads and the same files. ``cosine`` is the least
cosine of our dense rows with those of sentence-transformers; TRAINED may name a folder of a small trained model (BERT
or XLM-R), where reduced precision is judged on trained weights too.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import onespace
from benchmarks.machine import multiply_rate
from benchmarks.row import Row, cosines, interleave, pair
from benchmarks.workload import BGE_BASE, BGE_M3, lengths, text_model, texts
from onespace.batches import Job, stack

BATCH = 32


def rows(quick: bool) -> list[Row]:
    return [*m3(quick), *heads(quick), *long(quick), *base(quick), *trained()]


def m3(quick: bool) -> list[Row]:
    """The three types of ours against three ways to run the peers."""
    layers, count = (2, 120) if quick else (24, 400)
    folder = text_model(BGE_M3, layers=layers)
    sizes = lengths(count)
    items = texts(sizes)
    names = ("float32", "bfloat16", "int8")
    models = [onespace.load(folder, device="cpu", dtype=name) for name in names]
    peers = {"sentence-transformers": transformers(folder)} | flag(folder)
    wanted = peers["sentence-transformers"](items)
    ours: list[Callable[[], Any]] = [lambda model=m: model.encode(items, heads="dense") for m in models]  # type: ignore[misc]
    theirs: list[Callable[[], Any]] = [lambda run=run: run(items) for run in peers.values()]  # type: ignore[misc]
    seconds = interleave([*ours, *theirs], times=2 if quick else 3, warm=quick)
    tower = replace(BGE_M3, layers=layers)
    flops = tower.flops * sizes.sum() + tower.attention(sizes)
    out = []
    for name, model, taken in zip(names, models, seconds, strict=False):
        cosine = cosines(model.encode(items, heads="dense"), wanted).min()
        for peer, other in zip(peers, seconds[len(names) :], strict=True):
            out.append(
                pair(
                    f"BGE-M3 {name}, {count} texts: {peer}", taken, other, note=f"cosine {cosine:.6f}; {layers} layers"
                )
            )
    rate = flops / np.median(seconds[0]) / multiply_rate("float32")
    out.append(Row("BGE-M3 float32: share of the measured GEMM rate", 100 * rate, unit="%", note="useful tokens only"))
    return out


def heads(quick: bool) -> list[Row]:
    """Three heads against dense alone."""
    layers, count = (4, 32) if quick else (24, 100)
    model = onespace.load(text_model(BGE_M3, layers=layers), device="cpu")
    items = texts(lengths(count))
    three, dense = interleave(
        [lambda: model.encode(items), lambda: model.encode(items, heads="dense")], times=3 if quick else 5
    )
    note = f"ratio {np.median(np.array(three) / np.array(dense)):.3f} of the time; {layers} layers"
    return [pair("BGE-M3: three heads: dense alone", three, dense, note=note)]


def long(quick: bool) -> list[Row]:
    """Some texts of 2,000 tokens and one of 8,192, which sentence-transformers is given one at a time."""
    layers, sizes = (1, [2000, 1500]) if quick else (24, [2000, 2000, 1800, 1500, 1200, 8192])
    folder = text_model(BGE_M3, layers=layers)
    model, peer = onespace.load(folder, device="cpu"), transformers(folder, batch=1, longest=8192)
    items = texts(np.array(sizes))
    ours, theirs = interleave([lambda: model.encode(items, heads="dense"), lambda: peer(items)], times=3, warm=quick)
    return [
        pair("BGE-M3 float32, long texts: sentence-transformers, one at a time", ours, theirs, note=f"{layers} layers")
    ]


def base(quick: bool) -> list[Row]:
    """bge-base through torch, and through onnxruntime against batches as they come, which is how fastembed runs it."""
    from onespace.export import export_onnx

    layers, count = (2, 64) if quick else (12, 400)
    folder = text_model(BGE_BASE, layers=layers)
    items = texts(lengths(count))
    model, peer = onespace.load(folder, device="cpu"), transformers(folder)
    ours, theirs = interleave([lambda: model.encode(items), lambda: peer(items)], times=3)
    out = [pair(f"bge-base float32, {count} texts: sentence-transformers", ours, theirs, note=f"{layers} layers")]
    with tempfile.TemporaryDirectory() as place:
        export_onnx(model, place)
        exported = onespace.load(Path(place))
        heads = exported.spec.head_names
        jobs = [Job(i, "text", heads, t.ids) for i, t in enumerate(exported.tokenizer.encode_batch(items, 512))]

        def as_they_come() -> None:
            for start in range(0, count, BATCH):
                exported.engine.run(stack(jobs[start : start + BATCH], pad_id=1), heads)

        ours, theirs = interleave([lambda: exported.encode(items), as_they_come], times=3)
    name = f"bge-base ONNX, {count} texts: onnxruntime, batches of {BATCH} as they come"
    return [*out, pair(name, ours, theirs, note=f"{layers} layers; the peer's tokenizer isn't timed")]


def trained() -> list[Row]:
    """What reduced precision does to trained weights: the least and the median cosine with float32."""
    folder = os.environ.get("TRAINED")
    if not folder:
        return []
    items = texts(lengths(200))
    exact = onespace.load(Path(folder), device="cpu").encode(items, on_loss="ignore")
    out = []
    for name in ("bfloat16", "int8"):
        reduced = onespace.load(Path(folder), device="cpu", dtype=name).encode(items, on_loss="ignore")
        alike = cosines(reduced, exact)
        note = f"least of {len(items)} texts; median {np.median(alike):.6f}; {Path(folder).name}"
        out.append(Row(f"{name}: cosine with float32, trained weights", float(alike.min()), unit="cosine", note=note))
    return out


def transformers(folder: Path, *, batch: int = BATCH, longest: int = 512) -> Callable[[list[str]], np.ndarray]:
    """sentence-transformers with CLS pooling and unit rows: it sorts by length, and pads each batch."""
    from sentence_transformers import SentenceTransformer, models

    tower = models.Transformer(str(folder), max_seq_length=longest)
    pooling = models.Pooling(tower.auto_model.config.hidden_size, pooling_mode="cls")
    model = SentenceTransformer(modules=[tower, pooling, models.Normalize()], device="cpu")
    return lambda items: np.asarray(model.encode(items, batch_size=batch, show_progress_bar=False))


def flag(folder: Path) -> dict[str, Callable[[list[str]], np.ndarray]]:
    """FlagEmbedding in batches of 32, and with what it does when nothing is said; nothing where it isn't installed."""
    try:
        from FlagEmbedding import BGEM3FlagModel
    except ImportError:
        return {}
    model = BGEM3FlagModel(str(folder), use_fp16=False, devices=["cpu"])
    return {
        f"FlagEmbedding, batch {BATCH}": lambda items: np.asarray(model.encode(items, batch_size=BATCH)["dense_vecs"]),
        "FlagEmbedding as it comes": lambda items: np.asarray(model.encode(items)["dense_vecs"]),
    }
