"""The routes of Hugging Face's Text Embeddings Inference: ``/embed``, ``/embed_sparse``, ``/embed_all``, ``/rerank``.

Source: the OpenAPI document of TEI. ``/info``, ``/health`` and ``/metrics`` are in `onespace.serve.dialects.status`.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from onespace.serve.batcher import Ask
from onespace.serve.numbers import narrow
from onespace.serve.pictures import Raw
from onespace.serve.rank import rank
from onespace.serve.refusals import refuse
from onespace.serve.service import Encoded, Service
from onespace.types import Head, Role

Inputs: TypeAlias = str | list[str]


class EmbedRequest(BaseModel):
    """Texts. ``prompt_name="query"`` marks queries for models that tell them apart."""

    inputs: Inputs = Field(examples=["a whale"])
    truncate: bool = Field(True, description="false refuses texts that are too long")
    truncation_direction: Literal["Right", "right"] = "Right"
    prompt_name: str | None = None
    normalize: bool = True
    dimensions: int | None = Field(None, ge=1)


class TokensRequest(BaseModel):
    """Texts, for the sparse and the multi-vector head."""

    inputs: Inputs = Field(examples=["a whale"])
    truncate: bool = True
    truncation_direction: Literal["Right", "right"] = "Right"
    prompt_name: str | None = None


class SparseValue(BaseModel):
    """A term's id and its weight."""

    index: int
    value: float


class RerankRequest(BaseModel):
    """Texts to be ordered."""

    query: str
    texts: list[str] = Field(min_length=1)
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool = True
    truncation_direction: Literal["Right", "right"] = "Right"


class RerankResult(BaseModel):
    """A text's number and its score."""

    index: int
    score: float
    text: str | None = None


def routes(service: Service) -> APIRouter:
    """The routes of this dialect."""
    router = APIRouter(tags=["Text Embeddings Inference"])

    async def encode(body: EmbedRequest | TokensRequest, head: Head) -> Encoded:
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        if not texts:
            raise refuse(422, "invalid_request", "inputs is empty. Send a text or a list of them.")
        if head not in service.encoder.spec.head_names:
            raise refuse(424, "no_head", f"{service.encoder.spec.name} has no {head} head.")
        role: Role = "query" if body.prompt_name == "query" else "document"
        ask = Ask((head,), role, "ignore" if body.truncate else "error")
        return await service.encode([Raw(t) for t in texts], ask, told=True)

    @router.post("/embed", response_model=list[list[float]])
    async def embed(body: EmbedRequest) -> Response:
        """Dense vectors, of length 1."""
        if not body.normalize:
            raise refuse(422, "unsupported", "vectors have length 1 here: normalize=false isn't offered. Leave it out.")
        encoded = await encode(body, "dense")
        dense = encoded.whole.dense
        assert dense is not None
        return await service.reply(lambda: narrow(dense, body.dimensions, encoded.encoder.spec).tolist())

    @router.post("/embed_sparse", response_model=list[list[SparseValue]])
    async def embed_sparse(body: TokensRequest) -> Response:
        """Weights of vocabulary terms."""
        sparse = (await encode(body, "sparse")).whole.sparse
        assert sparse is not None
        rows = sparse.to_dicts()
        return await service.reply(lambda: [[{"index": i, "value": v} for i, v in row.items()] for row in rows])

    @router.post("/embed_all", response_model=list[list[list[float]]])
    async def embed_all(body: TokensRequest) -> Response:
        """A vector for each token: the multi-vector head."""
        multi = (await encode(body, "multi")).whole.multi
        assert multi is not None
        return await service.reply(lambda: [multi[i].tolist() for i in range(len(multi))])

    @router.post("/rerank", response_model=list[RerankResult], response_model_exclude_none=True)
    async def rerank(body: RerankRequest) -> list[dict[str, Any]]:
        """Orders texts by a blend of all heads; without ``raw_scores`` a score is its logistic value."""
        ranked = await rank(service, body.query, [Raw(t) for t in body.texts], top=None, truncate=body.truncate)
        scores = ranked.scores if body.raw_scores else ranked.relevance
        results: list[dict[str, Any]] = [{"index": i, "score": s} for i, s in zip(ranked.order, scores, strict=True)]
        return [r | {"text": body.texts[r["index"]]} for r in results] if body.return_text else results

    return router
