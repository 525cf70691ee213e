"""Runs an exported folder with onnxruntime: no torch needed.

A folder holds one graph for each shape of input (`GRAPHS`) and one file of weights that they share. A graph's session
is made when it is first needed.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from onespace.engines import Batch, Output, tokens_for
from onespace.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime as ort


GRAPHS = ("text", "image", "pair")
"""``text.onnx`` takes ids and mask; ``image.onnx`` takes pixels too, or alone in a dual encoder, which may have
``pair.onnx`` for both."""
WEIGHTS = "weights.bin"
VERSION = "1"
"""Version of the folder's layout, held in each graph under `VERSION_KEY`."""
VERSION_KEY = "onespace_export"
OUTPUTS: dict[Output, tuple[str, ...]] = {
    "dense": ("dense",),
    "sparse": ("weights", "terms"),
    "multi": ("multi", "multi_mask"),
    "states": ("states",),
}
"""Names of the outputs that belong to each head."""


class OnnxEngine:
    """The graphs of one folder.

    Options of a session: threads as many as physical cores this process may use (``threads`` overrides), which sleep
    while there is nothing to do; all graph optimisations; only the nodes run that the asked heads need.
    """

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        self.folder = Path(folder)
        self.threads = threads or cores()
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._lock = Lock()
        if not any(self._file(graph).is_file() for graph in GRAPHS):
            raise ModelError(
                f"{self.folder} has none of {', '.join(self._file(g).name for g in GRAPHS)}. Export again."
            )

    @property
    def tokens(self) -> int:
        """See `onespace.engines.Engine`."""
        return tokens_for(self.threads)

    def run(self, batch: Batch, heads: Collection[Output]) -> dict[str, np.ndarray]:
        """See `onespace.engines.Engine`."""
        import onnxruntime as ort

        session = self._session(self._graph(batch))
        there = [output.name for output in session.get_outputs()]
        names = [name for head in heads for name in OUTPUTS[head] if name in there]
        feeds = {node.name: getattr(batch, node.name) for node in session.get_inputs()}
        options = ort.RunOptions()
        options.only_execute_path_to_fetches = True
        return dict(zip(names, session.run(names, feeds, options), strict=True))

    def _graph(self, batch: Batch) -> str:
        if batch.pixels is None:
            return "text"
        both = batch.ids is not None and self._file("pair").is_file()
        return "pair" if both else "image"

    def _file(self, graph: str) -> Path:
        return self.folder / f"{graph}.onnx"

    def _session(self, graph: str) -> ort.InferenceSession:
        with self._lock:
            if graph not in self._sessions:
                self._sessions[graph] = self._open(self._file(graph))
            return self._sessions[graph]

    def _open(self, file: Path) -> ort.InferenceSession:
        import onnxruntime as ort

        for needed in (file, self.folder / WEIGHTS):
            if not needed.is_file():
                raise ModelError(f"{needed} isn't there. Copy the whole folder, or export again.")
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ModelError(f"{file} can't be read: {str(error).splitlines()[0]} Copy or export it again.") from error
        version = session.get_modelmeta().custom_metadata_map.get(VERSION_KEY)
        if version != VERSION:
            raise ModelError(f"{file} has layout {version}; this onespace reads {VERSION}. Export it again.")
        return session


@lru_cache(maxsize=1)
def cores() -> int:
    """Physical cores that this process may use: its CPU affinity, less what a container's quota forbids."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    siblings = {_read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in allowed}
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        return max(1, min(len(siblings), int(quota) // int(period)))
    return len(siblings)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
