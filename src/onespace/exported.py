"""Opens a folder that `onespace.export` wrote; the base install is enough."""

from __future__ import annotations

import json
from pathlib import Path

from onespace.encoder import Encoder
from onespace.engines.onnx_engine import OnnxEngine
from onespace.errors import ModelError
from onespace.prepare.tokens import Tokenizer
from onespace.spec import Spec

SPEC = "onespace.json"
"""The file of the spec, in an exported folder as in a folder of float weights."""


def open_exported(folder: str | Path, *, threads: int | None = None) -> Encoder:
    """The encoder of an exported folder. Raises `ModelError` when a file is missing, damaged, or of another version."""
    spec = read_spec(Path(folder) / SPEC)
    engine = OnnxEngine(folder, threads=threads)
    return Encoder(spec, Tokenizer.from_folder(Path(folder)), engine)


def read_spec(file: Path) -> Spec:
    """Reads ``onespace.json``. Raises `ModelError` naming the file."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{file} isn't there. Pass a folder that onespace wrote.") from error
    except ValueError as error:
        raise ModelError(f"{file} isn't JSON ({error}). Copy the folder again.") from error
    if not isinstance(values, dict):
        raise ModelError(f"{file} holds {type(values).__name__}, not the keys of a spec. Copy the folder again.")
    return Spec.from_dict(values)
