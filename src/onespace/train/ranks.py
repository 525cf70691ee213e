"""Several processes that learn from one batch, started by torchrun: what each adds to the sums of all.

One process is the same code with nothing to exchange. Every process holds the whole model and a share of each batch;
vectors are gathered, so that each query meets the candidates of all, and the loss is that of one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from onespace.errors import InputError


@dataclass(frozen=True)
class Ranks:
    """One process among all: ``rank`` of ``world``, and its place on this machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def join(cls) -> Ranks:
        """Joins the processes that torchrun started (NCCL on GPUs, Gloo on CPUs); one process alone joins nothing."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), world, int(os.environ.get("LOCAL_RANK", "0")))

    def leave(self) -> None:
        """Ends what `join` began."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The GPU of this process, or the CPU."""
        return torch.device(f"cuda:{self.local}" if torch.cuda.is_available() else "cpu")

    def share(self, count: int) -> slice:
        """The part of so many that is this process's.

        >>> Ranks(rank=1, world=2).share(8)
        slice(4, 8, None)
        """
        if count % self.world:
            raise InputError(f"batch={count} can't be shared by {self.world} processes. Use a multiple of them.")
        size = count // self.world
        return slice(self.rank * size, (self.rank + 1) * size)

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of all processes, in their order; every process has as many. No gradient passes."""
        if self.world == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    def most(self, number: int) -> int:
        """The largest of all processes' numbers."""
        value = torch.tensor(number, device=self.device)
        if self.world > 1:
            dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def union(self, numbers: Tensor) -> Tensor:
        """The different numbers (n,) of all processes, in order; none may be below 0."""
        found: Tensor = torch.unique(numbers)
        if self.world > 1:
            padded = found.new_full((self.most(len(found)),), -1)
            padded[: len(found)] = found
            found = torch.unique(self.gather(padded))
            found = found[found >= 0]
        return found

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def mean(self, number: float) -> float:
        """The mean over all processes."""
        return float(self.sum(torch.tensor(number, dtype=torch.float64, device=self.device))) / self.world

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gives every process the mean of all gradients. What no process used keeps none, and so doesn't decay."""
        if self.world == 1:
            return
        learnt = list(parameters)
        used = torch.tensor([p.grad is not None for p in learnt], dtype=torch.int32, device=self.device)
        for parameter, anywhere in zip(learnt, self.sum(used).tolist(), strict=True):
            if anywhere:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                self.sum(parameter.grad).div_(self.world)

    def wait(self) -> None:
        """Until all have come here."""
        if self.world > 1:
            dist.barrier()
