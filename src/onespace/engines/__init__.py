"""Engines run a prepared batch: onnxruntime in the base install, torch with the ``[torch]`` extra.

An engine knows nothing of files, tokenizers or pictures; it takes a `Batch` and returns arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Output: TypeAlias = Literal["dense", "sparse", "multi", "states"]
"""The heads, and the text's token states before any head."""


def tokens_for(threads: int) -> int:
    """Tokens that a CPU best runs at once: what the caches hold, and work for every thread.

    >>> tokens_for(2), tokens_for(16)
    (1024, 4096)
    """
    return max(1024, 256 * threads)


@dataclass(frozen=True)
class Batch:
    """Items of one shape: all texts, or all with the same number K of pictures.

    ``ids`` (N, L) int64, right-padded, and ``mask`` (N, L) bool; ``pixels`` (N, K, 3, S, S) float32 or None.
    Dual encoders (CLIP) get ``ids=None`` for pictures alone; fused models get the ids of the empty text.
    """

    ids: np.ndarray | None
    mask: np.ndarray | None
    pixels: np.ndarray | None = None


class Engine(Protocol):
    """Anything that can run a batch.

    An engine may have numbers that say how it best runs: ``tokens``, with padding, and ``pictures`` at once; and
    ``ahead``, how many batches it is given before the first is waited for. The last is for devices that compute beside
    the processor, and goes with a method ``begin`` (see `begin`).
    """

    def run(self, batch: Batch, heads: Collection[Output]) -> dict[str, np.ndarray]:
        """The raw outputs of `onespace.model.FusedModel.forward`, as numpy arrays under the same names.

        ``dense`` (N, D); ``weights`` (N, L); ``terms`` (N, V), only from pictures; ``multi`` (N, T, d) with
        ``multi_mask`` (N, T) bool; ``states`` (N, L, D), of texts alone. Only what
        ``heads`` asks for and the model has.
        """
        ...


def begin(engine: Engine, batch: Batch, heads: Collection[Output]) -> Callable[[], dict[str, np.ndarray]]:
    """Begins a batch, where the engine can: what is returned gives the outputs of `Engine.run`, once they are there."""
    started = getattr(engine, "begin", None)
    return partial(engine.run, batch, heads) if started is None else started(batch, heads)
