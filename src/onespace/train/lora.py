"""Low-rank adapters (Hu et al. 2021, LoRA): a frozen matrix plus a small product that is learnt, merged when saved."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LoRALinear(nn.Linear):
    """A linear layer whose own weights stand still, plus ``up @ down``; at first it gives what the layer gave."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, self.in_features))
        self.up = nn.Parameter(torch.zeros(self.out_features, rank))
        nn.init.normal_(self.down, std=rank**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return F.linear(x, self.weight, self.bias) + F.linear(F.linear(x, self.down), self.up)

    def merged(self) -> nn.Linear:
        """An ordinary layer that gives the same."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None, device=self.weight.device)
        with torch.no_grad():
            linear.weight.copy_(self.weight + self.up @ self.down)
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return linear


def adapt(module: nn.Module, rank: int, *, seed: int = 0) -> int:
    """Puts adapters on every linear layer inside the module's blocks whose weights learn; returns how many.

    What else lies in the blocks, and all of these layers' own weights, stop learning.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return sum(_adapt(block, rank) for block in blocks(module))


def _adapt(block: nn.Module, rank: int) -> int:
    if not any(p.requires_grad for p in block.parameters()):
        return 0
    block.requires_grad_(False)
    found = [(m, name, child) for m in block.modules() for name, child in m.named_children()]
    linear = [(m, name, child) for m, name, child in found if type(child) is nn.Linear]
    for parent, name, child in linear:
        setattr(parent, name, LoRALinear(child, rank).to(child.weight.device))
    return len(linear)


def merge(module: nn.Module) -> nn.Module:
    """A copy of the module without adapters, which gives the same; the module itself where it has none."""
    if not any(isinstance(m, LoRALinear) for m in module.modules()):
        return module
    module = deepcopy(module)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoRALinear):
                setattr(parent, name, child.merged())
    return module


def blocks(module: nn.Module) -> list[nn.Module]:
    """The transformer layers of all towers."""
    stacks = [m for name, m in module.named_modules() if name.rpartition(".")[2] == "blocks"]
    return [block for stack in stacks if isinstance(stack, nn.ModuleList) for block in stack]
