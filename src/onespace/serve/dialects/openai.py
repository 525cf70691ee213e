"""OpenAI's ``/v1/embeddings`` with texts, token ids and chat messages, and Jina's items in its ``input``.

Source: the OpenAI and Jina API references; vLLM for ``messages``.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from onespace.errors import InputError
from onespace.prepare.tokens import Tokenizer
from onespace.serve.batcher import Ask
from onespace.serve.numbers import Form, narrow, written
from onespace.serve.pictures import Raw
from onespace.serve.refusals import refuse
from onespace.serve.service import Encoded, Service
from onespace.types import Role

TokenIds: TypeAlias = list[int]
QUERIES = ("retrieval.query", "query", "search_query")


class JinaItem(BaseModel):
    """A text, a picture (data URI, base64, or an address), or both as one item."""

    model_config = ConfigDict(extra="forbid")
    text: str | None = None
    image: str | None = None


class Url(BaseModel):
    """Where a picture is: a data URI, or an address."""

    url: str


class Content(BaseModel):
    """A part of a message."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: Url | str | None = None


class Message(BaseModel):
    """One message of a chat; all of them together are one item."""

    role: str = "user"
    content: str | list[Content]


class EmbeddingsRequest(BaseModel):
    """What to encode: ``input``, or ``messages`` for one item."""

    input: str | TokenIds | list[str | JinaItem | TokenIds] | None = Field(None, examples=[["a whale", "一只蓝鲸"]])
    messages: list[Message] | None = None
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    embedding_type: Literal["float", "base64", "binary", "ubinary"] | None = None
    dimensions: int | None = Field(None, ge=1)
    task: str | None = Field(None, description="``retrieval.query`` marks queries; anything else documents")
    input_type: str | None = Field(None, description="the same: ``query`` or ``document``")
    truncate: bool = Field(True, description="false refuses texts that are too long")
    return_multivector: bool = False
    late_chunking: bool = False
    user: str | None = None


class Embedding(BaseModel):
    """One item's vector, or its vectors where ``return_multivector`` asked for them."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | list[int] | str | None = None
    embeddings: list[list[float]] | None = None


class EmbeddingsReply(BaseModel):
    """The vectors in the order of the input."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: dict[str, int]


def routes(service: Service) -> APIRouter:
    """The routes of this dialect."""
    router = APIRouter(tags=["OpenAI, Jina"])

    @router.post("/v1/embeddings", response_model=EmbeddingsReply, response_model_exclude_none=True)
    async def embeddings(body: EmbeddingsRequest) -> Response:
        """Encodes texts, pictures and pairs as dense vectors, or as multi-vectors."""
        name = service.asked_for(body.model)
        if body.late_chunking:
            raise refuse(400, "unsupported", "late_chunking isn't offered here. Send passages.", param="late_chunking")
        role: Role = "query" if (body.task or body.input_type) in QUERIES else "document"
        head: Literal["multi", "dense"] = "multi" if body.return_multivector else "dense"
        things = await service.run(_things, body, service.encoder.tokenizer)
        ask = Ask((head,), role, "ignore" if body.truncate else "error")
        encoded = await service.encode(things, ask, told=True)
        form = body.embedding_type or body.encoding_format
        return await service.reply(lambda: _reply(encoded, name, form, body.dimensions))

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The one model that is served, under each of its names."""
        names = [service.encoder.spec.name, *service.options.aliases]
        made = int(service.started)
        data = [{"id": name, "object": "model", "created": made, "owned_by": "onespace"} for name in names]
        return {"object": "list", "data": data}

    return router


def _reply(encoded: Encoded, name: str, form: Form, dimensions: int | None) -> dict[str, Any]:
    e = encoded.whole
    data: list[dict[str, Any]]
    if e.multi is not None:
        data = [{"embeddings": e.multi[i].tolist()} for i in range(len(e))]
    else:
        assert e.dense is not None
        rows = written(narrow(e.dense, dimensions, encoded.encoder.spec), form)
        data = [{"embedding": row} for row in rows]
    listed = [{"object": "embedding", "index": i, **one} for i, one in enumerate(data)]
    return {"object": "list", "data": listed, "model": name, "usage": encoded.usage.to_dict()}


def _things(body: EmbeddingsRequest, tokenizer: Tokenizer) -> list[Raw]:
    if body.messages is not None:
        return [_conversation(body.messages)]
    if body.input is None or body.input == []:
        raise refuse(400, "invalid_request", "input is missing or empty. Send a text or a list of them.", param="input")
    several = [body.input] if isinstance(body.input, str) or isinstance(body.input[0], int) else body.input
    return [_thing(one, tokenizer) for one in several]


def _thing(one: str | JinaItem | TokenIds, tokenizer: Tokenizer) -> Raw:
    if isinstance(one, str):
        return Raw(one)
    if isinstance(one, list):
        return Raw(tokenizer.decode(one))
    return Raw(one.text, () if one.image is None else (one.image,))


def _conversation(messages: list[Message]) -> Raw:
    texts, images = [], []
    for message in messages:
        if isinstance(message.content, str):
            texts.append(message.content)
            continue
        for part in message.content:
            if part.type == "text":
                texts.append(part.text or "")
            elif part.image_url is None:
                raise InputError("messages: a part of type image_url has no image_url. Send its url.")
            else:
                images.append(part.image_url if isinstance(part.image_url, str) else part.image_url.url)
    return Raw("\n".join(texts) if texts else None, tuple(images))
