"""Sequences of many lengths in one pack: laid end to end, their padding left out of every layer.

How a pack attends depends on the device. A CPU takes each run of equal lengths as one batch, cut out without a copy. A
CUDA device takes all at once in FlashAttention's kernel for variable lengths (Dao 2023, FlashAttention-2), in float16
and bfloat16; what that kernel doesn't take is padded for the time of the attention alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from onespace.towers.attention import attend, merge_heads, split_heads

Runs: TypeAlias = tuple[tuple[int, int], ...]
"""Lengths of sequences, as (how many, of which length) for each run of equal lengths: ((2, 9), (1, 5))."""
Way: TypeAlias = Literal["runs", "kernel", "padded"]
"""How a pack attends: run by run, in the kernel for variable lengths, or padded."""

WIDEST = 256
"""Channels of a head that the kernel takes at most; they must be a multiple of 8."""
AMPERE = (8, 0)
"""Compute capability that the kernel needs."""


@dataclass(frozen=True)
class Packing:
    """Where the tokens of a padded batch (N, T) lie in its pack (tokens,).

    ``lengths`` are known without asking the device, so that nothing here waits for it.
    """

    lengths: tuple[int, ...]
    mask: Tensor
    """(N, T) bool, False at padding."""
    rows: Tensor
    """(tokens,) int64: the place of each packed token among the N * T."""
    ends: Tensor
    """(N + 1,) int32: where each sequence begins in the pack, and where the last one ends."""
    way: Way

    @classmethod
    def of(cls, mask: Tensor, lengths: Sequence[int], way: Way) -> Packing:
        """The packing of a mask (N, T) bool, of which ``lengths`` columns are True in each row."""
        order = (~mask).flatten().byte().argsort(stable=True)  # kept tokens first, in their order
        ends = F.pad(mask.sum(1).cumsum(0), (1, 0)).int()
        return cls(tuple(lengths), mask, order[: sum(lengths)], ends, way)

    def pack(self, x: Tensor) -> Tensor:
        """(N, T, D) -> (tokens, D)."""
        return x.flatten(0, 1).index_select(0, self.rows)

    def pad(self, packed: Tensor) -> Tensor:
        """(tokens, D) -> (N, T, D), zeros at padding."""
        out = packed.new_zeros(self.mask.numel(), packed.shape[1]).index_copy_(0, self.rows, packed)
        return out.view(*self.mask.shape, -1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, heads: int) -> Tensor:
        """Softmax attention of each sequence with itself: (tokens, D) each and out."""
        if self.way == "kernel":
            a, b, c = (t.view(len(t), heads, -1) for t in (q, k, v))  # (tokens, h, d) each
            longest = max(self.lengths)
            out: Tensor = kernel()(a, b, c, self.ends, self.ends, longest, longest)
            return out.flatten(1)
        if self.way == "padded":
            a, b, c = (split_heads(self.pad(t), heads) for t in (q, k, v))  # (N, h, T, d) each
            return self.pack(merge_heads(attend(a, b, c, self.mask[:, None, None, :])))
        return attend_runs(q, k, v, runs(self.lengths), heads=heads)


def runs(lengths: Sequence[int]) -> Runs:
    """The runs of sequences in a pack; those without tokens aren't there.

    >>> runs([3, 2, 2, 0])
    ((1, 3), (2, 2))
    """
    return tuple((len(list(same)), length) for length, same in groupby(lengths) if length)


def attend_runs(q: Tensor, k: Tensor, v: Tensor, runs: Runs, *, heads: int) -> Tensor:
    """Attention over packed sequences, (tokens, D) each and out; a run is one batch, cut out without a copy."""
    out = torch.empty_like(q)
    start = 0
    for count, length in runs:
        stop = start + count * length
        a, b, c = (split_heads(t[start:stop].view(count, length, -1), heads) for t in (q, k, v))  # (n, h, T, d) each
        out[start:stop] = merge_heads(F.scaled_dot_product_attention(a, b, c)).flatten(0, 1)
        start = stop
    return out  # (tokens, D)


def way_for(x: Tensor, width: int) -> Way | None:
    """How packs of numbers like x should attend, with heads of ``width`` channels; None where nothing is packed.

    Packs are for inference on a CPU or a CUDA device.
    """
    if not torch.is_inference_mode_enabled() or x.device.type not in ("cpu", "cuda"):
        return None
    if x.device.type == "cpu":
        return "runs"
    taken = x.dtype in (torch.float16, torch.bfloat16) and width % 8 == 0 and width <= WIDEST
    return "kernel" if taken and has_kernel(x.device) else "padded"


@lru_cache
def has_kernel(device: torch.device) -> bool:
    """Whether torch has the kernel for variable lengths, and this CUDA device runs it."""
    try:
        kernel()
    except ImportError:  # torch before 2.10
        return False
    built = torch.version.hip is None and torch.backends.cuda.is_flash_attention_available()
    return built and torch.cuda.get_device_capability(device) >= AMPERE


def kernel() -> Callable[..., Any]:
    """torch's own. Raises ImportError where it has none."""
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn
