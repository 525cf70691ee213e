"""Stores the weights of several graphs in one file, whole or compressed.

A compressed weight is widened inside the graph: where rows of a table are looked up, only those rows; elsewhere the
whole matrix, which onnxruntime does once, when the session is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

import numpy as np

from onespace.engines.onnx_engine import WEIGHTS

if TYPE_CHECKING:
    import onnx

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
ALIGN = 64
"""Every tensor starts at a multiple of so many bytes."""
SMALL = 256
"""Tensors of fewer elements stay inside the graph."""


@dataclass(frozen=True)
class _Stored:
    """One weight as it stands in the file: ``data``, times ``scale`` a row where there is one."""

    data: np.ndarray
    scale: np.ndarray | None = None


def write(models: dict[str, onnx.ModelProto], folder: Path, *, precision: Precision) -> None:
    """Writes ``NAME.onnx`` for each model and the one file that holds their weights; changes the models."""
    import onnx
    from onnx import numpy_helper

    placed: dict[bytes, int] = {}
    with (folder / WEIGHTS).open("wb") as file:
        for name, model in models.items():
            for tensor in [t for t in model.graph.initializer if _count(t) >= SMALL]:
                stored = _compress(numpy_helper.to_array(tensor), precision)
                _widen(model.graph, tensor.name, stored)
                tensor.CopyFrom(numpy_helper.from_array(stored.data, tensor.name))
            for tensor in model.graph.initializer:
                if _count(tensor) >= SMALL:
                    _place(tensor, file, placed)
            onnx.save_model(model, str(folder / f"{name}.onnx"))


def _count(tensor: onnx.TensorProto) -> int:
    return prod(tensor.dims)


def _compress(weight: np.ndarray, precision: Precision) -> _Stored:
    """The stored form of a weight; vectors, whole numbers and what float16 can't hold stay as they are."""
    if precision == "fp32" or weight.dtype != np.float32 or weight.ndim < 2:
        return _Stored(weight)
    if precision == "int8" and weight.ndim == 2:
        scale = np.maximum(np.abs(weight).max(1, keepdims=True) / 127, np.finfo(np.float32).tiny)
        return _Stored(np.rint(weight / scale).astype(np.int8), scale.astype(np.float32))
    if np.abs(weight).max() > np.finfo(np.float16).max:
        return _Stored(weight)
    return _Stored(weight.astype(np.float16))


def _widen(graph: onnx.GraphProto, name: str, stored: _Stored) -> None:
    """Puts the nodes between a compressed weight and its users that make it float32 again."""
    from onnx import TensorProto, helper, numpy_helper

    if stored.scale is None and stored.data.dtype != np.float16:
        return
    if stored.scale is not None:
        graph.initializer.append(numpy_helper.from_array(stored.scale, f"{name}.scale"))
    nodes: list[onnx.NodeProto] = []

    def widened(data: str, scale: str, out: str) -> None:
        cast = f"{out}.cast" if stored.scale is not None else out
        nodes.append(helper.make_node("Cast", [data], [cast], to=TensorProto.FLOAT))
        if stored.scale is not None:
            nodes.append(helper.make_node("Mul", [cast, scale], [out]))

    whole = f"{name}.float32"
    for node in list(graph.node):
        if node.op_type == "Gather" and node.input[0] == name:
            ids, out, rows, scales = node.input[1], node.output[0], f"{node.output[0]}.rows", f"{node.output[0]}.scale"
            node.output[0] = rows
            nodes.append(node)
            if stored.scale is not None:
                nodes.append(helper.make_node("Gather", [f"{name}.scale", ids], [scales]))
            widened(rows, scales, out)
            continue
        if name in node.input:
            if not any(whole in made.output for made in nodes):
                widened(name, f"{name}.scale", whole)
            node.input[:] = [whole if source == name else source for source in node.input]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _place(tensor: onnx.TensorProto, file: BinaryIO, placed: dict[bytes, int]) -> None:
    """Moves a tensor's bytes to the file, unless the same bytes are there already."""
    from onnx import TensorProto

    data = tensor.raw_data
    key = sha256(data).digest()
    if key not in placed:
        file.write(b"\0" * (-file.tell() % ALIGN))
        placed[key] = file.tell()
        file.write(data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for name, value in (("location", WEIGHTS), ("offset", str(placed[key])), ("length", str(len(data)))):
        entry = tensor.external_data.add()
        entry.key, entry.value = name, value
