"""Fetches models by name, through huggingface_hub: its cache, its resuming, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE``."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

from onespace.errors import MissingExtra, ModelError

SMALL = ("*.json", "*.txt", "*.model", "sparse_linear.pt", "colbert_linear.pt")
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
"""Weight files of a folder, the best first; the second is fetched only where the first isn't there."""
NEVER = ("onnx/*", "openvino/*", "*/model*.safetensors", "*/pytorch_model*.bin")

log = logging.getLogger(__name__)


def download(name: str, *, revision: str | None = None, only: str | None = None) -> Path:
    """The folder of a model on this machine, fetched unless the cache has it.

    Args:
        name: ``owner/name``.
        revision: a branch, a tag or a commit.
        only: one file, where the rest isn't wanted.

    Raises:
        ModelError: it can't be reached, or isn't there.
        MissingExtra: huggingface_hub isn't installed.
    """
    if find_spec("huggingface_hub") is None:
        raise MissingExtra(f"fetching {name}", "huggingface_hub", "hub")
    if name.count("/") != 1:
        raise ModelError(f"{name!r} is no folder here and no name that onespace knows. `onespace models` lists names.")
    if only is not None:
        return _snapshot(name, revision, [only])
    folder = _snapshot(name, revision, [*SMALL, WEIGHTS[0]])
    return folder if any(folder.glob(WEIGHTS[0])) else _snapshot(name, revision, [*SMALL, WEIGHTS[1]])


def _snapshot(name: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    log.debug("%s: fetching %s", name, ", ".join(patterns))
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns, ignore_patterns=list(NEVER)))
    except (OSError, ValueError, RuntimeError) as error:
        at = f" at {revision}" if revision else ""
        raise ModelError(
            f"{name}{at}: can't be fetched ({type(error).__name__}: {str(error).splitlines()[0]}). Is the name right, "
            f"and the network there? HF_ENDPOINT names a mirror; a folder on disk needs no network."
        ) from error
