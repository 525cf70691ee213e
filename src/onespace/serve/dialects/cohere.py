"""Cohere's ``/v2/embed`` and ``/v2/rerank``.

Source: the Cohere API reference, version 2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.serve.batcher import Ask
from onespace.serve.numbers import Form, narrow, written
from onespace.serve.pictures import Raw
from onespace.serve.rank import rank
from onespace.serve.refusals import refuse
from onespace.serve.service import Encoded, Service
from onespace.serve.usage import Usage


class Url(BaseModel):
    """A data URI."""

    url: str


class Content(BaseModel):
    """A part of an input."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: Url | None = None


class Input(BaseModel):
    """A text and pictures that belong together: one item."""

    content: list[Content] = Field(min_length=1)


class EmbedRequest(BaseModel):
    """One of ``texts``, ``images`` and ``inputs``."""

    model: str | None = None
    input_type: Literal["search_document", "search_query", "classification", "clustering", "image"] = "search_document"
    texts: list[str] | None = Field(None, examples=[["a whale"]])
    images: list[str] | None = Field(None, description="data URIs")
    inputs: list[Input] | None = None
    embedding_types: list[Form] = ["float"]
    output_dimension: int | None = Field(None, ge=1)
    truncate: Literal["NONE", "START", "END"] = "END"


class EmbedReply(BaseModel):
    """The vectors under each of the types."""

    id: str
    embeddings: dict[str, list[Any]]
    texts: list[str]
    meta: dict[str, Any]
    response_type: Literal["embeddings_by_type"] = "embeddings_by_type"


class RerankRequest(BaseModel):
    """Documents to be ordered."""

    model: str | None = None
    query: str
    documents: list[str] = Field(min_length=1)
    top_n: int | None = Field(None, ge=1)


class RerankResult(BaseModel):
    """A document's number and its score, between 0 and 1."""

    index: int
    relevance_score: float


class RerankReply(BaseModel):
    """The best first."""

    id: str
    results: list[RerankResult]
    meta: dict[str, Any]


def routes(service: Service) -> APIRouter:
    """The routes of this dialect."""
    router = APIRouter(tags=["Cohere"])

    @router.post("/v2/embed", response_model=EmbedReply)
    async def embed(body: EmbedRequest) -> Response:
        """Encodes texts, pictures, or inputs of both."""
        service.asked_for(body.model)
        things = _things(body)
        dropped = 0
        if body.truncate == "START":
            things, dropped = await service.run(_ends, things, service.encoder)
        role: Literal["query", "document"] = "query" if body.input_type == "search_query" else "document"
        encoded = await service.encode(things, Ask(("dense",), role, "error" if body.truncate == "NONE" else "ignore"))
        return await service.reply(lambda: _reply(body, encoded, dropped))

    @router.post("/v2/rerank", response_model=RerankReply)
    async def rerank(body: RerankRequest) -> dict[str, Any]:
        """Orders documents by a blend of all heads; ``relevance_score`` is its logistic value."""
        service.asked_for(body.model)
        ranked = await rank(service, body.query, [Raw(text) for text in body.documents], top=body.top_n)
        pairs = zip(ranked.order, ranked.relevance, strict=True)
        results = [{"index": i, "relevance_score": score} for i, score in pairs]
        units = {"search_units": 1, "input_tokens": ranked.usage.tokens}
        return {"id": str(uuid4()), "results": results, "meta": _meta(units, ranked.usage)}

    return router


def _reply(body: EmbedRequest, encoded: Encoded, dropped: int) -> dict[str, Any]:
    dense = encoded.whole.dense
    assert dense is not None
    rows = narrow(dense, body.output_dimension, encoded.encoder.spec)
    usage = encoded.usage + Usage(dropped=dropped)
    units = {"input_tokens": usage.tokens, "images": usage.pictures}
    return {
        "id": str(uuid4()),
        "embeddings": {form: written(rows, form) for form in dict.fromkeys(body.embedding_types)},
        "texts": body.texts or [],
        "meta": _meta(units, usage),
        "response_type": "embeddings_by_type",
    }


def _meta(units: dict[str, int], usage: Usage) -> dict[str, Any]:
    cut = {"truncated_tokens": usage.dropped, "image_pixels": usage.pixels, "cropped_pixels": usage.cropped}
    return {"api_version": {"version": "2"}, "billed_units": units, "usage": cut}


def _things(body: EmbedRequest) -> list[Raw]:
    given = [name for name in ("texts", "images", "inputs") if getattr(body, name)]
    if len(given) != 1:
        raise refuse(400, "invalid_request", "send one of texts, images and inputs, and not an empty one.")
    if body.texts:
        return [Raw(text) for text in body.texts]
    if body.images:
        return [Raw(None, (image,)) for image in body.images]
    return [_input(one, f"item {i}") for i, one in enumerate(body.inputs or [])]


def _input(one: Input, where: str) -> Raw:
    texts = [part.text or "" for part in one.content if part.type == "text"]
    urls = [part.image_url for part in one.content if part.type == "image_url"]
    images = [url.url for url in urls if url is not None]
    if len(images) < len(urls):
        raise InputError(f"{where}: a part of type image_url has no image_url. Send {{'url': 'data:image/...'}}.")
    return Raw("\n".join(texts) if texts else None, tuple(images))


def _ends(things: list[Raw], encoder: Encoder) -> tuple[list[Raw], int]:
    """The things with the beginnings of long texts cut off, and how many tokens that were."""
    kept, dropped = [], 0
    for thing in things:
        text = thing.text or ""
        limit = encoder.spec.max_tokens
        if thing.images:
            limit -= len(thing.images) * (encoder.spec.image.tokens if encoder.spec.image else 0)
        tokens = encoder.tokenizer.encode(text)
        over = len(tokens.ids) - max(2, limit)
        if over > 0:
            before, _ = encoder.tokenizer.specials
            text = text[tokens.offsets[before + over][0] :]
            dropped += over
        kept.append(replace(thing, text=None if thing.text is None else text))
    return kept, dropped
