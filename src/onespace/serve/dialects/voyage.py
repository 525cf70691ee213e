"""Voyage's ``/v1/multimodalembeddings``.

Source: the Voyage AI API reference.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from onespace.errors import InputError
from onespace.serve.batcher import Ask
from onespace.serve.numbers import base64_of, narrow
from onespace.serve.pictures import Raw
from onespace.serve.service import Encoded, Service

PIXELS_PER_TOKEN = 560
"""How Voyage counts pixels as tokens."""


class Content(BaseModel):
    """A part of an input: the field that its type names."""

    type: Literal["text", "image_url", "image_base64"]
    text: str | None = None
    image_url: str | None = None
    image_base64: str | None = None


class Input(BaseModel):
    """Texts and pictures that belong together: one item."""

    content: list[Content] = Field(min_length=1)


class MultimodalRequest(BaseModel):
    """Inputs of texts and pictures."""

    inputs: list[Input] = Field(
        min_length=1, examples=[[{"content": [{"type": "text", "text": "a whale"}]}]], description="at least one"
    )
    model: str | None = None
    input_type: Literal["query", "document"] | None = None
    truncation: bool = True
    output_encoding: Literal["base64"] | None = None
    output_dimension: int | None = Field(None, ge=1)


class Embedding(BaseModel):
    """One input's vector."""

    object: Literal["embedding"] = "embedding"
    embedding: list[float] | str
    index: int


class MultimodalReply(BaseModel):
    """The vectors in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: dict[str, int]


def routes(service: Service) -> APIRouter:
    """The routes of this dialect."""
    router = APIRouter(tags=["Voyage"])

    @router.post("/v1/multimodalembeddings", response_model=MultimodalReply)
    async def multimodal_embeddings(body: MultimodalRequest) -> Response:
        """Encodes inputs of texts and pictures as dense vectors."""
        name = service.asked_for(body.model)
        things = [_thing(one, f"item {i}") for i, one in enumerate(body.inputs)]
        ask = Ask(("dense",), body.input_type or "document", "ignore" if body.truncation else "error")
        encoded = await service.encode(things, ask)
        return await service.reply(lambda: _reply(body, encoded, name))

    return router


def _reply(body: MultimodalRequest, encoded: Encoded, name: str) -> dict[str, Any]:
    dense = encoded.whole.dense
    assert dense is not None
    rows = narrow(dense, body.output_dimension, encoded.encoder.spec)
    usage = encoded.usage
    data = [
        {"object": "embedding", "embedding": base64_of(row) if body.output_encoding else row.tolist(), "index": i}
        for i, row in enumerate(rows)
    ]
    counts = {
        "text_tokens": usage.tokens,
        "image_pixels": usage.pixels,
        "video_pixels": 0,
        "total_tokens": usage.tokens + usage.pixels // PIXELS_PER_TOKEN,
        "truncated_tokens": usage.dropped,
        "cropped_pixels": usage.cropped,
    }
    return {"object": "list", "data": data, "model": name, "usage": counts}


def _thing(one: Input, where: str) -> Raw:
    texts: list[str] = []
    images: list[str] = []
    for part in one.content:
        value = getattr(part, part.type)
        if value is None:
            raise InputError(f"{where}: a part of type {part.type} has no {part.type}. Send it.")
        (texts if part.type == "text" else images).append(value)
    return Raw("\n".join(texts) if texts else None, tuple(images))
