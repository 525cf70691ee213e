"""Texts of mixed lengths through BGE-M3 and bge-base, against sentence-transformers, FlagEmbedding and onnxruntime.

    python -m benchmarks text [--full]

Everything runs in one process, in turn, with the same number of threads and the same files. ``cosine`` is the least
cosine of our dense rows with those of sentence-transformers; TRAINED may name a folder of a small trained model (BERT
or XLM-R), where reduced precision is judged on trained weights too.

A note says how many tokens the peer multiplies for each useful one, padding included (`benchmarks.padding`); ours, on
torch, multiplies none in vain. Ratios hardly depend on the number of layers: what isn't a layer takes some hundredths.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import onespace
from benchmarks.machine import EMULATED, KINDS, kinds, multiply_rate
from benchmarks.onnx_text import onnx_rows
from benchmarks.padding import batch_bytes, free_bytes, padded
from benchmarks.row import Kept, Row, cosines, interleave, left_out, pair
from benchmarks.workload import BGE_BASE, BGE_M3, lengths, mixed, text_model, texts

BATCH, WHOLE = 32, 256
"""Texts of a peer's batch: as most are asked for, and what FlagEmbedding takes when nothing is said."""
ST, FLAG, FLAG_WHOLE = "sentence-transformers", f"FlagEmbedding, batch {BATCH}", "FlagEmbedding as it comes"
LONGEST = 8192

Run = Callable[[list[str]], np.ndarray]


class Peer(NamedTuple):
    """A library at work, and the tokens it multiplies for each useful one; without ``run``, why there is none."""

    name: str
    run: Run | None
    waste: float
    why: str = ""


def rows(quick: bool) -> list[Row]:
    return [*main(quick), *whole(quick), *longest(quick), *heads(quick), *base(quick), *trained()]


def main(quick: bool) -> list[Row]:
    """Texts up to 512 tokens and some long ones: our kinds of numbers against peers in batches of 32."""
    layers, count, long = (1, 64, 700) if quick else (2, 400, 2000)
    folder, sizes = text_model(BGE_M3, layers=layers), mixed(count, long=long)
    items = texts(sizes)
    peers = [sentence_transformers(folder, items, sizes), flag_embedding(folder, sizes)]
    note, times = f"{layers} layers", 2 if quick else 3
    out, timed = compared(f"{count} texts", folder, KINDS, peers, items, note=note, times=times)
    tower = replace(BGE_M3, layers=layers)
    flops = tower.flops * sizes.sum() + tower.attention(sizes)
    rate = flops / np.median(timed) / multiply_rate("float32")
    return [
        *out,
        Row("BGE-M3 float32: share of the measured GEMM rate", 100 * rate, unit="%", note="useful tokens only"),
    ]


def whole(quick: bool) -> list[Row]:
    """FlagEmbedding with nothing said: 256 texts a batch, cut at 512 tokens, so that this list has no longer ones."""
    layers, count = 1, (32 if quick else 200)
    folder, sizes = text_model(BGE_M3, layers=layers), lengths(count)
    note = f"{layers} layer; none of the texts is longer than 512 tokens, at which it cuts"
    peers = [flag_embedding(folder, sizes, whole=True)]
    return compared(f"{count} short texts", folder, KINDS, peers, texts(sizes), note=note, times=2)[0]


def longest(quick: bool) -> list[Row]:
    """One text of 8,192 tokens among short ones: in a padded batch all are as long as the longest."""
    name = f"BGE-M3 float32, one text of {LONGEST:,} tokens among short ones: {ST}"
    if quick:
        return [left_out(name, "only with --full: a padded batch of such texts takes minutes")]
    need = {count: batch_bytes(count, LONGEST, BGE_M3) for count in (32, 16, 8)}
    count = next((count for count, bytes_ in need.items() if bytes_ < free_bytes()), None)
    if count is None:
        return [left_out(name, f"8 padded texts take {need[8] / 2**30:.0f} GiB, more than is free here")]
    folder = text_model(BGE_M3, layers=1)
    sizes = np.array([*lengths(count - 1), LONGEST])
    items = texts(sizes)
    peer = sentence_transformers(folder, items, sizes)
    whose = padded(sizes, batch=BATCH, probe=True)
    note = f"{count} texts, 1 layer; FlagEmbedding would multiply {whose:.1f} tokens for each useful one"
    found, _ = compared("", folder, ("float32",), [peer], items, note=note, times=2)
    return [replace(found[0], name=name)]


def compared(
    told: str, folder: Path, wanted: Sequence[str], peers: list[Peer], items: list[str], *, note: str, times: int
) -> tuple[list[Row], list[float]]:
    """A row for each wanted kind of numbers with each peer, and the seconds of the first kind.

    All are warmed with two short texts. The cosine is that with what the first peer gave.
    """
    here = [kind for kind in wanted if kind in kinds()]
    models = {kind: onespace.load(folder, device="cpu", dtype=kind) for kind in here}
    runs: dict[str, Callable[[list[str]], Any]] = {k: partial(m.encode, heads="dense") for k, m in models.items()}
    runs |= {peer.name: peer.run for peer in peers if peer.run is not None}
    for run in runs.values():
        run(sorted(items, key=len)[:2])
    kept = {name: Kept(partial(run, items)) for name, run in runs.items()}
    seconds = dict(zip(kept, interleave(list(kept.values()), times=times, warm=False), strict=True))
    first = next((kept[peer.name].given for peer in peers if peer.name in kept), None)
    out = []
    for kind, peer in product(wanted, peers):
        name = f"BGE-M3 {kind}, {told}: {peer.name}"
        if kind not in kept or peer.name not in kept:
            out.append(left_out(name, peer.why or EMULATED))
            continue
        assert first is not None
        alike = cosines(kept[kind].given, first).min()
        wasted = f"the peer multiplies {peer.waste:.2f} tokens for each useful one"
        out.append(pair(name, seconds[kind], seconds[peer.name], note=f"cosine {alike:.6f}; {wasted}; {note}"))
    return out, seconds[here[0]]


def heads(quick: bool) -> list[Row]:
    """Three heads against dense alone."""
    layers, count = 4, (16 if quick else 32)
    model = onespace.load(text_model(BGE_M3, layers=layers), device="cpu")
    items = texts(lengths(count))
    three, dense = interleave(
        [lambda: model.encode(items), lambda: model.encode(items, heads="dense")], times=3 if quick else 5
    )
    ratio = np.median(np.array(three) / np.array(dense))
    note = f"ratio {ratio:.3f} of the time; {layers} layers, beside which the heads weigh more than beside 24"
    return [pair("BGE-M3: three heads: dense alone", three, dense, note=note)]


def base(quick: bool) -> list[Row]:
    """bge-base through torch, and through onnxruntime."""
    layers, count = (1, 64) if quick else (2, 200)
    folder, sizes = text_model(BGE_BASE, layers=layers), lengths(count, longest=500)
    items = texts(sizes)
    model, peer = onespace.load(folder, device="cpu"), sentence_transformers(folder, items, sizes, longest=512)
    assert peer.run is not None
    ours, theirs = interleave([partial(model.encode, items), partial(peer.run, items)], times=3)
    note = f"the peer multiplies {peer.waste:.2f} tokens for each useful one; {layers} layers"
    return [
        pair(f"bge-base float32, {count} texts: {ST}", ours, theirs, note=note),
        *onnx_rows(model, folder, items, note=f"{layers} layers"),
    ]


def trained() -> list[Row]:
    """What reduced precision does to trained weights: the least and the median cosine with float32."""
    folder = os.environ.get("TRAINED")
    if not folder:
        return []
    items = texts(lengths(200))
    exact = onespace.load(Path(folder), device="cpu").encode(items, on_loss="ignore")
    out = []
    for name in ("bfloat16", "int8"):
        if name not in kinds():
            out.append(left_out(f"{name}: cosine with float32, trained weights", EMULATED))
            continue
        reduced = onespace.load(Path(folder), device="cpu", dtype=name).encode(items, on_loss="ignore")
        alike = cosines(reduced, exact)
        note = f"least of {len(items)} texts; median {np.median(alike):.6f}; {Path(folder).name}"
        out.append(Row(f"{name}: cosine with float32, trained weights", float(alike.min()), unit="cosine", note=note))
    return out


def sentence_transformers(folder: Path, items: list[str], sizes: np.ndarray, *, longest: int = LONGEST) -> Peer:
    """sentence-transformers with CLS pooling and unit rows: it sorts by characters, and pads each batch."""
    from sentence_transformers import SentenceTransformer, models

    tower = models.Transformer(str(folder), max_seq_length=longest)
    pooling = models.Pooling(tower.auto_model.config.hidden_size, pooling_mode="cls")
    model = SentenceTransformer(modules=[tower, pooling, models.Normalize()], device="cpu")

    def run(some: list[str]) -> np.ndarray:
        return np.asarray(model.encode(some, batch_size=BATCH, show_progress_bar=False))

    return Peer(ST, run, padded(sizes, batch=BATCH, order=[len(item) for item in items]))


def flag_embedding(folder: Path, sizes: np.ndarray, *, whole: bool = False) -> Peer:
    """FlagEmbedding in batches of 32 and without a limit that would cut, or (``whole``) with nothing said."""
    name = FLAG_WHOLE if whole else FLAG
    waste = padded(sizes, batch=WHOLE if whole else BATCH, probe=True)
    try:
        from FlagEmbedding import BGEM3FlagModel
    except ImportError as error:
        return Peer(name, None, waste, f"FlagEmbedding can't be imported: {error}")
    model = BGEM3FlagModel(str(folder), use_fp16=False, devices=["cpu"])
    options: dict[str, Any] = {} if whole else {"batch_size": BATCH, "max_length": LONGEST}
    return Peer(name, lambda some: np.asarray(model.encode(some, **options)["dense_vecs"]), waste)
