"""A model of ours as Haystack's text embedder and document embedder.

    from onespace.integrations.haystack import OnespaceDocumentEmbedder, OnespaceTextEmbedder

    pipeline.add_component("embedder", OnespaceTextEmbedder())

Needs the extra ``haystack``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onespace.errors import InputError, MissingExtra
from onespace.integrations.named import model_named
from onespace.types import Item, Pair

try:
    from haystack import Document, component, default_from_dict, default_to_dict
except ImportError as error:
    raise MissingExtra("Haystack with onespace", "haystack-ai", "haystack") from error

if TYPE_CHECKING:
    from onespace.encoder import Encoder


class _Named:
    """What both components have: a model by its name, which a pipeline's file keeps."""

    def __init__(self, model: str | None = None) -> None:
        self.model = model

    @property
    def encoder(self) -> Encoder:
        """The model, loaded when it is first needed."""
        return model_named(self.model)

    def warm_up(self) -> None:
        """Loads the model."""
        model_named(self.model)

    def to_dict(self) -> dict[str, Any]:
        """As Haystack writes a component."""
        written: dict[str, Any] = default_to_dict(self, model=self.model)
        return written

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """As Haystack reads a component."""
        return default_from_dict(cls, data)


@component
class OnespaceTextEmbedder(_Named):
    """The dense vector of a text that asks."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> Mapping[str, Any]:
        """``{"embedding": vector}``."""
        return {"embedding": np.asarray(self.encoder.encode([text], heads="dense", role="query").dense)[0].tolist()}


@component
class OnespaceDocumentEmbedder(_Named):
    """Documents with their dense vectors: of the content, of a picture in ``blob``, or of both as a pair."""

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> Mapping[str, Any]:
        """``{"documents": documents}``, new ones; those that were given stay as they were."""
        dense = np.asarray(self.encoder.encode(items_of(documents), heads="dense").dense)
        return {"documents": [replace(one, embedding=row.tolist()) for one, row in zip(documents, dense, strict=True)]}


def items_of(documents: Sequence[Document]) -> list[Item]:
    """Documents as items. Raises `InputError` for one that has neither a text nor a picture."""
    items: list[Item] = []
    for i, one in enumerate(documents):
        image = (
            one.blob.data if one.blob is not None and (one.blob.mime_type or "image/").startswith("image/") else None
        )
        if image is None and one.content is None:
            raise InputError(f"document {i} ({one.id}) has no content and no picture in blob. Give it one of them.")
        items.append(one.content if image is None else image if not one.content else Pair(one.content, image))
    return items
