"""Linear layers in bfloat16 or int8, for inference on a CPU; everything else of the module stays float32.

Residuals, norms and softmax sums keep float32, so that only the products lose digits. Both kinds give bfloat16, int8
only where the processor has it (`has_bfloat16`) and float32 elsewhere. Layers that share an input get it prepared once
(see `onespace.towers.attention.ready`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onespace.errors import ModelError

log = logging.getLogger(__name__)


def has_bfloat16() -> bool:
    """Whether torch has kernels for bfloat16 on this processor; without them it is emulated, number by number."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@lru_cache(maxsize=1)
def warn_of_emulation() -> None:
    """Says once that bfloat16 is slow here."""
    log.warning(
        "This processor has no bfloat16 (AMX or AVX-512 would): torch emulates it, about 100 times slower than "
        "float32. Use dtype='float32', or dtype='int8' for speed."
    )


def weight_steps() -> int:
    """The largest whole number of a weight in int8: 127, or 63 without VNNI.

    Without it two products at a time are summed in 16 bits, which 127 overflows and 2 * 255 * 63 doesn't.
    """
    return 127 if torch.cpu._is_vnni_supported() else 63


class HalfLinear(nn.Module):
    """bfloat16 products, summed in float32 by the processor: fast where it has AMX or AVX512-BF16."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().to(torch.bfloat16), requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().to(torch.bfloat16), False)

    def ready(self, x: Tensor) -> Tensor:
        """The input in the type of the weights."""
        return x.to(self.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., E)."""
        return F.linear(self.ready(x), self.weight, self.bias)


class Rows(NamedTuple):
    """Rows of whole numbers from -127 to 127, int8, and the scale of each: x = values * scale."""

    values: Tensor
    scale: Tensor


class Int8Linear(nn.Module):
    """int8 products, summed in int32: one scale for each row of the weights, and one for each token.

    A token's scale is taken from that token alone, so its batch mates change nothing. Weights have eight bits, or seven
    where the processor sums in 16 (`weight_steps`).
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor
    zeros: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.result = torch.bfloat16 if has_bfloat16() else torch.float32
        weight = linear.weight.detach().float()  # (E, D)
        scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / weight_steps()
        whole = (weight / scale[:, None]).round().to(torch.int8)
        self.register_buffer("weight", torch.ops.onednn.qlinear_prepack(whole, None), persistent=False)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", torch.zeros(len(weight)) if linear.bias is None else linear.bias.detach().float())
        self.register_buffer("zeros", torch.zeros(len(weight), dtype=torch.int32))

    def ready(self, x: Tensor) -> Rows:
        """The input as whole numbers, with a scale a row."""
        scale = x.abs().amax(-1, keepdim=True).float().clamp(min=torch.finfo(torch.float32).tiny) / 127  # (..., 1)
        return Rows((x / scale).round_().to(torch.int8), scale.to(self.result))

    def forward(self, x: Tensor | Rows) -> Tensor:
        """(..., D) -> (..., E)."""
        rows = x if isinstance(x, Rows) else self.ready(x)
        y = torch.ops.onednn.qlinear_pointwise(
            rows.values, 1.0, 0, self.weight, self.scale, self.zeros, None, 1.0, 0, self.result, "none", [], ""
        )  # (..., E)
        return torch.addcmul(self.bias.to(y.dtype), y, rows.scale)


def reduce(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Replaces the linear layers of a module, and halves its word table; all else becomes float32. In place.

    Raises:
        ModelError: ``dtype`` is int8, and this torch has no such products.
    """
    if dtype == torch.int8 and not hasattr(torch.ops.onednn, "qlinear_pointwise"):
        raise ModelError(f"torch {torch.__version__} has no int8 products for this CPU. Use dtype='bfloat16'.")
    if dtype == torch.bfloat16 and not has_bfloat16():
        warn_of_emulation()
    make: Callable[[nn.Linear], nn.Module] = Int8Linear if dtype == torch.int8 else HalfLinear
    tables: set[nn.Module] = set()
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and child.out_features > 1:
                setattr(parent, name, make(child))
            elif isinstance(child, nn.Embedding) and name == "words":
                tables.add(child.to(torch.bfloat16))
    for part in module.modules():
        if not isinstance(part, (HalfLinear, Int8Linear)):
            for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
                if tensor.is_floating_point() and part not in tables:
                    tensor.data = tensor.data.float()
    return module
