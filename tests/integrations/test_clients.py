"""The official clients of OpenAI, Cohere and Voyage against `onespace serve`: they get the library's vectors."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

import onespace
from benchmarks.load import SERVE, address_of
from onespace.demo.experiment import PICTURES
from onespace.types import Pair

TEXTS = ["a whale", "一只蓝鲸", "the red dragon flies over the mountain", "x"]
WHALE = PICTURES / "whale.png"
URI = "data:image/png;base64," + base64.b64encode(WHALE.read_bytes()).decode("ascii")
NAME = "onespace-mini"
NODE = shutil.which("node")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a server that one command starts."""
    command = [*SERVE, "--alias", "text-embedding-3-small"]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as server:
        try:
            yield address_of(server)
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def right() -> dict[str, np.ndarray]:
    """What the library gives."""
    model = onespace.load()
    items = [*TEXTS, WHALE, Pair("a whale", WHALE)]
    rows = np.asarray(model.encode(items).dense)
    return {"texts": rows[: len(TEXTS)], "picture": rows[-2], "pair": rows[-1]}


def same(found: Any, wanted: np.ndarray) -> None:
    assert np.abs(np.asarray(found, np.float64) - wanted).max() <= 1e-6


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_openai(address: str, right: dict[str, np.ndarray], form: Any) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        asked = {} if form is None else {"encoding_format": form}
        told = client.embeddings.create(model=NAME, input=TEXTS, **asked)
        vectors = [one.embedding for one in told.data]
        if form == "base64":
            vectors = [np.frombuffer(base64.b64decode(one), "<f4") for one in vectors]
        same(vectors, right["texts"])
        assert [one.index for one in told.data] == [0, 1, 2, 3]
        assert told.usage.total_tokens > 0
        assert [one.id for one in client.models.list()] == [NAME, "text-embedding-3-small"]
        same(client.embeddings.create(model="text-embedding-3-small", input="x").data[0].embedding, right["texts"][3])


def test_openai_with_pictures_and_errors(address: str, right: dict[str, np.ndarray]) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        items = [{"image": URI}, {"text": "a whale", "image": URI}]
        told = client.embeddings.create(model=NAME, input=items)
        same([one.embedding for one in told.data], np.stack([right["picture"], right["pair"]]))
        with pytest.raises(openai.NotFoundError, match="isn't served here"):
            client.embeddings.create(model="another", input="x")
        with pytest.raises(openai.BadRequestError, match="dimensions"):
            client.embeddings.create(model=NAME, input="x", dimensions=7)


def test_cohere(address: str, right: dict[str, np.ndarray]) -> None:
    cohere = pytest.importorskip("cohere")
    client = cohere.ClientV2(api_key="none", base_url=address)
    ask: dict[str, Any] = {"model": NAME, "input_type": "search_document", "embedding_types": ["float"]}
    same(client.embed(texts=TEXTS, **ask).embeddings.float_, right["texts"])
    same(client.embed(images=[URI], **{**ask, "input_type": "image"}).embeddings.float_[0], right["picture"])
    both = {"content": [{"type": "text", "text": "a whale"}, {"type": "image_url", "image_url": {"url": URI}}]}
    same(client.embed(inputs=[both], **ask).embeddings.float_[0], right["pair"])
    ranked = client.rerank(model=NAME, query="a whale", documents=TEXTS, top_n=2)
    assert ranked.results[0].index == 0
    assert len(ranked.results) == 2
    with pytest.raises(cohere.NotFoundError):
        client.embed(texts=["x"], **{**ask, "model": "another"})


def test_voyage(address: str, right: dict[str, np.ndarray]) -> None:
    voyageai = pytest.importorskip("voyageai")
    client = voyageai.Client(api_key="none", base_url=f"{address}/v1")
    same(client.embed(TEXTS, model=NAME, input_type="document").embeddings, right["texts"])
    with PILImage.open(WHALE) as picture:
        told = client.multimodal_embed([["a whale", picture], [picture]], model=NAME, input_type="document")
    same(told.embeddings, np.stack([right["pair"], right["picture"]]))
    assert told.image_pixels > 0
    with pytest.raises(voyageai.error.VoyageError, match="another"):
        client.multimodal_embed([["x"]], model="another")


@pytest.mark.skipif(NODE is None, reason="node isn't installed")
@pytest.mark.parametrize("form", ["float", "base64"])
def test_openai_in_node(address: str, right: dict[str, np.ndarray], form: str) -> None:
    """Needs the npm package: ``npm install --prefix DIR openai``, and NODE_PATH=DIR/node_modules."""
    assert NODE is not None
    there = subprocess.run([NODE, "-e", "require.resolve('openai')"], capture_output=True, check=False)
    if there.returncode:
        pytest.skip("the npm package openai isn't on NODE_PATH")
    script = Path(__file__).with_name("openai_client.cjs")
    environment = {**os.environ, "ONESPACE": f"{address}/v1", "FORM": form, "TEXTS": json.dumps([*TEXTS, URI])}
    done = subprocess.run([NODE, str(script)], capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    same(json.loads(done.stdout), np.stack([*right["texts"], right["picture"]]))
