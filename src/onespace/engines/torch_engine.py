"""Runs a torch module on any device."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor, nn

from onespace.engines import Batch, Output, tokens_for
from onespace.engines.onnx_engine import cores
from onespace.engines.transfer import transfer
from onespace.errors import ModelError
from onespace.towers.reduced import reduce

GPU_TOKENS = 16384
"""Tokens of one batch on another device than the CPU."""
GPU_PICTURES = 64
"""Pictures of one batch there."""
GPU_AHEAD = 2
"""Batches that are on their way there while the one before is waited for."""
COMPILER = "inductor"
"""torch's own."""

log = logging.getLogger(__name__)


class TorchEngine:
    """Holds a module in eval mode; gradients are never recorded.

    On a CPU, ``bfloat16`` and ``int8`` are those of `onespace.towers.reduced`, which changes the module in place.

    With a ``compiler``, a backend of ``torch.compile``, the image tower is compiled: its shapes repeat, while those of
    packed texts hardly do. It is compiled once for each number of pictures, and these are few (`bucket`); beyond eight
    of them, which items with three pictures or more can bring, torch runs it as it is.

    Raises:
        ModelError: int8 on another device; a compiler for a model without an image tower.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        device: str | None = None,
        dtype: torch.dtype = torch.float32,
        compiler: str | None = None,
    ) -> None:
        self.device = place(device)
        if self.device.type == "cpu":
            limit_threads()
        self.tokens = tokens_for(torch.get_num_threads()) if self.device.type == "cpu" else GPU_TOKENS
        if reduces(dtype, device):
            self.module, self.dtype = reduce(module.eval(), dtype), torch.float32
        elif dtype == torch.int8:
            raise ModelError(f"int8 runs on a CPU, not on {self.device}. Use dtype='bfloat16' there.")
        else:
            self.module, self.dtype = module.eval().to(self.device, dtype), dtype
        self.pictures = None if self.device.type == "cpu" else GPU_PICTURES
        self.ahead = GPU_AHEAD if self.device.type == "cuda" else 0
        self.compiler = compiler
        self._transfer = transfer(self.device)
        if compiler is not None:
            _image_tower(module).compile(backend=compiler, dynamic=False)

    def run(self, batch: Batch, heads: Collection[Output]) -> dict[str, np.ndarray]:
        """See `onespace.engines.Engine`."""
        return self.begin(batch, heads)()

    def begin(self, batch: Batch, heads: Collection[Output]) -> Callable[[], dict[str, np.ndarray]]:
        """See `onespace.engines.begin`: on a CPU all is done when this returns, on a GPU nothing was waited for."""
        lengths = None if batch.mask is None else batch.mask.sum(1).tolist()
        with torch.inference_mode():
            ids, mask, pixels = self._transfer.send((batch.ids, batch.mask, batch.pixels))
            count = extra = 0
            if pixels is not None:
                pixels, count = pixels.to(self.dtype), len(pixels)
                extra = bucket(count) - count if self.compiler else 0
            if extra:
                ids, mask, pixels = (None if t is None else repeat_first(t, extra) for t in (ids, mask, pixels))
                lengths = None if lengths is None else lengths + lengths[:1] * extra
            out = self.module(ids, mask, pixels, heads=tuple(heads), lengths=lengths)
            kept = {name: t[:count] if extra else t for name, t in out.items()}
            return self._transfer.fetch({name: t if t.dtype == torch.bool else t.float() for name, t in kept.items()})


def bucket(count: int) -> int:
    """Items that a compiled batch is filled up to: the next power of two.

    >>> [bucket(n) for n in (1, 2, 3, 16, 17)]
    [1, 2, 4, 16, 32]
    """
    return 1 << (count - 1).bit_length()


def repeat_first(tensor: Tensor, extra: int) -> Tensor:
    """(N, ...) -> (N + extra, ...), filled up with the first row."""
    return torch.cat([tensor, tensor[:1].expand(extra, *tensor.shape[1:])])


def _image_tower(module: nn.Module) -> nn.Module:
    tower = getattr(module, "image", None)
    if not isinstance(tower, nn.Module):
        raise ModelError("compile is for models that take pictures; this one has no image tower. Leave it out.")
    return tower


def limit_threads() -> None:
    """Lowers torch's threads to the cores that this process may use, for it counts those that a container's quota bars.

    Nothing is changed where OMP_NUM_THREADS says how many there shall be.
    """
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > cores():
        log.info("torch runs on %d threads, not on %d: so many cores may be used.", cores(), torch.get_num_threads())
        torch.set_num_threads(cores())


def place(device: str | None) -> torch.device:
    """The device of that name; the first GPU, if any, by default.

    A GPU has its number, since ``cuda`` alone is another one in every thread that chose its own.
    """
    found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return torch.device("cuda", torch.cuda.current_device()) if str(found) == "cuda" else found


def reduces(dtype: torch.dtype, device: str | None) -> bool:
    """Whether linear layers alone are reduced, and need the weights as they are stored: bfloat16 or int8 on a CPU."""
    return dtype in (torch.bfloat16, torch.int8) and place(device).type == "cpu"
