"""A Milvus cluster, or a Milvus Lite file: the same calls of the same client.

Multi-vectors stay in the log: Lite takes a field of them and drops it in silence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onespace.errors import MissingExtra
from onespace.store.engine import Layout, Row, Scalar
from onespace.store.filters import OPERATORS, Condition, Filter, kind_of
from onespace.store.qdrant import BATCH, Cluster

if TYPE_CHECKING:
    import numpy as np

ABSENT = 1e-9
"""Weight of the one term, beyond the vocabulary, that a row without terms gets: Milvus takes no empty row."""


class MilvusEngine:
    """One collection; searches see every write that returned before."""

    def __init__(self, cluster: Cluster, layout: Layout) -> None:
        try:
            from pymilvus import DataType, MilvusClient
        except ImportError as error:
            raise MissingExtra("a store in Milvus", "pymilvus and milvus-lite", "milvus") from error
        self._type: Any = DataType
        self.cluster = cluster
        self.layout = layout
        address = cluster.host
        if cluster.port is not None:
            address = f"{'https' if cluster.secure else 'http'}://{cluster.host}:{cluster.port}"
        self._client: Any = MilvusClient(address, token=cluster.api_key or "")
        if not self._client.has_collection(cluster.collection):
            self._create()
        self._client.load_collection(cluster.collection)

    def upsert(self, rows: Sequence[Row]) -> None:
        """See `Engine`."""
        for start in range(0, len(rows), BATCH):
            self._client.upsert(self.cluster.collection, [self._values(row) for row in rows[start : start + BATCH]])

    def delete(self, keys: Sequence[int]) -> None:
        """See `Engine`."""
        self._client.delete(self.cluster.collection, ids=list(keys))

    def dense(self, vector: np.ndarray, *, k: int, filter: Filter | None = None) -> list[int]:
        """See `Engine`."""
        return self._nearest(vector.tolist(), "dense", k, filter)

    def sparse(self, terms: np.ndarray, weights: np.ndarray, *, k: int, filter: Filter | None = None) -> list[int]:
        """See `Engine`."""
        if not len(terms):
            return []
        return self._nearest(dict(zip(terms.tolist(), weights.tolist(), strict=True)), "sparse", k, filter)

    def count(self) -> int:
        """See `Engine`."""
        found = self._client.query(
            self.cluster.collection, filter="", output_fields=["count(*)"], consistency_level="Strong"
        )
        return int(found[0]["count(*)"])

    def clear(self) -> None:
        """See `Engine`."""
        self._client.drop_collection(self.cluster.collection)
        self._create()
        self._client.load_collection(self.cluster.collection)

    def flush(self) -> None:
        """See `Engine`."""
        self._client.flush(self.cluster.collection)

    def close(self) -> None:
        """See `Engine`."""
        self._client.close()

    def _create(self) -> None:
        client, kind = self._client, self._type
        schema, index = client.create_schema(auto_id=False, enable_dynamic_field=False), client.prepare_index_params()
        schema.add_field("key", kind.INT64, is_primary=True)
        schema.add_field("metadata", kind.JSON)
        schema.add_field("dense", kind.FLOAT_VECTOR, dim=self.layout.dense)
        index.add_index("dense", index_type="AUTOINDEX", metric_type="COSINE")
        if self.layout.vocab:
            schema.add_field("sparse", kind.SPARSE_FLOAT_VECTOR)
            index.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        spread = {"num_shards": self.cluster.shards} if self.cluster.shards else {}
        client.create_collection(self.cluster.collection, schema=schema, index_params=index, **spread)

    def _nearest(self, query: Any, using: str, k: int, filter: Filter | None) -> list[int]:
        found = self._client.search(
            self.cluster.collection,
            [query],
            anns_field=using,
            limit=k,
            filter=translate(filter),
            consistency_level="Strong",
        )
        return [int(hit["key"]) for hit in found[0]]

    def _values(self, row: Row) -> dict[str, Any]:
        values: dict[str, Any] = {"key": row.key, "dense": row.dense.tolist(), "metadata": _spread(row)}
        if self.layout.vocab:
            terms = dict(zip(row.terms.tolist(), row.weights.tolist(), strict=True))
            values["sparse"] = terms or {self.layout.vocab: ABSENT}
        return values


def translate(filter: Filter | None) -> str:
    """A filter in Milvus's words, but for bounds that are texts: the log sees to these.

    >>> translate(Filter.of({"kind": "logo", "year": {"gte": 2020}}))
    '(json_contains(metadata["=kind"], "logo")) and (metadata[">year"] >= 2020)'
    """
    return " and ".join(f"({some})" for c in (filter.conditions if filter else ()) if (some := _test(c)))


def _spread(row: Row) -> dict[str, Scalar | list[Scalar]]:
    """Metadata as the expressions of `translate` read it: ``=name`` has all the values, ``<name`` and ``>name`` the
    least and the greatest number among them.
    """
    spread: dict[str, Scalar | list[Scalar]] = {}
    for name, value in row.metadata.items():
        values = value if isinstance(value, list) else [value]
        spread[f"={name}"] = values
        numbers = [float(one) for one in values if kind_of(one) == "number"]
        if numbers:
            spread |= {f"<{name}": min(numbers), f">{name}": max(numbers)}
    return spread


def _test(condition: Condition) -> str:
    name = condition.name
    if condition.bounds:
        if any(isinstance(limit, str) for limit in condition.bounds.values()):
            return ""
        return " and ".join(
            f'metadata["{">" if bound[0] == "g" else "<"}{name}"] {OPERATORS[bound]} {limit}'
            for bound, limit in condition.bounds.items()
        )
    return " or ".join(
        f'(metadata["<{name}"] <= {value} and metadata[">{name}"] >= {value})'
        if kind_of(value) == "number"
        else f'json_contains(metadata["={name}"], {json.dumps(value, ensure_ascii=False)})'
        for value in condition.values
    )
