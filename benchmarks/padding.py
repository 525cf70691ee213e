"""How much of a peer's work is padding, by the peer's own way to make batches; and whether a batch fits the memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.workload import Size


def padded(
    lengths: Sequence[int] | np.ndarray,
    *,
    batch: int,
    order: Sequence[int] | np.ndarray | None = None,
    probe: bool = False,
) -> float:
    """Tokens that are multiplied, padding included, for each useful one.

    Texts are sorted by ``order`` (their tokens, where it isn't given), longest first, and cut into batches that are
    padded to their longest. sentence-transformers orders by characters; FlagEmbedding by tokens, and it runs its first
    batch twice (``probe``), to see whether it fits.

    >>> padded([4, 2, 1, 1], batch=2), padded([4, 2, 1, 1], batch=2, probe=True)
    (1.25, 2.25)
    """
    sizes = np.asarray(lengths)
    ranked = sizes[np.argsort(-np.asarray(sizes if order is None else order), kind="stable")]
    batches = [ranked[start : start + batch] for start in range(0, len(ranked), batch)]
    tokens = [len(some) * int(some.max()) for some in batches]
    return float((sum(tokens) + probe * tokens[0]) / sizes.sum())


def in_order(lengths: Sequence[int] | np.ndarray, *, batch: int) -> float:
    """The same where nothing is sorted.

    >>> in_order([4, 1, 2, 1], batch=2)
    1.5
    """
    return padded(lengths, batch=batch, order=-np.arange(len(lengths)))


def batch_bytes(texts: int, longest: int, size: Size) -> float:
    """Memory of one padded batch beside the weights: the widest layer, and a mask (N, L, L) as bytes and float32."""
    return texts * longest * (size.token_bytes + 5.0 * longest)


def free_bytes() -> float:
    """Memory that may still be used; infinite where the system doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
