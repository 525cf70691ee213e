"""How a model is trained, as frozen data: what `onespace train --help` lists, checked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from onespace.errors import InputError
from onespace.spec import Spec
from onespace.types import HEADS, Head

Stage: TypeAlias = Literal["text-frozen", "pairs", "full"]
Loss: TypeAlias = Literal["dense", "sparse", "multi", "blend"]
Distil: TypeAlias = Literal["none", "self", "teacher", "ranked"]

LOSSES: tuple[Loss, ...] = get_args(Loss)
WHOLE_RATE, LORA_RATE = 2e-5, 2e-4
"""Learning rates where none is given: that of Visualized-BGE's published recipe, and ten times that for LoRA."""


@dataclass(frozen=True, kw_only=True)
class Mining:
    """Where hard negatives come from: things that the model ranks high for a query, though they don't answer it.

    Args:
        negatives: how many are kept for each row.
        first, last: the ranks they are taken from; the very best are often right answers that nobody marked.
        margin: none may score more than this share of what the row's own positive scores.
    """

    negatives: int = 4
    first: int = 2
    last: int = 50
    margin: float = 0.95

    def __post_init__(self) -> None:
        if not (1 <= self.first < self.last and self.negatives >= 1 and self.margin > 0):
            raise InputError(f"{self}: ranks must rise from 1, and negatives and margin must be above 0.")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that decides what a run gives. A run goes on only under the options it was begun with."""

    # what is learnt
    stage: Stage = "full"
    """``text-frozen`` trains only what pictures pass alone, so that texts keep their vectors; ``pairs`` trains all but
    the word and position tables; ``full`` trains all."""
    losses: tuple[Loss, ...] = ()
    """Heads, and their ``blend``; by default all that the model has."""
    distil: Distil = "none"
    """``self``: each head also learns from the blend; ``teacher``: from the scores in the data; ``ranked``: from these
    alone, one candidate after another."""
    distil_after: int = 0
    """Steps before ``self`` begins."""
    dims: tuple[int, ...] = ()
    """Shorter widths at which the dense vector shall work too (Matryoshka)."""
    temperature: float = 0.02
    symmetric: bool = False
    """Whether the positives also look for their queries, as in CLIP."""
    # from what
    negatives: int = 0
    """Hard negatives a query, beside those of the batch."""
    hold_out: float = 0.0
    """Share of the rows that is kept for measuring."""
    shuffle: int = 10_000
    """Rows among which the next one is drawn."""
    max_tokens: int | None = None
    """Longest text while training; by default the model's."""
    mining: Mining | None = None
    # how long, how fast
    steps: int | None = None
    epochs: float | None = None
    batch: int = 64
    """Queries a step, over all processes."""
    chunk: int | None = None
    """Items a pass; a batch that is larger is learnt from in two passes, in the memory of one chunk."""
    rate: float | None = None
    warmup: float = 0.1
    """Share of the steps in which the rate rises."""
    decay: float = 1.0
    """Share of the steps in which it falls."""
    seed: int = 0
    # with what
    lora: int = 0
    """Rank of the adapters; 0 trains the weights themselves."""
    bf16: bool = False
    checkpointing: bool = False
    """Keeps no activations inside the blocks, and computes them again."""
    # what is kept of it
    evaluate_every: int = 0
    stop_after: int = 0
    """Ends after so many evaluations in a row without a better one; 0 never does."""
    metric: str = "R@1"
    save_every: int = 100
    log_every: int = 10

    def __post_init__(self) -> None:
        choices = (("stage", get_args(Stage)), ("distil", get_args(Distil)), ("metric", ("R@1", "R@10", "MRR")))
        for name, known in choices:
            if getattr(self, name) not in known:
                raise InputError(f"{name}={getattr(self, name)!r} isn't known. Choose one of {', '.join(known)}.")
        unknown = [loss for loss in self.losses if loss not in LOSSES]
        if unknown:
            raise InputError(f"losses: {', '.join(unknown)} isn't known. Choose some of {', '.join(LOSSES)}.")
        if (self.steps is None) == (self.epochs is None):
            raise InputError("give either steps or epochs: how long to train.")
        for name in ("steps", "epochs", "batch", "chunk", "rate", "temperature", "shuffle", "save_every", "log_every"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"{name}={value!r} must be above 0.")
        for name in ("negatives", "lora", "evaluate_every", "stop_after", "distil_after"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}={getattr(self, name)!r} must be at least 0.")
        for name, most in (("hold_out", 0.9), ("warmup", 1.0), ("decay", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"{name}={getattr(self, name)!r} must be from 0 to {most}.")
        if self.distil in ("teacher", "ranked") and not self.negatives:
            raise InputError(
                f"distil={self.distil!r} compares a positive with negatives. Set negatives, for example 3."
            )
        if self.mining and self.distil in ("teacher", "ranked"):
            raise InputError("mined negatives have no teacher's scores. Leave out mining, or distil='self'.")
        if self.mining and not self.negatives:
            raise InputError("mining finds negatives. Set negatives: how many of them a query is learnt with.")
        if self.evaluate_every and not self.hold_out:
            raise InputError("evaluate_every measures on rows held out. Set hold_out, for example 0.1.")
        if self.stop_after and not self.evaluate_every:
            raise InputError("stop_after counts evaluations. Set evaluate_every too.")

    @property
    def learning_rate(self) -> float:
        """The rate, or the default for LoRA or for whole weights."""
        return self.rate or (LORA_RATE if self.lora else WHOLE_RATE)

    def losses_for(self, spec: Spec) -> tuple[Loss, ...]:
        """The losses asked for, or all that the model has heads for.

        Raises:
            InputError: a head that the model lacks, a blend of one head, or a width that it can't be cut to.
        """
        there = spec.head_names
        losses: tuple[Loss, ...] = self.losses or (*there, *(("blend",) if len(there) > 1 else ()))
        missing = [loss for loss in losses if loss in HEADS and loss not in there]
        if missing:
            raise InputError(f"losses: {spec.name} has no {', '.join(missing)} head, only {', '.join(there)}.")
        if ("blend" in losses or self.distil == "self") and len(self.heads_for(losses, there)) < 2:
            raise InputError(f"losses={','.join(losses)}: a blend, and distil='self', need two heads or more.")
        wrong = [d for d in self.dims if not 1 <= d < spec.heads.dense]
        if wrong or (self.dims and "dense" not in losses):
            raise InputError(f"dims={self.dims!r} must be below {spec.heads.dense}, and need the dense loss.")
        return losses

    @staticmethod
    def heads_for(losses: Sequence[Loss], there: Sequence[Head]) -> tuple[Head, ...]:
        """The heads that the losses need, of those that are there; a blend alone blends all.

        >>> Options.heads_for(("sparse", "blend"), ("dense", "sparse", "multi"))
        ('sparse',)
        >>> Options.heads_for(("blend",), ("dense", "sparse"))
        ('dense', 'sparse')
        """
        named = tuple(h for h in HEADS if h in losses)
        return named or tuple(there)
