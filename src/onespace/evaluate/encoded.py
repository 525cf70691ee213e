"""Items as vectors, once for all tasks that share them, and without those that can't be encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from onespace.embeddings import Embeddings
from onespace.errors import InputError, KindError
from onespace.evaluate.scores import Way, retrieval_values, ways
from onespace.evaluate.tasks import Retrieval, kind_of
from onespace.files.salvage import Salvage, salvage
from onespace.types import Head, Item, Modality, OnLoss, Pair, Role

if TYPE_CHECKING:
    from onespace.encoder import Encoder


class Encoded:
    """Items as vectors: a list that several tasks share is encoded once."""

    def __init__(self, model: Encoder, heads: Sequence[Head] | None = None, on_loss: OnLoss = "warn") -> None:
        self.model = model
        self.heads = heads
        self.on_loss: OnLoss = on_loss
        model.encode([], heads=heads, on_loss=on_loss)  # refuses what can't be asked for
        self.broken: list[tuple[str, str]] = []
        self._done: dict[tuple[Role, OnLoss, int], tuple[Sequence[Item], Salvage]] = {}

    def of(self, items: Sequence[Item], role: Role, *, names: Sequence[str] = (), split: bool = False) -> Salvage:
        """Encodes what can be encoded: a row an item, or with ``split`` as many as ``on_loss`` makes of it."""
        spec = self.model.spec
        if spec.query_prefix == spec.document_prefix or not any(isinstance(item, (str, Pair)) for item in items):
            role = "document"  # a prefix is all that the two differ by
        on_loss: OnLoss = "warn" if self.on_loss in ("chunk", "tile") and not split else self.on_loss
        key = (role, on_loss, id(items))
        if key not in self._done:
            saved = salvage(self.model, items, heads=self.heads, role=role, on_loss=on_loss)
            self.broken += [(names[b.index] if names else f"{role} {b.index}", b.reason) for b in saved.broken]
            self._done[key] = (items, saved)  # the list is kept, so that its id stays its own
        saved = self._done[key][1]
        if split or saved.embeddings.parts is None:
            return saved
        first = np.unique(saved.embeddings.parts.owner, return_index=True)[1]
        return replace(saved, embeddings=replace(saved.embeddings[first], parts=None))

    def ways(self, *lists: Sequence[Item]) -> tuple[Way, ...]:
        """How items of these lists can be compared. Raises `KindError` when there is no way."""
        kinds: set[Modality] = {kind_of(item) for items in lists for item in items}
        found = ways(self.model.spec, kinds, heads=self.heads)
        if not found:
            takes = " and ".join(self.model.spec.modalities)
            raise KindError(
                f"{self.model.spec.name} takes {takes} with {', '.join(self.heads or self.model.spec.head_names)}; "
                f"here are items of kind {', '.join(sorted(kinds))}. Choose another model, other heads, or other data."
            )
        return found

    def judge(self, task: Retrieval, *, k: Sequence[int]) -> tuple[Retrieval, dict[Way, dict[str, np.ndarray]]]:
        """What of the task could be encoded, and every measure of every way on it, a value a query.

        Raises:
            KindError: a kind of item that the model doesn't take.
            InputError: nothing of the task could be encoded.
        """
        found = self.ways(task.documents, task.queries)
        documents = self.of(task.documents, "document", names=task.names[0], split=True)
        queries = self.of(task.queries, "query", names=task.names[1])
        there = set(documents.kept)
        rows = [row for row, q in enumerate(queries.kept) if there & task.answers[q].keys()]
        if not rows:
            raise InputError(f"{task.name}: no query is left. {': '.join(self.broken[0]) if self.broken else ''}")
        kept = task.only(documents.kept, [queries.kept[row] for row in rows])
        asked = queries.embeddings if len(rows) == len(queries.kept) else queries.embeddings[rows]
        return kept, {way: retrieval_values(asked, documents.embeddings, kept, way=way, k=k) for way in found}


def both(first: Salvage, second: Salvage) -> tuple[list[int], Embeddings, Embeddings]:
    """The places at which neither of two lists of one length is broken, and the rows of these."""
    kept = sorted({*first.kept} & {*second.kept})
    a, b = (np.searchsorted(some.kept, kept) for some in (first, second))  # both ascend
    return kept, first.embeddings[a], second.embeddings[b]
