"""A model of ours as LlamaIndex's multi-modal embedding.

    from llama_index.core import Settings
    from onespace.integrations.llama_index import OnespaceEmbedding

    Settings.embed_model = OnespaceEmbedding(onespace.load())

Needs the extra ``llama-index``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from onespace.errors import MissingExtra
from onespace.types import Image, ImageLike, Item, Role

try:
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.embeddings import MultiModalEmbedding
except ImportError as error:
    raise MissingExtra("LlamaIndex with onespace", "llama-index-core", "llama-index") from error

if TYPE_CHECKING:
    from onespace.encoder import Encoder

BATCH = 256
"""Items that LlamaIndex hands over together; the encoder cuts its own batches of them."""


class OnespaceEmbedding(MultiModalEmbedding):
    """An `Encoder` as LlamaIndex's ``MultiModalEmbedding``: texts, queries and pictures (a path, a data URI, a file).

    Encoding runs in a thread where it is awaited.
    """

    _model: Any = PrivateAttr()

    def __init__(self, model: Encoder, *, embed_batch_size: int = BATCH) -> None:
        super().__init__(model_name=model.spec.name, embed_batch_size=embed_batch_size)
        self._model = model

    @classmethod
    def class_name(cls) -> str:
        """As LlamaIndex names it."""
        return "OnespaceEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._dense([query], "query")[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._dense([text])[0]

    def _get_text_embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        return self._dense(list(texts))

    def _get_image_embedding(self, img_file_path: str | BytesIO) -> list[float]:
        return self._dense([_picture(img_file_path)])[0]

    def _get_image_embeddings(self, img_file_paths: Sequence[str | BytesIO]) -> list[list[float]]:
        return self._dense([_picture(one) for one in img_file_paths])

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: Sequence[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    async def _aget_image_embedding(self, img_file_path: str | BytesIO) -> list[float]:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)

    async def _aget_image_embeddings(self, img_file_paths: Sequence[str | BytesIO]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_image_embeddings, img_file_paths)

    def _dense(self, items: Sequence[Item], role: Role = "document") -> list[list[float]]:
        rows: list[list[float]] = np.asarray(self._model.encode(items, heads="dense", role=role).dense).tolist()
        return rows


def _picture(file: str | BytesIO) -> ImageLike:
    return file.getvalue() if isinstance(file, BytesIO) else Image(file)
