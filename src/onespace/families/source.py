"""What a family is given (`Source`) and what it answers with (`Plan`). A plan becomes an encoder in one place, `build`.

A family is a module of this package with four names, and nothing of it is heavy to import:

    LAYOUT               one line: the files by which it is known
    matches(source)      whether these are its files
    plan(source)         spec, tensors and tokenizer
    tiny()               a small encoder with random weights, for the contract tests
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from onespace.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from onespace.encoder import Encoder
    from onespace.prepare.tokens import Tokenizer
    from onespace.spec import Spec


@dataclass(frozen=True)
class Source:
    """Files on disk that someone calls a model."""

    name: str
    """What the user asked for: a hub name, or the folder's."""
    folder: Path
    weights: Path | None = None
    """A weight file apart from the folder."""
    heads_from: Path | None = None
    """A BGE-M3 folder whose sparse and multi-vector heads are borrowed."""

    def json(self, name: str) -> dict[str, Any]:
        """The JSON object in that file of the folder, or {} when there is no such file."""
        path = self.folder / name
        value = read_json(path) if path.is_file() else {}
        if not isinstance(value, dict):
            raise ModelError(f"{path}: a JSON object is expected, this is a {type(value).__name__}.")
        return value

    def has(self, *names: str) -> bool:
        """Whether the folder holds one of these files."""
        return any((self.folder / name).exists() for name in names)

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.json``, or {}."""
        return self.json("config.json")

    @property
    def model_type(self) -> str:
        """``model_type`` of the config, or ""."""
        return str(self.config.get("model_type", ""))

    @cached_property
    def file(self) -> Path:
        """The weight file."""
        from onespace.checkpoint import find_weights

        return self.weights or find_weights(self.folder)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The weights by the names in the file, mapped from disk."""
        from onespace.checkpoint import read

        return read(self.file)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that an encoder is built from. ``rename`` and ``ignore`` are those of `onespace.checkpoint.load_into`."""

    spec: Spec
    module: Callable[[Spec], nn.Module]
    tokenizer: Tokenizer
    tensors: Mapping[str, Tensor]
    rename: Sequence[tuple[str, str]] = ()
    ignore: Mapping[str, str] = field(default_factory=dict)


class Family(Protocol):
    """What a module of this package offers."""

    LAYOUT: str

    def matches(self, source: Source) -> bool:
        """Whether these are the files of this family."""
        ...

    def plan(self, source: Source) -> Plan:
        """Reads the files. Raises `ModelError` when they belong to the family but can't be used."""
        ...

    def tiny(self) -> Encoder:
        """A small encoder with random weights."""
        ...


def read_json(path: Path) -> Any:
    """The JSON value in a file. Raises `ModelError` when it can't be read."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: can't be read as JSON ({error}). Get the file again.") from error


def build(
    plan: Plan, *, where: str, device: str | None = None, dtype: str | None = None, compile: bool = False
) -> Encoder:
    """Puts the tensors of a plan into its module, without a second copy, and wraps it all as an encoder."""
    from onespace.checkpoint import blank, load_into
    from onespace.encoder import Encoder
    from onespace.engines.torch_engine import COMPILER, TorchEngine, reduces

    kind = torch_dtype(dtype)
    stored = reduces(kind, device)
    module = blank(lambda: plan.module(plan.spec))
    load_into(module, plan.tensors, where=where, rename=plan.rename, ignore=plan.ignore, dtype=None if stored else kind)
    engine = TorchEngine(module, device=device, dtype=kind, compiler=COMPILER if compile else None)
    return Encoder(plan.spec, plan.tokenizer, engine)


def torch_dtype(name: str | None) -> Any:
    """The torch type of that name: ``float32`` (also for None), ``float16``, ``bfloat16`` or ``int8``."""
    import torch

    kinds = {None: torch.float32, "float32": torch.float32, "float16": torch.float16}
    kinds |= {"bfloat16": torch.bfloat16, "int8": torch.int8}
    if name not in kinds:
        raise ModelError(f"dtype {name!r} is unknown. Use float32, float16, bfloat16 or int8.")
    return kinds[name]
