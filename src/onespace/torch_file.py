"""Reads the tensors of a ``torch.save`` archive (.pth, .pt, .bin) without running its pickle.

Such a file is a zip: ``NAME/data.pkl`` describes the tensors, ``NAME/data/0``, ``/1``, ... hold their bytes, stored as
they are. The description is read by a small machine of our own that knows the few opcodes that describe tensors and
plain containers. It imports nothing and calls nothing; whatever else stands in the pickle is refused by name. The
bytes are mapped, not read: a page comes into memory when a layer first uses it.

A TorchScript archive has the same shape, with modules in place of dictionaries; its tensors come out under their
dotted names.
"""

from __future__ import annotations

import pickletools
import struct
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onespace.errors import CheckpointError

MAX_DESCRIPTION = 64 * 2**20
"""Bytes of ``data.pkl``; those of real models are a few hundred kB."""

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LOCAL_HEADER = struct.Struct("<26xHH")
_WRAPPERS = ("state_dict", "model", "module")
"""Keys under which training scripts put the weights."""


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of one archive by name, mapped from the file.

    Raises:
        CheckpointError: the file is damaged, compressed, of the format before torch 1.6, or holds anything but
            tensors and plain containers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = _records(path, archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(f"{path}: {_diagnosis(path, error)}") from error
    try:
        with warnings.catch_warnings():  # pickletools warns of escapes that a damaged text happens to have
            warnings.simplefilter("ignore", DeprecationWarning)
            value = _Machine(records).run()
    except _Refused as error:
        raise CheckpointError(f"{path}: refused, nothing was executed: {error}. Get a .safetensors file.") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RuntimeError, StopIteration) as error:
        raise CheckpointError(f"{path}: the description of the tensors is damaged ({error}). Get it again.") from error
    return _tensors(path, value)


def _diagnosis(path: Path, error: Exception) -> str:
    """Says what a file is that is no readable zip."""
    if not path.is_file():
        return "there is no such file."
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PK"):
        return f"the archive is truncated or damaged ({error}). Get it again and compare its size."
    if start[:1] == b"\x80":
        return (
            "a bare pickle, as torch wrote before version 1.6; these aren't read. If you trust it, read it with "
            "torch.load(FILE, weights_only=True) and torch.save that again."
        )
    return "not a torch archive (no zip signature). A download page or a pointer file saved under this name?"


def _records(path: Path, entries: list[zipfile.ZipInfo]) -> dict[str, np.ndarray]:
    """Maps what the archive stores, by record name without the leading folder; nothing is ever decompressed."""
    whole = np.memmap(path, dtype=np.uint8, mode="c") if path.stat().st_size else np.empty(0, np.uint8)
    records = {}
    for entry in entries:
        name = entry.filename.partition("/")[2]
        if name not in ("data.pkl", "byteorder") and not name.startswith("data/"):
            continue
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise ValueError(f"record {entry.filename} is compressed, which torch never does; a bomb is possible")
        local = entry.header_offset + _LOCAL_HEADER.size
        start = local + sum(_LOCAL_HEADER.unpack(whole[entry.header_offset : local].tobytes().ljust(30, b"\0")))
        if start + entry.file_size > len(whole):
            raise ValueError(f"record {entry.filename} ends after the end of the file")
        records[name] = np.asarray(whole[start : start + entry.file_size])
    if "data.pkl" not in records:
        raise ValueError("no record data.pkl: not written by torch.save")
    if len(records["data.pkl"]) > MAX_DESCRIPTION:
        raise ValueError(f"data.pkl has {len(records['data.pkl'])} bytes, more than {MAX_DESCRIPTION}")
    if records.get("byteorder", np.empty(0, np.uint8)).tobytes() == b"big":
        raise ValueError("written on a big-endian machine")
    return records


class _Refused(Exception):
    """The pickle asks for something that no tensor needs."""


@dataclass
class _Module:
    """A TorchScript module: only its attributes matter."""

    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Name:
    """A dotted name that the pickle mentions; compared, never imported."""

    text: str


_MARK = object()
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}


class _Machine:
    """The subset of the pickle machine that describes tensors: a stack, a memo, and no way to call anything."""

    def __init__(self, records: dict[str, np.ndarray]) -> None:
        self.records = records
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value that the description stands for."""
        for opcode, argument, _ in pickletools.genops(self.records["data.pkl"].tobytes()):
            if opcode.name == "STOP":
                return self.stack[-1]
            self.step(opcode.name, argument)
        raise ValueError("no end")

    def step(self, opcode: str, argument: Any) -> None:
        """One opcode; any other than these is refused."""
        stack, memo = self.stack, self.memo
        match opcode:
            case "PROTO" | "FRAME":
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE" | "MARK":
                stack.append(_CONSTANTS[opcode])
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(self.last(int(opcode[-1])))
            case "TUPLE":
                stack.append(tuple(self.since_mark()))
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                self.set_items(list(self.last(2)))
            case "SETITEMS":
                self.set_items(self.since_mark())
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                self.extend(list(self.last(1)))
            case "APPENDS":
                self.extend(self.since_mark())
            case "GLOBAL":
                stack.append(_Name(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                stack.append(_Name(".".join(self.last(2))))
            case "REDUCE":
                stack.append(self.make(*self.last(2)))
            case "NEWOBJ":
                stack.append(self.module(*self.last(2)))
            case "BUILD":
                self.build(*self.last(1))
            case "BINPERSID":
                stack.append(self.storage(*self.last(1)[0]))
            case _:
                raise _Refused(f"its pickle uses the opcode {opcode}")

    def since_mark(self) -> list[Any]:
        """Pops everything down to the last mark."""
        at = next(i for i in range(len(self.stack) - 1, -1, -1) if self.stack[i] is _MARK)
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def last(self, count: int) -> tuple[Any, ...]:
        """Pops ``count`` values."""
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        return values

    def set_items(self, flat: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise _Refused("items are set on something that isn't a dictionary")
        self.stack[-1].update(zip(flat[::2], flat[1::2], strict=True))

    def extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise _Refused("values are appended to something that isn't a list")
        self.stack[-1].extend(values)

    def make(self, name: Any, arguments: tuple[Any, ...]) -> Any:
        """In place of a call: the few things that torch.save writes as calls."""
        text = name.text if isinstance(name, _Name) else repr(name)
        match text:
            case "torch._utils._rebuild_tensor_v2":
                return _view(*arguments[:4])
            case "torch._utils._rebuild_parameter":
                return arguments[0]
            case "torch.jit._pickle.build_intlist" | "torch.jit._pickle.restore_type_tag":
                return arguments[0]
            case "collections.OrderedDict":
                return dict(*arguments)
            case _:
                raise _Refused(f"its pickle wants to call {text}")

    def module(self, name: Any, _: Any) -> _Module:
        if not (isinstance(name, _Name) and name.text.startswith("__torch__.")):
            raise _Refused(f"its pickle wants to make a {getattr(name, 'text', name)}")
        return _Module()

    def build(self, state: Any) -> None:
        """Gives a TorchScript module its attributes; a dictionary's own attributes (``_metadata``) aren't needed."""
        target = self.stack[-1]
        if isinstance(target, _Module) and type(state) is dict:
            target.attributes.update(state)
        elif type(target) is not dict:
            raise _Refused(f"its pickle sets the state of a {type(target).__name__}")

    def storage(self, kind: str, name: Any, key: str, _: str, numel: int) -> Tensor:
        """The bytes of one record, as a flat tensor."""
        dtype = _DTYPES.get(name.text.removeprefix("torch.")) if isinstance(name, _Name) else None
        if kind != "storage" or dtype is None:
            raise _Refused(f"a storage of the unknown type {name}")
        record = self.records[f"data/{key}"]
        if numel * dtype.itemsize != len(record):
            raise ValueError(f"record data/{key} has {len(record)} bytes in place of {numel * dtype.itemsize}")
        if len(record) == 0:
            return torch.empty(0, dtype=dtype)
        aligned = record.ctypes.data % dtype.itemsize == 0
        return torch.from_numpy(record if aligned else record.copy()).view(dtype)


def _view(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """A tensor as it lies in its storage; one that reaches outside, or repeats it, is refused."""
    if not isinstance(storage, Tensor) or len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise ValueError("a tensor without a storage, or of negative size")
    count: int = prod(size)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if count > storage.numel() or (count and last >= storage.numel()):
        raise ValueError(f"a tensor of size {tuple(size)} in a storage of {storage.numel()}")
    return storage.as_strided(tuple(size), tuple(stride), offset)


def _tensors(path: Path, value: Any) -> dict[str, Tensor]:
    """The state dict inside what was read: the value itself, one of its usual wrappers, or a TorchScript module."""
    if isinstance(value, _Module):
        return dict(_dotted(value, ""))
    if isinstance(value, dict):
        inner = next((value[k] for k in _WRAPPERS if isinstance(value.get(k), dict)), value)
        odd = [str(k) for k, v in inner.items() if not isinstance(v, Tensor)]
        if not odd:
            return {str(k): v for k, v in inner.items()}
        raise CheckpointError(f"{path}: not only tensors: {', '.join(odd[:10])}. Save the model's state_dict alone.")
    raise CheckpointError(f"{path}: a {type(value).__name__} in place of a state dict. Save the model's state_dict.")


def _dotted(module: _Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in module.attributes.items():
        if isinstance(value, _Module):
            yield from _dotted(value, f"{prefix}{name}.")
        elif isinstance(value, Tensor):
            yield prefix + name, value
