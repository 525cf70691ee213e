"""A model of ours as LangChain's embeddings, and a store of ours as its vector store.

    from onespace.integrations.langchain import OnespaceEmbeddings, OnespaceVectorStore

    with onespace.Store.open("pictures.db", onespace.load()) as store:
        found = OnespaceVectorStore(store).as_retriever().invoke("a whale")

Needs the extra ``langchain``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onespace.embeddings import Embeddings as Rows
from onespace.errors import InputError, MissingExtra
from onespace.store import Found, Reference, SearchOptions, Store, StoreOptions
from onespace.types import Image, ImageLike, Item, Pair, Role

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import VectorStore
    from langchain_core.vectorstores.utils import maximal_marginal_relevance
except ImportError as error:
    raise MissingExtra("LangChain with onespace", "langchain-core", "langchain") from error

if TYPE_CHECKING:
    from onespace.encoder import Encoder


class OnespaceEmbeddings(Embeddings):
    """An `Encoder` as LangChain's ``Embeddings``, with pictures and pairs beside texts: dense vectors, as lists."""

    def __init__(self, model: Encoder) -> None:
        self.model = model

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of texts that are to be found."""
        return self._dense(list(texts), "document")

    def embed_query(self, text: str) -> list[float]:
        """The vector of a text that asks."""
        return self._dense([text], "query")[0]

    def embed_images(self, images: Sequence[str | ImageLike]) -> list[list[float]]:
        """Vectors of pictures; a ``str`` is the path of one here, or a data URI."""
        return self._dense([picture(image) for image in images], "document")

    def embed_pairs(self, pairs: Sequence[Pair]) -> list[list[float]]:
        """Vectors of texts with their pictures, one for each pair."""
        return self._dense(list(pairs), "document")

    def _dense(self, items: Sequence[Item], role: Role) -> list[list[float]]:
        rows: list[list[float]] = np.asarray(self.model.encode(items, heads="dense", role=role).dense).tolist()
        return rows


class OnespaceVectorStore(VectorStore):
    """An open `Store` as LangChain's ``VectorStore``: texts, pictures and pairs, searched by all that the store keeps.

    A document's content is the item's text, empty for a picture alone. Of pictures the metadata also tells
    ``modality`` and ``pictures`` (their paths), and of parts ``box`` or ``span``. The store stays yours to close.
    """

    def __init__(self, store: Store, *, options: SearchOptions | None = None) -> None:
        self.store = store
        self.options = options

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        embedding: Embeddings,
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        target: str | Path,
        options: StoreOptions | None = None,
    ) -> OnespaceVectorStore:
        """Opens or makes the store at ``target`` (see `Store.open`) and adds the texts.

        Raises:
            InputError: ``embedding`` isn't an `OnespaceEmbeddings`: a store keeps more than another one gives.
        """
        if not isinstance(embedding, OnespaceEmbeddings):
            raise InputError(f"embedding is {type(embedding).__name__}; pass OnespaceEmbeddings(onespace.load()).")
        made = cls(Store.open(target, embedding.model, options=options))
        try:
            made.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            made.store.close()
            raise
        return made

    @property
    def embeddings(self) -> OnespaceEmbeddings:
        """Of the store's model."""
        return OnespaceEmbeddings(self.store.model)

    # -- changing ----------------------------------------------------------------------------------------------------

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Adds texts, each in place of the one with its id; an id that isn't given is a digest of the text."""
        several = list(texts)
        if ids is not None and len(ids) == len(several):
            ids = [id or Reference("text", text).content for id, text in zip(ids, several, strict=True)]
        return self._add(several, metadatas, ids)

    def add_images(
        self,
        images: Sequence[str | ImageLike],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        texts: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
    ) -> list[str]:
        """Adds pictures (a ``str`` is the path of one), or with ``texts`` pairs of a text and a picture."""
        pictures = [picture(image) for image in images]
        if texts is None:
            return self._add(pictures, metadatas, ids)
        if len(texts) != len(pictures):
            raise InputError(f"there are {len(pictures)} pictures and {len(texts)} texts. Give each picture one.")
        return self._add([Pair(text, one) for text, one in zip(texts, pictures, strict=True)], metadatas, ids)

    def _add(
        self,
        items: Sequence[Item],
        metadatas: Sequence[Mapping[str, Any]] | None,
        ids: Sequence[str | None] | None,
    ) -> list[str]:
        return [str(id) for id in self.store.add(items, ids=ids, metadata=metadatas)]  # type: ignore[arg-type]

    def delete(self, ids: Sequence[str] | None = None) -> bool:
        """Takes items away, durably. Raises `InputError` where no ids are given: everything isn't meant."""
        if ids is None:
            raise InputError("ids is None; name the items to delete.")
        self.store.delete(ids)
        return True

    # -- reading -----------------------------------------------------------------------------------------------------

    def get_by_ids(self, ids: Sequence[str]) -> list[Document]:
        """Those of the items that are there, in the order of their ids."""
        return [_document(one.id, one.reference, one.metadata) for one in self.store.get(ids) if one is not None]

    def similarity_search(self, query: Item, k: int = 4, *, filter: Mapping[str, Any] | None = None) -> list[Document]:
        """The nearest items to a text, a picture or a pair; ``filter`` is that of `Store.search`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter=filter)]

    def similarity_search_with_score(
        self, query: Item, k: int = 4, *, filter: Mapping[str, Any] | None = None
    ) -> list[tuple[Document, float]]:
        """The same with scores, of which the highest is the best."""
        return [(_found(hit), hit.score) for hit in self.store.search(query, k=k, filter=filter, options=self.options)]

    def similarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, *, filter: Mapping[str, Any] | None = None
    ) -> list[Document]:
        """The nearest items to a dense vector, by cosine. Raises `InputError` for one of another length."""
        shape = self.store.shape
        if len(embedding) != shape.dense:
            raise InputError(f"the vector has {len(embedding)} numbers; those of {shape.model} have {shape.dense}.")
        asked = Rows(("text",), dense=np.asarray([embedding], np.float32), model=shape.model)
        cosine = replace(self.options or SearchOptions(), metric="cosine", weights=None, fair=False)
        return [_found(hit) for hit in self.store.search_encoded(asked, k=k, filter=filter, options=cosine)[0]]

    def max_marginal_relevance_search(
        self,
        query: Item,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Mapping[str, Any] | None = None,
    ) -> list[Document]:
        """Of the ``fetch_k`` nearest items k that differ from each other, by their dense vectors."""
        asked = self.store.model.encode([query], role="query")
        hits = self.store.search_encoded(asked, k=max(k, fetch_k), filter=filter, options=self.options)[0]
        kept = self.store.vectors([hit.id for hit in hits])
        assert asked.dense is not None
        assert kept.dense is not None
        whole = kept.dense[[int(kept.rows(i)[0]) for i in range(len(hits))]]
        chosen = maximal_marginal_relevance(asked.dense[0], whole, lambda_mult=lambda_mult, k=k)
        return [_found(hits[i]) for i in chosen]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda score: min(1.0, max(0.0, score))


def picture(image: str | ImageLike) -> ImageLike:
    """A picture, where a ``str`` can't be a text.

    >>> picture("whale.png")
    Image(source='whale.png', allow_remote=False)
    """
    return Image(image) if isinstance(image, str) else image


def _found(hit: Found) -> Document:
    whole = hit.kind == "whole"
    places = {"box": None if whole else hit.box, "span": None if whole else hit.span}
    return _document(hit.id, hit.reference, {**{k: list(v) for k, v in places.items() if v}, **hit.metadata})


def _document(id: str | int, reference: Reference, metadata: Mapping[str, Any]) -> Document:
    told: dict[str, Any] = {}
    if reference.pictures:
        told = {"modality": reference.modality, "pictures": [one.path for one in reference.pictures if one.path]}
    return Document(id=str(id), page_content=reference.text, metadata={**told, **metadata})
