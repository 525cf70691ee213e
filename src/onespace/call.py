"""The checked arguments of one encode, and what its items lost."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field

from onespace.errors import LossError
from onespace.passages import Chunking
from onespace.prepare.cells import Tiling
from onespace.types import Head, OnLoss

log = logging.getLogger("onespace")

_WHAT = {"texts": "text cut at the model's length", "pictures": "picture cropped"}


@dataclass(frozen=True)
class Call:
    """What was asked of the encoder, after it was checked."""

    heads: tuple[Head, ...]
    strict: bool
    """True when the heads were asked for by name: an item that lacks one is then an error."""
    prefix: str
    batch_size: int | None
    on_loss: OnLoss
    tiling: Tiling | None
    enlarge: float
    """Pictures more than so many times larger than the model's are tiled."""
    chunking: Chunking | None = None
    lost: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @property
    def splits(self) -> bool:
        """Whether an item may become several rows."""
        return self.tiling is not None or self.chunking is not None or self.on_loss == "chunk"

    def lose(self, kind: str, index: int, why: str) -> None:
        """Notes a loss, of "texts" or "pictures". Raises `LossError` where none is allowed."""
        if self.on_loss == "error":
            raise LossError(f"item {index} has {why}, or allow the loss with on_loss='warn'.")
        if self.on_loss != "ignore":
            self.lost[kind].append(index)

    def report(self, model: str) -> None:
        """One warning an encode, however many items lost something."""
        if not self.lost:
            return
        parts = [f"{len(items)} x {_WHAT[kind]} (first: item {min(items)})" for kind, items in self.lost.items()]
        log.warning("%s: %s. The receipts say how much; on_loss='error' refuses.", model, "; ".join(parts))
