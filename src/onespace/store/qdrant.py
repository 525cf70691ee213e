"""A Qdrant server or cluster, through its own client; also the filters that it shares with the embedded engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onespace.errors import MissingExtra
from onespace.store.engine import Layout, Row
from onespace.store.filters import Condition, Filter, kind_of

if TYPE_CHECKING:
    import numpy as np

MEMORY = ":memory:"
GRPC = 6334
"""The port at which Qdrant speaks gRPC; at any other it is taken to speak REST."""
BATCH = 256


@dataclass(frozen=True)
class Cluster:
    """Where a collection lies, and how it is spread when it is made: by default as the server likes."""

    host: str
    port: int | None
    collection: str
    secure: bool = False
    api_key: str | None = None
    shards: int | None = None
    replicas: int | None = None


class QdrantEngine:
    """One collection; a write returns when the cluster has applied it."""

    def __init__(self, cluster: Cluster, layout: Layout) -> None:
        try:
            from qdrant_client import QdrantClient, models
        except ImportError as error:
            raise MissingExtra("a store in Qdrant", "qdrant-client", "qdrant") from error
        self._models: Any = models
        self.cluster = cluster
        self.layout = layout
        if cluster.host == MEMORY:
            self._client: Any = QdrantClient(MEMORY)
        else:
            grpc = cluster.port == GRPC
            self._client = QdrantClient(
                host=cluster.host,
                port=6333 if grpc else cluster.port or 6333,
                prefer_grpc=grpc,
                https=cluster.secure,
                api_key=cluster.api_key,
                check_compatibility=False,  # it warns from a thread; a server that isn't there fails the first call
            )
        if not self._client.collection_exists(cluster.collection):
            self._create()

    def upsert(self, rows: Sequence[Row]) -> None:
        """See `Engine`."""
        m = self._models
        for start in range(0, len(rows), BATCH):
            points = [
                m.PointStruct(id=row.key, vector=self._vectors(row), payload={"metadata": dict(row.metadata)})
                for row in rows[start : start + BATCH]
            ]
            self._client.upsert(self.cluster.collection, points, wait=True)

    def delete(self, keys: Sequence[int]) -> None:
        """See `Engine`."""
        points = self._models.PointIdsList(points=list(keys))
        self._client.delete(self.cluster.collection, points_selector=points, wait=True)

    def dense(self, vector: np.ndarray, *, k: int, filter: Filter | None = None) -> list[int]:
        """See `Engine`."""
        return self._nearest(vector.tolist(), "dense", k, filter)

    def sparse(self, terms: np.ndarray, weights: np.ndarray, *, k: int, filter: Filter | None = None) -> list[int]:
        """See `Engine`."""
        if not len(terms):
            return []
        query = self._models.SparseVector(indices=terms.tolist(), values=weights.tolist())
        return self._nearest(query, "sparse", k, filter)

    def count(self) -> int:
        """See `Engine`."""
        return int(self._client.count(self.cluster.collection, exact=True).count)

    def clear(self) -> None:
        """See `Engine`."""
        self._client.delete_collection(self.cluster.collection)
        self._create()

    def flush(self) -> None:
        """Nothing to do: each write was waited for."""

    def close(self) -> None:
        """See `Engine`."""
        self._client.close()

    def _create(self) -> None:
        m, cluster = self._models, self.cluster
        self._client.create_collection(
            cluster.collection,
            vectors_config={"dense": m.VectorParams(size=self.layout.dense, distance=m.Distance.COSINE)},
            sparse_vectors_config={"sparse": m.SparseVectorParams()} if self.layout.vocab else None,
            shard_number=cluster.shards,
            replication_factor=cluster.replicas,
        )

    def _nearest(self, query: Any, using: str, k: int, filter: Filter | None) -> list[int]:
        found = self._client.query_points(
            self.cluster.collection,
            query=query,
            using=using,
            limit=k,
            query_filter=translate(filter, self._models, self._models.Range),
            with_payload=False,
        )
        return [int(point.id) for point in found.points]

    def _vectors(self, row: Row) -> dict[str, Any]:
        vectors: dict[str, Any] = {"dense": row.dense.tolist()}
        if len(row.terms):
            vectors["sparse"] = self._models.SparseVector(indices=row.terms.tolist(), values=row.weights.tolist())
        return vectors


def translate(filter: Filter | None, models: Any, range: Callable[..., Any]) -> Any:
    """A filter in Qdrant's words, but for bounds that are texts: the log sees to these."""
    if filter is None:
        return None
    must = [models.Filter(should=some) for c in filter.conditions if (some := _tests(c, models, range))]
    return models.Filter(must=must) if must else None


def _tests(condition: Condition, models: Any, range: Callable[..., Any]) -> list[Any]:
    """Any of these must hold. Numbers are compared by bounds, so that 3 fits 3.0."""
    key = f'metadata."{condition.name}"'
    if condition.bounds:
        if any(isinstance(limit, str) for limit in condition.bounds.values()):
            return []
        return [
            models.FieldCondition(
                key=key, range=range(**{str(bound): limit for bound, limit in condition.bounds.items()})
            )
        ]
    return [
        models.FieldCondition(key=key, range=range(gte=value, lte=value))
        if kind_of(value) == "number"
        else models.FieldCondition(key=key, match=models.MatchValue(value=value))
        for value in condition.values
    ]
