"""A model of ours in LanceDB's registry of embedding functions, under the name ``onespace``.

    from lancedb.embeddings import get_registry
    import onespace.integrations.lancedb  # puts it there

    function = get_registry().get("onespace").create()

Needs the extra ``lancedb``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onespace.errors import MissingExtra
from onespace.integrations.named import model_named
from onespace.types import Image, Item, Role

try:
    from lancedb.embeddings import EmbeddingFunction, register
except ImportError as error:
    raise MissingExtra("LanceDB with onespace", "lancedb", "lancedb") from error


@register("onespace")
class OnespaceFunction(EmbeddingFunction):
    """Vectors of a column of texts or pictures, and of queries of either kind.

    A table remembers the name and the kind of its columns, so that it is opened again with the same model; import this
    module before.
    """

    name: str | None = None
    """What `onespace.load` takes: a folder or a name; None for the shipped model."""
    images: bool = False
    """Whether a text in the column is a picture's path or data URI; bytes always are a picture."""
    max_retries: int = 0  # what fails here fails again

    def ndims(self) -> int:
        """D, the width of the vectors."""
        return model_named(self.name).spec.heads.dense

    def compute_source_embeddings(self, values: Any) -> list[np.ndarray]:
        """A vector for each value of the column."""
        several = self.sanitize_input([values] if isinstance(values, bytes) else values)
        return self._dense([Image(one) if self.images and isinstance(one, str) else one for one in several], "document")

    def compute_query_embeddings(self, query: Item) -> list[np.ndarray]:
        """The vector of a text, a picture or a pair that asks."""
        return self._dense([query], "query")

    def _dense(self, items: list[Any], role: Role) -> list[np.ndarray]:
        return list(np.asarray(model_named(self.name).encode(items, heads="dense", role=role).dense))
