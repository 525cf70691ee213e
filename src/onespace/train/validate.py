"""How well held-out queries find their answers among all held-out answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import cast

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.evaluate.metrics import judge
from onespace.evaluate.scores import METRIC
from onespace.files.records import Record
from onespace.score import BLEND, similarity
from onespace.train.data import Source, distinct
from onespace.train.options import Loss
from onespace.train.rows import key
from onespace.types import HEADS, Head, Item, Role

MOST = 1000
"""Held-out rows of a source that are measured."""
NAMES = {"R@1": "hit@1", "R@10": "hit@10", "MRR": "mrr@10"}


class Validation:
    """Held-out rows, and the metric under which they are searched: the blend where it is learnt, else one head's."""

    def __init__(self, sources: Iterable[Source], *, losses: Sequence[Loss], heads: Sequence[Head]) -> None:
        examples = [e for source in sources for e in islice(source.examples(held=True), MOST)]
        self.queries = distinct(e.query for e in examples)
        self.answers = distinct(record for e in examples for record in e.positives)
        if len(self.answers) < 2:
            raise InputError(f"{len(examples)} rows are held out, too few to measure. Raise hold_out.")
        self.loss: Loss = "blend" if "blend" in losses else losses[0]
        self.heads = heads if self.loss == "blend" else (self.loss,)
        place = {name: i for i, name in enumerate(self.answers)}
        right: dict[int, dict[int, float]] = defaultdict(dict)
        for e in examples:
            right[key(e.query)].update({place[key(record)]: 1.0 for record in e.positives})
        self.right = [right[name] for name in self.queries]

    def measure(self, encoder: Encoder) -> dict[str, float]:
        """R@1, R@10 and MRR (of the first ten); several right answers count as one that is found when any is."""
        queries = self._encode(encoder, self.queries.values(), "query")
        documents = self._encode(encoder, self.answers.values(), "document")
        dense, sparse, multi = (w * (h in self.heads) for h, w in zip(HEADS, BLEND, strict=True))
        scores = similarity(queries, documents, metric=METRIC[self.loss], weights=(dense, sparse, multi))
        found = judge(scores, self.right, k=(1, 10))
        return {name: round(float(found[theirs].mean()), 6) for name, theirs in NAMES.items()}

    def _encode(self, encoder: Encoder, records: Iterable[Record], role: Role) -> Embeddings:
        items = [cast(Item, record.item) for record in records]
        return encoder.encode(items, heads=self.heads, role=role, on_loss="ignore")
