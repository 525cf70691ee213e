"""What a GPU gives: texts and pictures in bfloat16, against the peers in float16, and the share of its matrix rate.

    python -m benchmarks gpu [--full]

Everything runs in one process on the first CUDA device, in turn; models are of true size with random weights. Where
there is no such device, there are no rows.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

import onespace
from benchmarks.pictures import random_model
from benchmarks.row import Row, cosines, interleave, left_out, pair
from benchmarks.workload import BGE_M3, Size, mixed, pictures, text_model, texts
from onespace.encoder import Encoder
from onespace.engines.torch_engine import COMPILER, TorchEngine
from onespace.families.source import torch_dtype
from onespace.spec import Spec

BATCH = 32
LONGEST = 8192


@dataclass(frozen=True)
class Setting:
    """What is measured; tests make it small, and run it on a CPU."""

    layers: int
    texts: int
    pictures: int
    device: str = "cuda:0"
    kind: str = "bfloat16"
    compiler: str = COMPILER
    times: int = 3
    products: tuple[tuple[int, int, int], ...] = ((8192, 8192, 8192), (16_384, 1024, 4096), (16_384, 4096, 1024))
    """Matrix products whose best rate is the peak: a large one, and those of BGE-M3's layers; (N, D) by (D, E)."""


def rows(quick: bool) -> list[Row]:
    import torch

    if not torch.cuda.is_available():
        print("no CUDA device is here: nothing is measured")
        return []
    setting = Setting(6, 2000, 120) if quick else Setting(24, 8000, 480)
    return measured(setting, name=torch.cuda.get_device_name(setting.device))


def measured(setting: Setting, *, name: str) -> list[Row]:
    """The rows of a device of that name."""
    peak = matrix_peak(setting)
    note = f"{name}; best of {', '.join(f'{n} x {d} x {e}' for n, d, e in setting.products)}"
    first = Row(f"GPU matrix product, {setting.kind}", peak / 1e12, unit="TFLOP/s", note=note)
    return [first, *text(setting, peak), *images(setting, peak)]


def matrix_peak(setting: Setting) -> float:
    """Operations a second of the fastest of some products."""
    import torch

    best, times = 0.0, 50
    for n, d, e in setting.products:
        a, b = (
            torch.randn(*shape, device=setting.device, dtype=torch_dtype(setting.kind)) for shape in ((n, d), (e, d))
        )

        def several(a: torch.Tensor = a, b: torch.Tensor = b) -> None:
            for _ in range(times):
                torch.nn.functional.linear(a, b)
            if a.is_cuda:
                torch.cuda.synchronize(a.device)

        seconds = min(interleave([several], times=setting.times)[0]) / times
        best = max(best, 2.0 * n * d * e / seconds)
    return best


def text(setting: Setting, peak: float) -> list[Row]:
    """Texts of mixed lengths through BGE-M3, dense vectors alone."""
    layers, count, kind = setting.layers, setting.texts, setting.kind
    folder = text_model(BGE_M3, layers=layers)
    sizes = mixed(count)
    items = texts(sizes)
    exact, model = (onespace.load(folder, device=setting.device, dtype=name) for name in ("float32", kind))
    peers = transformers(folder, setting.device) | flag(folder, setting.device)
    runs: list[Callable[[], Any]] = [partial(m.encode, items, heads="dense") for m in (model, exact)]
    runs += [partial(run, items) for run in peers.values()]
    ours, slower, *theirs = interleave(runs, times=setting.times)
    some = items[:100]
    cosine = cosines(model.encode(some, heads="dense"), exact.encode(some, heads="dense")).min()
    name, depth = f"BGE-M3 {kind}, GPU", f"{layers} layers"
    note = f"cosine {cosine:.6f} with our float32; {depth}"
    rate = useful(replace(BGE_M3, layers=layers), sizes) / np.median(ours)
    return [
        *(
            pair(f"{name}, {count} texts: {who}", ours, took, note=note)
            for who, took in zip(peers, theirs, strict=True)
        ),
        pair(f"{name}, {count} texts: ours in float32", ours, slower, note=depth),
        Row(f"{name}: tokens a second", float(sizes.sum() / np.median(ours)), unit="tokens/s", note=depth),
        Row(f"{name}: share of the measured matrix rate", 100 * rate / peak, unit="%", note="useful tokens only"),
    ]


def images(setting: Setting, peak: float) -> list[Row]:
    """Pictures through Visualized-M3: from files, and from arrays of the model's size, which nothing has to decode."""
    count, note = setting.pictures, f"{setting.layers} layers"
    plain = on(setting, random_model(setting.layers, "float32"))
    files = (pictures(min(count, 60)) * -(-count // 60))[:count]
    arrays = list(np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8))

    def alone() -> None:
        for item in files:
            plain.encode(item, on_loss="ignore")

    runs: list[Callable[[], Any]] = [partial(plain.encode, some, on_loss="ignore") for some in (files, arrays)]
    of_files, of_arrays, each = interleave([*runs, alone], times=setting.times)
    rate = count * picture_operations(plain.spec) / np.median(of_arrays)
    name = f"Visualized-M3 {setting.kind}, GPU"
    unit, shown = "pictures/s", [float(count / np.median(taken)) for taken in (of_files, of_arrays)]
    out = [
        pair(f"{name}, {count} pictures: ours, one at a time", of_files, each, note=note),
        Row(f"{name}: pictures a second, from files", shown[0], unit=unit, note=note),
        Row(f"{name}: pictures a second, from arrays", shown[1], unit=unit, note=note),
        Row(f"{name}: share of the measured matrix rate, from arrays", 100 * rate / peak, unit="%", note=note),
    ]
    name = f"{name}, {count} arrays, compiled: as they come"
    try:
        compiled = on(setting, plain, compiler=setting.compiler)
        both = interleave([partial(model.encode, arrays) for model in (compiled, plain)], times=setting.times)
    except RuntimeError as error:  # torch's compiler needs tools that a machine may lack
        return [*out, left_out(name, str(error).splitlines()[0])]
    return [*out, pair(name, *both, note=note)]


def useful(size: Size, lengths: np.ndarray) -> float:
    """Operations of texts of these lengths, without padding."""
    return float(size.flops * lengths.sum() + size.attention(lengths))


def picture_operations(spec: Spec) -> float:
    """Operations of the blocks of both towers for one picture alone, which stands beside the empty text.

    A block of the image tower multiplies by four matrices (D, D) and three (D, H), if it is EVA02's.
    """
    image, text = spec.image, spec.text
    assert image is not None
    assert text is not None
    tokens = 1 + image.tokens
    each = 2.0 * (4 * image.width**2 + 3 * image.width * image.hidden)
    seen = image.layers * (each * tokens + 4 * image.width * tokens**2)
    whole = Size("", text.vocab, text.width, text.layers, text.heads, text.max_positions)
    return float(seen) + useful(whole, np.array([image.tokens + 2]))


def on(setting: Setting, encoder: Encoder, *, compiler: str | None = None) -> Encoder:
    """A copy of the encoder on the device."""
    module = deepcopy(cast(TorchEngine, encoder.engine).module)
    engine = TorchEngine(module, device=setting.device, dtype=torch_dtype(setting.kind), compiler=compiler)
    return Encoder(encoder.spec, encoder.tokenizer, engine)


def transformers(folder: Path, device: str) -> dict[str, Callable[[list[str]], object]]:
    """sentence-transformers in float16, CLS pooling, unit rows; nothing where it isn't installed."""
    try:
        from sentence_transformers import SentenceTransformer, models
    except ImportError:
        return {}
    tower = models.Transformer(str(folder), max_seq_length=LONGEST)
    pooling = models.Pooling(BGE_M3.width, pooling_mode="cls")
    model = SentenceTransformer(modules=[tower, pooling, models.Normalize()], device=device)
    if device != "cpu":
        model.half()
    return {f"sentence-transformers float16, batch {BATCH}": partial(model.encode, batch_size=BATCH)}


def flag(folder: Path, device: str) -> dict[str, Callable[[list[str]], object]]:
    """FlagEmbedding in float16, in batches of 32 and as it comes; nothing where it isn't installed."""
    try:
        from FlagEmbedding import BGEM3FlagModel
    except ImportError:
        return {}
    model = BGEM3FlagModel(str(folder), use_fp16=device != "cpu", devices=[device])
    return {
        f"FlagEmbedding float16, batch {BATCH}": partial(model.encode, batch_size=BATCH, max_length=LONGEST),
        "FlagEmbedding float16 as it comes": partial(model.encode, max_length=LONGEST),
    }
