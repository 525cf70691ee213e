"""The embedded engine: a Qdrant Edge shard in a folder of the store's.

Its graph is built by an explicit call that lets no other thread of the process run, so `build` makes it elsewhere: in a
process of its own, from the log, into a new folder (see `onespace.store.keeper`).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onespace.errors import MissingExtra
from onespace.store.engine import Layout, Row
from onespace.store.qdrant import translate

if TYPE_CHECKING:
    import numpy as np

    from onespace.store.filters import Filter

log = logging.getLogger(__name__)

LEAST_EF = 256
"""Nodes that a search of the graph looks at, at least. The engine's own default found 94% at 100,000 rows; of 10,000
rows without structure 128 find 97.9%, and 256 find 99.5% for 0.2 ms more (``benchmarks.store``)."""


class EdgeEngine:
    """One shard."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        try:
            import qdrant_edge
        except ImportError as error:
            raise MissingExtra("an embedded store", "qdrant-edge-py", "store") from error
        self._qdrant: Any = qdrant_edge
        self.folder = folder
        self.layout = layout
        self._shard: Any = None
        if folder.exists():
            try:
                self._shard = self._qdrant.EdgeShard.load(str(folder))
            except Exception as error:  # the engine raises nothing more precise
                log.warning("%s can't be read (%s); it is built anew from the log", folder, error)
        if self._shard is None:
            self.clear()

    def upsert(self, rows: Sequence[Row]) -> None:
        """See `Engine`."""
        q = self._qdrant
        points = [q.Point(row.key, self._vectors(row), {"metadata": dict(row.metadata)}) for row in rows]
        self._shard.update(q.UpdateOperation.upsert_points(points))

    def delete(self, keys: Sequence[int]) -> None:
        """See `Engine`."""
        self._shard.update(self._qdrant.UpdateOperation.delete_points(list(keys)))

    def dense(self, vector: np.ndarray, *, k: int, filter: Filter | None = None) -> list[int]:
        """See `Engine`."""
        return self._nearest(vector.tolist(), "dense", k, filter)

    def sparse(self, terms: np.ndarray, weights: np.ndarray, *, k: int, filter: Filter | None = None) -> list[int]:
        """See `Engine`."""
        if not len(terms):
            return []
        return self._nearest(self._qdrant.SparseVector(terms.tolist(), weights.tolist()), "sparse", k, filter)

    def count(self) -> int:
        """See `Engine`."""
        return int(self._shard.count(self._qdrant.CountRequest(exact=True)))

    def clear(self) -> None:
        """See `Engine`."""
        q = self._qdrant
        if self._shard is not None:
            self._shard.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        sparse = {"sparse": q.EdgeSparseVectorParams()} if self.layout.vocab else None
        vectors = {"dense": q.EdgeVectorParams(self.layout.dense, q.Distance.Cosine)}
        self._shard = q.EdgeShard.create(str(self.folder), q.EdgeConfig(vectors, sparse))

    def flush(self) -> None:
        """See `Engine`."""
        self._shard.flush()

    def optimise(self) -> None:
        """Builds the graph. Nothing else runs in this process meanwhile."""
        self._shard.optimize()
        self._shard.flush()

    def close(self) -> None:
        """See `Engine`."""
        self._shard.close()

    def _nearest(self, query: Any, using: str, k: int, filter: Filter | None) -> list[int]:
        q = self._qdrant
        found = self._shard.query(
            q.QueryRequest(
                limit=k,
                query=q.Query.Nearest(query, using=using),
                filter=translate(filter, q, q.RangeFloat),
                params=q.SearchParams(hnsw_ef=max(LEAST_EF, k)) if using == "dense" else None,
            )
        )
        return [int(point.id) for point in found]

    def _vectors(self, row: Row) -> dict[str, Any]:
        vectors: dict[str, Any] = {"dense": row.dense.tolist()}
        if len(row.terms):
            vectors["sparse"] = self._qdrant.SparseVector(row.terms.tolist(), row.weights.tolist())
        return vectors
