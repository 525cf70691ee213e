"""Writes a model as ONNX graphs that hold everything: towers, fusion, heads, pooling and normalisation.

The graphs share one file of weights, so that nothing is stored twice. Needs the ``[export]`` extra.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from onespace.engines import Batch, Output
from onespace.engines.onnx_engine import GRAPHS, VERSION, VERSION_KEY, WEIGHTS, OnnxEngine
from onespace.errors import InputError, MissingExtra, ModelError
from onespace.export.attention import choose, translation
from onespace.export.weights import PRECISIONS, Precision, write
from onespace.exported import SPEC
from onespace.spec import Spec
from onespace.types import HEADS, Modality

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

    from onespace.encoder import Encoder

OPSET = 20
TOLERANCE = 1e-4
"""Largest difference from torch that ``fp32`` may show, in units of the output's largest value (or of 1)."""
NEAR = 0.99
"""Least cosine with torch's dense rows that the other precisions may show."""
AXES = {"ids": ("N", "L"), "mask": ("N", "L"), "pixels": ("N", "K")}

Inputs: TypeAlias = Literal["ids", "mask", "pixels"]


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it is to the model it came from."""

    folder: Path
    precision: Precision
    size: int
    """Bytes of the whole folder."""
    difference: float
    """Largest difference from torch on random input, in units of an output's largest value (or of 1)."""
    cosine: float
    """Least cosine of a dense row with torch's."""


@dataclass(frozen=True)
class _Graph:
    name: str
    inputs: tuple[Inputs, ...]
    modalities: tuple[Modality, ...]


def export_onnx(encoder: Encoder, folder: str | Path, *, precision: Precision = "fp32") -> Exported:
    """Writes ``onespace.json``, the tokenizer, one graph for each shape of input and the weights, then checks them.

    Args:
        encoder: one that runs on torch.
        folder: made if needed; files of an earlier export in it are replaced.
        precision: ``fp32``; ``fp16``, which halves the file and computes in float32; or ``int8``, a quarter, with one
            scale a row of each matrix and table, also computing in float32.

    Raises:
        InputError: an unknown precision, or an encoder that doesn't run on torch.
        MissingExtra: torch, onnx or onnxscript isn't installed.
        ModelError: the graphs don't give what torch gives.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r} isn't known. Choose one of {', '.join(PRECISIONS)}.")
    return finish(encoder, trace(encoder), folder, precision=precision)


def trace(encoder: Encoder) -> dict[str, onnx.ModelProto]:
    """The graphs by name, with float32 weights inside: the slow half of `export_onnx`, the same for any precision."""
    module = _module(encoder)
    return {graph.name: _trace(module, encoder.spec, graph) for graph in _graphs(encoder.spec)}


def finish(
    encoder: Encoder, models: dict[str, onnx.ModelProto], folder: str | Path, *, precision: Precision
) -> Exported:
    """Writes and checks what `trace` gave, and leaves ``models`` as they are: the quick half of `export_onnx`."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for stale in (*(f"{name}.onnx" for name in GRAPHS), WEIGHTS):
        (target / stale).unlink(missing_ok=True)
    write(deepcopy(models), target, precision=precision)
    module, graphs = _module(encoder), _graphs(encoder.spec)
    (target / SPEC).write_text(json.dumps(encoder.spec.to_dict(), ensure_ascii=False, indent=1) + "\n", "utf-8")
    encoder.tokenizer.save(target)
    difference, cosine = _compare(module, encoder.spec, graphs, target)
    if difference > TOLERANCE if precision == "fp32" else cosine < NEAR:
        raise ModelError(
            f"{target}: the exported graphs differ from torch by {difference:.1e} (least cosine {cosine:.4f}). "
            "Don't use the folder; try another precision."
        )
    size = sum(file.stat().st_size for file in target.iterdir() if file.is_file())
    return Exported(target, precision, size, difference, cosine)


def _module(encoder: Encoder) -> nn.Module:
    """The encoder's module, in float32 on the CPU."""
    try:
        import onnx
        import onnxscript
        import torch
    except ImportError as error:
        raise MissingExtra("ONNX export", error.name or "onnx", "export") from error
    del onnx, onnxscript
    from onespace.towers.reduced import Int8Linear

    module = getattr(encoder.engine, "module", None)
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"{encoder.spec.name} runs on {type(encoder.engine).__name__}; export needs the torch model.")
    if any(isinstance(part, Int8Linear) for part in module.modules()):
        raise InputError(
            f"{encoder.spec.name} is loaded as int8. Load it as float32, and export with precision='int8'."
        )
    parameter = next(module.parameters())
    if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
        module = deepcopy(module).cpu().float()
    return module.eval()


def _graphs(spec: Spec) -> list[_Graph]:
    """The graphs that the spec calls for."""
    taken = spec.modalities
    graphs = [_Graph("text", ("ids", "mask"), ("text",))] if "text" in taken else []
    if spec.fused and spec.image:
        graphs.append(_Graph("image", ("ids", "mask", "pixels"), ("image", "pair")))
    elif spec.image:
        graphs.append(_Graph("image", ("pixels",), ("image",)))
        if "pair" in taken:
            graphs.append(_Graph("pair", ("ids", "mask", "pixels"), ("pair",)))
    return graphs


def _heads(spec: Spec, graph: _Graph) -> tuple[Output, ...]:
    """The heads of a graph; that of texts alone also gives its token states, for late chunking, where it has them."""
    heads = [h for h in HEADS if any(spec.level(m, h) != "unsupported" for m in graph.modalities)]
    return (*heads, "states") if spec.fused and graph.name == "text" else (*heads,)


def _trace(module: nn.Module, spec: Spec, graph: _Graph) -> onnx.ModelProto:
    """One graph with its weights inside, whose initialisers are named as the module's parameters are."""
    import torch
    from torch.export import Dim

    heads = _heads(spec, graph)
    example = _example(spec, graph, n=2, length=8, pictures=_most(spec, 2), seed=0)
    arrays = {name: torch.from_numpy(getattr(example, name)) for name in graph.inputs}
    call = _caller(module, graph.inputs, heads)
    with torch.inference_mode():
        names = list(call(*arrays.values()))
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            call,
            tuple(arrays.values()),
            dynamo=True,
            optimize=False,  # folding would rename the weights, and store one twice that two places use
            opset_version=OPSET,
            input_names=list(arrays),
            output_names=names,
            custom_translation_table=translation(),
            dynamic_shapes=(tuple({0: Dim.DYNAMIC, 1: Dim.DYNAMIC} for _ in arrays),),
            verbose=False,
        )
    assert program is not None  # only None when written straight to a file
    return _clean(program.model_proto)


def _caller(module: nn.Module, inputs: tuple[Inputs, ...], heads: tuple[Output, ...]) -> nn.Module:
    """The module with its inputs in a row and its heads fixed, which is what a tracer can follow."""
    from torch import nn

    class Caller(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, *given: Tensor) -> dict[str, Tensor]:
            named = dict(zip(inputs, given, strict=True))
            out: dict[str, Tensor] = self.model(named.get("ids"), named.get("mask"), named.get("pixels"), heads=heads)
            return out

    return Caller().eval()


def _clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Names the axes, completes attention, and drops the tracer's notes (which hold paths of this machine)."""
    graph = model.graph
    choose(graph)
    names: dict[str, str] = {}
    for node in graph.input:
        for dim, name in zip(node.type.tensor_type.shape.dim, AXES[node.name], strict=False):
            names[dim.dim_param] = name
    for value in (*graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = names.get(dim.dim_param, "T")
        value.ClearField("metadata_props")
    for noted in (model, graph, *graph.node, *graph.initializer):
        noted.ClearField("doc_string")
        noted.ClearField("metadata_props")
    del graph.value_info[:]
    model.producer_name, model.producer_version = "onespace", VERSION
    entry = model.metadata_props.add()
    entry.key, entry.value = VERSION_KEY, VERSION
    return model


def _most(spec: Spec, wanted: int) -> int:
    """So many pictures, or one where the positions don't hold as many."""
    if spec.text is None or spec.image is None or not spec.fused:
        return wanted
    return wanted if wanted * spec.image.tokens + 16 <= spec.text.max_positions else 1


def _example(spec: Spec, graph: _Graph, *, n: int, length: int, pictures: int, seed: int) -> Batch:
    """Random input of the given sizes; the last text is shorter than the rest."""
    random = np.random.default_rng(seed)
    ids = mask = pixels = None
    if "ids" in graph.inputs and spec.text is not None:
        ids = random.integers(0, spec.text.vocab, (n, length))
        mask = np.arange(length) < np.array([length] * (n - 1) + [length - 2])[:, None]
        ids[~mask] = spec.text.pad
    if "pixels" in graph.inputs and spec.pixels is not None:
        side = spec.pixels.size
        pixels = random.standard_normal((n, pictures, 3, side, side)).astype(np.float32)
    return Batch(ids, mask, pixels)


def _compare(module: nn.Module, spec: Spec, graphs: list[_Graph], folder: Path) -> tuple[float, float]:
    """Largest difference and least dense cosine against torch, at sizes that weren't traced."""
    from onespace.engines.torch_engine import TorchEngine

    there, here = TorchEngine(module, device="cpu"), OnnxEngine(folder)
    difference, cosine = 0.0, 1.0
    for graph in graphs:
        heads = _heads(spec, graph)
        for n, length, pictures in ((1, 5, 1), (3, 11, _most(spec, 2)), (1, 4, 1)):
            batch = _example(spec, graph, n=n, length=length, pictures=pictures, seed=n)
            wanted, got = there.run(batch, heads), here.run(batch, heads)
            if {k: v.shape for k, v in wanted.items()} != {k: v.shape for k, v in got.items()}:
                return float("inf"), 0.0
            for name, value in wanted.items():
                # a row of padding is never used, so it isn't compared either
                kept = {"multi": wanted.get("multi_mask"), "states": batch.mask}.get(name, ...)
                apart = np.abs(value[kept].astype(np.float64) - got[name][kept]).max(initial=0)
                difference = max(difference, float(apart / np.abs(value[kept]).max(initial=1)))
            if "dense" in wanted:
                cosine = min(cosine, float((wanted["dense"] * got["dense"]).sum(1).min()))
    return difference, cosine


@contextmanager
def _quiet() -> Iterator[None]:
    """The tracer warns of its own insides."""
    tracer = logging.getLogger("torch.onnx")
    level = tracer.level
    tracer.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        tracer.setLevel(level)
