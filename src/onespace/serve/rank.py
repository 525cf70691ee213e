"""Documents in the order of their scores for one query, as the rerank routes of all dialects ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onespace.score import similarity
from onespace.serve.batcher import Ask
from onespace.serve.pictures import Raw
from onespace.serve.service import Service
from onespace.serve.usage import Usage
from onespace.types import HEADS


@dataclass(frozen=True)
class Ranked:
    """Numbers of documents, the best first, and their scores: a blend of all the heads that the model has."""

    order: list[int]
    scores: list[float]
    usage: Usage

    @property
    def relevance(self) -> list[float]:
        """The scores between 0 and 1, in the same order."""
        return [1 / (1 + float(np.exp(-score))) for score in self.scores]


async def rank(
    service: Service, query: str, documents: Sequence[Raw], *, top: int | None, truncate: bool = True
) -> Ranked:
    """Scores documents, pictures and pairs too, against a query."""
    on_loss = "ignore" if truncate else "error"
    asked = await service.encode([Raw(query)], Ask(None, "query", on_loss))  # type: ignore[arg-type]
    met = await service.encode(documents, Ask(None, "document", on_loss))  # type: ignore[arg-type]
    metric = "blend" if asked.whole.heads == HEADS else "cosine"
    scores = await service.run(lambda: similarity(asked.whole, met.whole, metric=metric)[0])  # type: ignore[arg-type]
    order = np.argsort(-scores, kind="stable")[:top].tolist()
    return Ranked(order, [float(scores[i]) for i in order], asked.usage + met.usage)
