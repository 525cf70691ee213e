"""LangChain's own classes over ours: the vectors are the library's, the store finds what it finds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.families import bge
from onespace.store import SearchOptions, Store, StoreOptions
from onespace.types import Pair

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from onespace.integrations.langchain import OnespaceEmbeddings, OnespaceVectorStore

TEXTS = ["a whale swims in the sea", "the red dragon flies", "house by the lake"]


@pytest.fixture
def store(tiny_encoder: Encoder, tmp_path: Path) -> Iterator[OnespaceVectorStore]:
    with Store.open(tmp_path / "s.db", tiny_encoder, options=StoreOptions(build=False)) as opened:
        yield OnespaceVectorStore(opened)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "red.png"
    PILImage.new("RGB", (40, 30), "red").save(path)
    return path


def test_vectors_are_the_librarys(tiny_encoder: Encoder, file: Path) -> None:
    model = OnespaceEmbeddings(tiny_encoder)
    assert isinstance(model, Embeddings)

    def right(items: list[Any], role: Any = "document") -> np.ndarray:
        return np.asarray(tiny_encoder.encode(items, role=role).dense)

    assert np.allclose(model.embed_documents(TEXTS), right(TEXTS), atol=1e-6)
    assert np.allclose(model.embed_query("sea"), right(["sea"], "query")[0], atol=1e-6)
    assert np.allclose(model.embed_images([str(file), file.read_bytes()]), right([file, file]), atol=1e-6)
    assert np.allclose(model.embed_pairs([Pair("sea", file)]), right([Pair("sea", file)]), atol=1e-6)
    assert np.allclose(asyncio.run(model.aembed_documents(TEXTS)), right(TEXTS), atol=1e-6)
    assert model.embed_documents([]) == []


def test_queries_and_documents_are_marked() -> None:
    encoder = bge.tiny()  # has a prefix for each
    model = OnespaceEmbeddings(encoder)
    for found, role in ((model.embed_query("a"), "query"), (model.embed_documents(["a"])[0], "document")):
        assert np.allclose(found, np.asarray(encoder.encode(["a"], role=role).dense)[0], atol=1e-6)  # type: ignore[arg-type]


def test_texts_are_kept_found_and_deleted(store: OnespaceVectorStore) -> None:
    ids = store.add_documents(
        [Document(page_content=TEXTS[0], metadata={"year": 2020}, id="w"), Document(page_content=TEXTS[1])]
    )
    assert ids[0] == "w"
    assert len(ids[1]) == 32
    again = store.add_texts([TEXTS[1]], [{"year": 1900}])
    assert again == [ids[1]], "the same text is kept once"
    found = store.similarity_search("sea", k=2)
    assert {one.id for one in found} == set(ids)
    assert store.similarity_search("sea", k=5, filter={"year": {"gte": 2000}}) == [
        Document(id="w", page_content=TEXTS[0], metadata={"year": 2020})
    ]
    assert store.get_by_ids(["w", "nothing"]) == [Document(id="w", page_content=TEXTS[0], metadata={"year": 2020})]
    assert store.delete(["w"])
    assert store.get_by_ids(["w"]) == []
    with pytest.raises(InputError, match="name the items"):
        store.delete()
    with pytest.raises(InputError, match="2 items and 1 ids"):
        store.add_texts(TEXTS[:2], ids=["only"])


def test_scores_and_their_order_are_the_stores(store: OnespaceVectorStore) -> None:
    store.add_texts(TEXTS, ids=["a", "b", "c"])
    told = [(d.id, score) for d, score in store.similarity_search_with_score("the red house", k=3)]
    assert told == [(hit.id, hit.score) for hit in store.store.search("the red house", k=3)]
    relevance = store.similarity_search_with_relevance_scores("the red house", k=3)
    assert all(0 <= score <= 1 for _, score in relevance)
    vector = store.embeddings.embed_query("the red house")
    by_vector = [d.id for d in store.similarity_search_by_vector(vector, k=3)]
    cosine = store.store.search("the red house", k=3, options=SearchOptions(metric="cosine"))
    assert by_vector == [hit.id for hit in cosine]
    with pytest.raises(InputError, match="has 3 numbers; those of tiny have 32"):
        store.similarity_search_by_vector([1.0, 2.0, 3.0])


def test_pictures_and_pairs(store: OnespaceVectorStore, file: Path) -> None:
    store.add_images([str(file)], [{"kind": "logo"}], ids=["p"])
    store.add_images([file.read_bytes()], texts=["red"], ids=["pair"])
    store.add_texts(TEXTS)
    found = {one.id: one for one in store.similarity_search(file, k=5)}
    assert list(found) == [hit.id for hit in store.store.search(file, k=5)]
    assert (found["p"].page_content, found["pair"].page_content) == ("", "red")
    assert found["p"].metadata == {"modality": "image", "pictures": [str(file)], "kind": "logo"}
    assert found["pair"].metadata == {"modality": "pair", "pictures": []}
    with pytest.raises(InputError, match="1 pictures and 2 texts"):
        store.add_images([file], texts=["a", "b"])


def test_a_part_says_where_it_is(tiny_encoder: Encoder, tmp_path: Path) -> None:
    options = StoreOptions(build=False, on_loss="chunk")
    long = " ".join(TEXTS * 6)
    model = OnespaceEmbeddings(tiny_encoder)
    made = OnespaceVectorStore.from_texts([long], model, target=tmp_path / "s.db", options=options)
    with made.store:
        hit = made.store.search("sea", k=1)[0]
        found = made.similarity_search("sea", k=1)[0]
        assert hit.span is not None
        assert found.metadata == {"span": list(hit.span)}
        assert made.max_marginal_relevance_search("sea", k=1)[0].page_content == long


def test_diverse_hits_differ(store: OnespaceVectorStore) -> None:
    near = ["sea sea whale", "sea whale", "sea whale sea"]
    store.add_texts([*near, "house by the lake"], ids=["1", "2", "3", "4"])
    diverse = store.max_marginal_relevance_search("sea whale", k=2, fetch_k=4, lambda_mult=0.0)
    plain = store.max_marginal_relevance_search("sea whale", k=2, fetch_k=4, lambda_mult=1.0)
    dense = np.asarray(store.store.vectors([d.id for d in diverse]).dense)  # type: ignore[misc]
    close = np.asarray(store.store.vectors([d.id for d in plain]).dense)  # type: ignore[misc]
    assert dense[0] @ dense[1] < close[0] @ close[1]
    assert store.max_marginal_relevance_search("sea", k=3, filter={"none": 1}) == []


def test_a_retriever_and_async(store: OnespaceVectorStore) -> None:
    asyncio.run(store.aadd_documents([Document(page_content=t) for t in TEXTS]))
    for kind, extra in (("similarity", {}), ("mmr", {}), ("similarity_score_threshold", {"score_threshold": 0.0})):
        retriever = store.as_retriever(search_type=kind, search_kwargs={"k": 2, **extra})
        assert len(retriever.invoke("sea")) == 2
    assert len(asyncio.run(store.as_retriever(search_kwargs={"k": 1}).ainvoke("sea"))) == 1


def test_from_documents_opens_the_store_that_is_there(tiny_encoder: Encoder, tmp_path: Path) -> None:
    documents = [Document(page_content=text, metadata={"n": i}) for i, text in enumerate(TEXTS)]
    model = OnespaceEmbeddings(tiny_encoder)
    for _ in range(2):
        made = OnespaceVectorStore.from_documents(documents, model, target=tmp_path / "s.db")
        with made.store as kept:
            assert len(kept) == len(TEXTS)
    with pytest.raises(InputError, match="DeterministicFakeEmbedding; pass OnespaceEmbeddings"):
        OnespaceVectorStore.from_texts(TEXTS, DeterministicFakeEmbedding(size=3), target=tmp_path / "s.db")


def test_a_store_that_couldnt_be_filled_is_let_go_of(tiny_encoder: Encoder, tmp_path: Path) -> None:
    model = OnespaceEmbeddings(tiny_encoder)
    with pytest.raises(InputError, match="3 items and 1 dicts"):
        OnespaceVectorStore.from_texts(TEXTS, model, [{"n": 1}], target=tmp_path / "s.db")
    with OnespaceVectorStore.from_texts(TEXTS, model, target=tmp_path / "s.db").store as kept:  # not locked
        assert len(kept) == len(TEXTS)
