"""LlamaIndex's own classes over our model."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.encoder import Encoder
from onespace.families import bge

pytest.importorskip("llama_index.core")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TEXTS = ["a whale swims in the sea", "the red dragon flies", "house by the lake"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    PILImage.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_vectors_are_the_librarys(tiny_encoder: Encoder, file: Path) -> None:
    from llama_index.core.embeddings import MultiModalEmbedding

    from onespace.integrations.llama_index import OnespaceEmbedding

    model = OnespaceEmbedding(tiny_encoder)
    assert isinstance(model, MultiModalEmbedding)
    texts = np.asarray(tiny_encoder.encode(TEXTS).dense)
    query = np.asarray(tiny_encoder.encode(["sea"], role="query").dense)[0]
    image = np.asarray(tiny_encoder.encode([file]).dense)[0]
    assert np.allclose(model.get_text_embedding_batch(TEXTS), texts, atol=1e-6)
    assert np.allclose(model.get_text_embedding(TEXTS[0]), texts[0], atol=1e-6)
    assert np.allclose(model.get_query_embedding("sea"), query, atol=1e-6)
    assert np.allclose(model.get_image_embedding(str(file)), image, atol=1e-6)
    several = model.get_image_embedding_batch([str(file), io.BytesIO(file.read_bytes())])
    assert np.allclose(several, [image, image], atol=1e-6)

    async def awaited() -> None:
        assert np.allclose(await model.aget_text_embedding(TEXTS[0]), texts[0], atol=1e-6)
        assert np.allclose(await model.aget_text_embedding_batch(TEXTS), texts, atol=1e-6)
        assert np.allclose(await model.aget_query_embedding("sea"), query, atol=1e-6)
        assert np.allclose(await model.aget_image_embedding(str(file)), image, atol=1e-6)
        assert np.allclose(await model.aget_image_embedding_batch([str(file)]), [image], atol=1e-6)

    asyncio.run(awaited())


def test_queries_and_documents_are_marked() -> None:
    from onespace.integrations.llama_index import OnespaceEmbedding

    encoder = bge.tiny()  # has a prefix for each
    model = OnespaceEmbedding(encoder)
    for found, role in ((model.get_query_embedding("a"), "query"), (model.get_text_embedding("a"), "document")):
        assert np.allclose(found, np.asarray(encoder.encode(["a"], role=role).dense)[0], atol=1e-6)  # type: ignore[arg-type]


def test_an_index_finds_what_cosine_finds(tiny_encoder: Encoder) -> None:
    from llama_index.core import VectorStoreIndex
    from llama_index.core.schema import TextNode

    from onespace.integrations.llama_index import OnespaceEmbedding

    model = OnespaceEmbedding(tiny_encoder)
    nodes = [TextNode(text=text, id_=str(i)) for i, text in enumerate(TEXTS)]
    found = VectorStoreIndex(nodes, embed_model=model).as_retriever(similarity_top_k=3).retrieve("the red house")
    asked = np.asarray(tiny_encoder.encode(["the red house"], role="query").dense)[0]
    cosines = np.asarray(tiny_encoder.encode(TEXTS).dense) @ asked
    assert [int(one.node.node_id) for one in found] == np.argsort(-cosines).tolist()
    assert np.allclose([one.score for one in found], np.sort(cosines)[::-1], atol=1e-6)


def test_it_names_itself(tiny_encoder: Encoder) -> None:
    from onespace.integrations.llama_index import OnespaceEmbedding

    told = OnespaceEmbedding(tiny_encoder, embed_batch_size=7).to_payload()
    assert told == {"class_name": "OnespaceEmbedding", "model_name": "tiny", "embed_batch_size": 7}
