"""Hard negatives: what the model ranks high for a query, though it isn't among the query's answers.

The search is exact, over all answers and negatives of the data. The highest ranks are left out, and what scores nearly
as high as the row's own answer, because these are often right answers that nobody marked.
"""

from __future__ import annotations

import logging
import os
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.files.records import Record
from onespace.search import rank
from onespace.train.data import Source, distinct
from onespace.train.options import Mining
from onespace.train.rows import Example, key
from onespace.types import Item, Role

WINDOW = 1024
"""Queries that are searched at once."""

logger = logging.getLogger("onespace.train")


def mine(encoder: Encoder, source: Source, target: Path, *, mining: Mining, seed: int = 0) -> int:
    """Writes the rows of a source that are learnt from, with negatives added, as JSON lines; whole or not at all.

    A row keeps the negatives that it had. Returns how many were added.
    """
    examples = list(source.examples())
    answers = distinct(record for e in examples for record in (*e.positives, *e.negatives))
    known: dict[int, set[int]] = defaultdict(set)
    for e in examples:
        known[key(e.query)] |= {key(r) for r in (*e.positives, *e.negatives)}
    documents = _dense(encoder, list(answers.values()), "document")
    chance, added = random.Random(seed), 0
    unfinished = target.with_name(target.name + ".part")
    with unfinished.open("w", encoding="utf-8") as file:
        for start in range(0, len(examples), WINDOW):
            some = examples[start : start + WINDOW]
            for e, found in zip(some, _near(encoder, some, documents, answers, mining), strict=True):
                new = [r for r in found if key(r) not in known[key(e.query)]]
                new = chance.sample(new, min(mining.negatives, len(new)))
                added += len(new)
                file.write(replace(e, negatives=(*e.negatives, *new)).to_json() + "\n")
    os.replace(unfinished, target)
    logger.info("%s: %d hard negatives for %d rows", target, added, len(examples))
    return added


def _near(
    encoder: Encoder, examples: Sequence[Example], documents: Embeddings, answers: dict[int, Record], mining: Mining
) -> Iterator[list[Record]]:
    """What stands in the asked ranks of each query, and isn't too near."""
    queries = _dense(encoder, [e.query for e in examples], "query")
    assert queries.dense is not None
    assert documents.dense is not None
    row = {k: i for i, k in enumerate(answers)}
    records = list(answers.values())
    for example, vector, hits in zip(examples, queries.dense, rank(queries, documents, k=mining.last), strict=True):
        own = documents.dense[[row[key(r)] for r in example.positives]]
        most = mining.margin * float(np.max(own @ vector))
        yield [records[hit.item] for hit in hits[mining.first - 1 :] if hit.score <= most]


def _dense(encoder: Encoder, records: Sequence[Record], role: Role) -> Embeddings:
    items = [cast(Item, record.item) for record in records]
    return encoder.encode(items, heads=("dense",), role=role, on_loss="ignore")
