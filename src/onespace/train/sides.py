"""The vectors of many items in the memory of a few (Gao et al. 2021, "Scaling deep contrastive learning batch size").

Chunks run without a graph, the loss is taken on all vectors together, and each chunk runs again with a graph to take
its share of the gradient. A batch of one chunk keeps its graph, and runs once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from onespace.encoder import Encoder
from onespace.engines import Batch
from onespace.types import Head, Item, Role

Vectors: TypeAlias = "dict[str, Tensor]"
"""``dense`` (N, D), ``sparse`` (N, terms), ``multi`` (N, T, d) and ``multi_mask`` (N, T): those that are learnt."""


@dataclass(frozen=True)
class Chunk:
    """Prepared items of one shape, and where among the others they stand."""

    rows: list[int]
    batch: Batch


def prepare(
    encoder: Encoder, items: Sequence[Item], *, heads: Sequence[Head], role: Role, size: int | None
) -> list[Chunk]:
    """Tokenises texts and opens pictures, just as `Encoder.encode` does."""
    found = encoder.batches(items, heads=heads, role=role, batch_size=size or max(1, len(items)))
    return [Chunk(rows, batch) for rows, batch in found]


class Side:
    """The queries or the candidates of one step: chunks to vectors, and gradients of vectors back into the weights."""

    def __init__(self, run: Callable[[Batch], Vectors], chunks: Sequence[Chunk], *, keep: bool) -> None:
        self.run, self.chunks, self.keep = run, chunks, keep
        with torch.set_grad_enabled(keep):
            self._outputs = [run(chunk.batch) for chunk in chunks]

    def vectors(self) -> Vectors:
        """Those of all items, in their order, without a graph."""
        order = torch.from_numpy(np.argsort(np.concatenate([chunk.rows for chunk in self.chunks])))
        longest = max((out["multi"].shape[1] for out in self._outputs if "multi" in out), default=0)
        parts = [
            {k: lengthened(t.detach(), longest) if k.startswith("multi") else t.detach() for k, t in out.items()}
            for out in self._outputs
        ]
        if not self.keep:
            self._outputs = []
        return {name: torch.cat([part[name] for part in parts])[order] for name in parts[0]}

    def backward(self, gradients: Vectors) -> None:
        """Adds to the gradients of the weights what those of `vectors` ask for."""
        for index, chunk in enumerate(self.chunks):
            with torch.enable_grad():
                out = self._outputs[index] if self.keep else self.run(chunk.batch)
            learnt = {name: tensor for name, tensor in out.items() if tensor.requires_grad}
            if learnt:
                asked = [gradients[name][chunk.rows] for name in learnt]
                asked = [g[:, : t.shape[1]] for g, t in zip(asked, learnt.values(), strict=True)]
                torch.autograd.backward(list(learnt.values()), asked)


def lengthened(tensor: Tensor, length: int) -> Tensor:
    """(N, T) or (N, T, d) -> the same with T = length, filled with zeros."""
    missing = length - tensor.shape[1]
    return F.pad(tensor, (0, missing) if tensor.ndim == 2 else (0, 0, 0, missing)) if missing else tensor
