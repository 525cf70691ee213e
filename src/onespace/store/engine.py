"""What a store asks of a vector engine: little, so that any of them can stand behind it.

An engine proposes candidates; it keeps nothing that the log hasn't. Its rows are numbered by the log's keys, which are
never used twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    from onespace.store.filters import Filter

Scalar: TypeAlias = str | int | float | bool
Metadata: TypeAlias = Mapping[str, Scalar | list[Scalar]]


@dataclass(frozen=True)
class Layout:
    """What the rows of a collection hold: D numbers, and terms of a vocabulary (0: no terms)."""

    dense: int
    vocab: int


@dataclass(frozen=True, eq=False)
class Row:
    """One row as an engine gets it: dense (D,) float32, terms (n,) int32 with their weights (n,) float32."""

    key: int
    dense: np.ndarray
    terms: np.ndarray
    weights: np.ndarray
    metadata: Metadata


class Engine(Protocol):
    """A collection of rows. Every change may be repeated: rows of known keys are replaced, unknown ones ignored."""

    def upsert(self, rows: Sequence[Row]) -> None:
        """Writes rows."""
        ...

    def delete(self, keys: Sequence[int]) -> None:
        """Takes rows away."""
        ...

    def dense(self, vector: np.ndarray, *, k: int, filter: Filter | None = None) -> list[int]:
        """Keys of about the k largest dot products, the largest first; a filter may let too many rows through."""
        ...

    def sparse(self, terms: np.ndarray, weights: np.ndarray, *, k: int, filter: Filter | None = None) -> list[int]:
        """The same for terms; rows without a common term needn't be there."""
        ...

    def count(self) -> int:
        """Number of rows, exactly."""
        ...

    def clear(self) -> None:
        """Starts anew with no row, whatever state the collection is in."""
        ...

    def flush(self) -> None:
        """Makes what was written outlast the machine."""
        ...

    def close(self) -> None:
        """Lets go of files and connections."""
        ...
