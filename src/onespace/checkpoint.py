"""Weights on disk: found, read without running anything, and put into a module with every key accounted for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from onespace import torch_file
from onespace.errors import CheckpointError

Renames = Sequence[tuple[str, str]]
"""(old, new) parts of names, replaced in this order."""

NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""The weight files of a folder, the best first."""


def find_weights(folder: Path) -> Path:
    """The weight file of a folder, or the index of its shards.

    Raises:
        CheckpointError: there is none, or several of which none has a usual name.
    """
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    others = [p for p in sorted(folder.glob("*")) if p.suffix in (".safetensors", ".pth", ".pt", ".bin")]
    if len(others) == 1:
        return others[0]
    found = f"several files ({', '.join(p.name for p in others)})" if others else "no weight file"
    raise CheckpointError(f"{folder}: {found}. Expected {', '.join(NAMES)}, or say which with weights=.")


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors file, of a torch archive, or of an index of shards, mapped from disk.

    Raises:
        CheckpointError: the file is missing, damaged or unsafe.
    """
    if path.suffix == ".json":
        return _read_shards(path)
    if path.suffix != ".safetensors":
        return torch_file.read(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: can't be read as safetensors ({error}). Get it again.") from error


def _read_shards(index: Path) -> dict[str, Tensor]:
    try:
        places: dict[str, str] = json.loads(index.read_text("utf-8"))["weight_map"]
        shards = sorted(set(places.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: not an index of shards ({error!r}).") from error
    outside = [s for s in shards if Path(s).name != s]
    if outside:
        raise CheckpointError(f"{index}: shard {outside[0]!r} lies outside the folder. Get the folder again.")
    tensors = {name: t for shard in shards for name, t in read(index.parent / shard).items()}
    missing = sorted(set(places) - set(tensors))
    if missing:
        raise CheckpointError(f"{index}: the shards lack {_some(missing)}. Get the folder again.")
    return tensors


def blank(make: Callable[[], nn.Module]) -> nn.Module:
    """Builds a module whose weights are reserved but not filled: no random numbers, and no memory until they're used.

    The weights hold garbage until `load_into` has replaced all of them.
    """
    with _Unfilled():
        return make()


class _Unfilled(TorchFunctionMode):
    """Skips the random initialisation of layers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_uniform_", "trunc_normal_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def load_into(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    where: str,
    rename: Renames = (),
    ignore: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Puts tensors into a module without a second copy of them.

    Args:
        module: as `blank` builds it, or any other; its ``state_dict`` says which names and shapes are wanted.
        tensors: as `read` gives them.
        where: the file, for messages.
        rename: from the file's names to the module's.
        ignore: patterns (``*`` matches anything) of file names that aren't used, each with the reason.
        dtype: cast floating tensors to it; None keeps the file's.

    Raises:
        CheckpointError: a tensor is missing, is not expected or has the wrong shape; all of them are listed at once.
    """
    wanted = module.state_dict()
    given: dict[str, Tensor] = {}
    problems: list[str] = []
    for name, tensor in tensors.items():
        if any(fnmatchcase(name, pattern) for pattern in ignore or ()):
            continue
        new = renamed(name, rename)
        if new not in wanted:
            problems.append(f"unexpected: {name}" + (f" (as {new})" if new != name else ""))
        elif new in given:
            problems.append(f"twice: {name} (as {new})")
        elif tensor.shape != wanted[new].shape:
            problems.append(f"shape: {name} is {tuple(tensor.shape)} in place of {tuple(wanted[new].shape)}")
        given[new] = tensor
    problems += [f"missing: {name}" for name in wanted if name not in given]
    if problems:
        raise CheckpointError(f"{where}: the weights don't fit the model. {_some(problems)}")
    module.load_state_dict({k: _cast(t, dtype) for k, t in given.items()}, assign=True)


def renamed(name: str, rename: Renames) -> str:
    """Applies the replacements in order.

    >>> renamed("encoder.layer.0.attention.self.key.bias", [("encoder.layer.", "blocks."), ("self.", "")])
    'blocks.0.attention.key.bias'
    """
    for old, new in rename:
        name = name.replace(old, new)
    return name


def convert(source: Path, target: Path, *, drop: Collection[str] = ()) -> Path:
    """Writes any readable checkpoint as one .safetensors file, leaving out names that match a pattern in ``drop``."""
    kept = {k: t for k, t in read(source).items() if not any(fnmatchcase(k, pattern) for pattern in drop)}
    return write(kept, target)


def write(tensors: Mapping[str, Tensor], target: Path) -> Path:
    """Writes a .safetensors file; it appears whole or not at all, and may replace the file that was read."""
    from safetensors.torch import save_file

    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous()
        start = flat.untyped_storage().data_ptr()
        own[name] = (
            flat.clone() if start in seen or flat.numel() * flat.itemsize != flat.untyped_storage().nbytes() else flat
        )
        seen.add(start)
    unfinished = target.with_name(target.name + ".part")
    save_file(own, unfinished, metadata={"format": "pt"})
    os.replace(unfinished, target)
    return target


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def _some(lines: Iterable[str], most: int = 20) -> str:
    lines = list(lines)
    more = f"; and {len(lines) - most} more" if len(lines) > most else ""
    return "; ".join(lines[:most]) + more
