"""Haystack's own pipelines over our model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onespace
from onespace.demo.experiment import PICTURES
from onespace.errors import InputError
from onespace.families import bge
from onespace.integrations.sentence_transformers import export_sentence_transformers
from onespace.types import Pair

pytestmark = pytest.mark.filterwarnings("ignore")
WHALE = PICTURES / "whale.png"


@pytest.fixture(scope="module")
def haystack() -> Any:
    return pytest.importorskip("haystack")


def test_vectors_are_the_librarys(haystack: Any) -> None:
    from haystack.dataclasses import ByteStream

    from onespace.integrations.haystack import OnespaceDocumentEmbedder, OnespaceTextEmbedder

    picture = ByteStream(WHALE.read_bytes(), mime_type="image/png")
    documents = [
        haystack.Document(content="a whale"),
        haystack.Document(blob=picture),
        haystack.Document(content="a whale", blob=picture),
        haystack.Document(content="a whale", blob=ByteStream(b"%PDF", mime_type="application/pdf")),
    ]
    made = OnespaceDocumentEmbedder().run(documents=documents)["documents"]
    model = onespace.load()
    right = model.encode(["a whale", WHALE, Pair("a whale", WHALE), "a whale"]).dense
    assert np.allclose([one.embedding for one in made], right, atol=1e-6)
    assert [one.id for one in made] == [one.id for one in documents]
    assert documents[0].embedding is None
    asked = OnespaceTextEmbedder().run(text="鲸鱼")["embedding"]
    assert np.allclose(asked, np.asarray(model.encode(["鲸鱼"], role="query").dense)[0], atol=1e-6)
    with pytest.raises(InputError, match=r"document 0 .* has no content and no picture"):
        OnespaceDocumentEmbedder().run(documents=[haystack.Document(blob=ByteStream(b"x", mime_type="text/html"))])


def test_queries_and_documents_are_marked(haystack: Any, tmp_path: Path) -> None:
    from onespace.integrations.haystack import OnespaceDocumentEmbedder, OnespaceTextEmbedder

    encoder = bge.tiny()  # has a prefix for each
    folder = str(export_sentence_transformers(encoder, tmp_path / "model"))
    asked = OnespaceTextEmbedder(folder).run(text="a")["embedding"]
    kept = OnespaceDocumentEmbedder(folder).run(documents=[haystack.Document(content="a")])["documents"][0].embedding
    assert np.allclose(asked, np.asarray(encoder.encode(["a"], role="query").dense)[0], atol=1e-6)
    assert np.allclose(kept, np.asarray(encoder.encode(["a"], role="document").dense)[0], atol=1e-6)


def test_a_pipeline_is_written_read_and_run(haystack: Any) -> None:
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    from onespace.integrations.haystack import OnespaceDocumentEmbedder, OnespaceTextEmbedder

    texts = ["a whale", "a dragon", "a house"]
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    documents = OnespaceDocumentEmbedder().run(documents=[haystack.Document(content=t) for t in texts])["documents"]
    store.write_documents(documents)
    pipeline = haystack.Pipeline()
    pipeline.add_component("embedder", OnespaceTextEmbedder())
    again = haystack.Pipeline.loads(pipeline.dumps(), allowed_modules=["onespace.integrations.haystack"])
    again.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=3))
    again.connect("embedder.embedding", "retriever.query_embedding")
    found = again.run({"embedder": {"text": "a dragon"}})["retriever"]["documents"]
    assert found[0].content == "a dragon"
