"""Our own wire format: everything that a model and a store can do, with receipts. The page speaks it.

    GET  /info                                         the model, its heads, the store; read by the page first
    POST /encode  {items, heads?, role?, on_loss?}     three heads and a receipt for each item
    POST /compare {items: [thing], metric}             -> {labels, matrix}
    POST /search  {text?, image?, k, offset, filter, mode, explain}
                                                       -> {hits, took_ms, receipts}
    POST /explain {query: thing, id, mode}             -> {score, sum, shares, parts, terms, cells, box, size, heat_map}
    GET  /items?limit&after&filter                     -> {items, next, total}
    POST /items   {items: [thing + id?, metadata?]}    -> {ids}
    GET, DELETE /items/{id};  GET /items/{id}/thumbnail (JPEG)
    GET  /map?method=pca|umap                          -> {points, method, total}

A thing is a text, or ``{"text"?, "image"?}``; an image is a data URI or bare base64 (an https address where the server
allows that). Boxes are [left, top, right, bottom] in pixels of the original picture, whose [width, height] is ``size``;
thumbnails and heat maps are data URIs; the heat map is a PNG that lets the picture shine through. ``mode`` is a metric:
``blend`` (all heads), ``cosine``, ``lexical`` or ``maxsim``. Errors are ``{"error": {message, type, param, code}}``.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from onespace.explain.explanation import SHARES
from onespace.score import similarity
from onespace.serve.batcher import Ask
from onespace.serve.pictures import Raw
from onespace.serve.service import Encoded, Service
from onespace.types import Head, Metric, Role

Id: TypeAlias = str | Annotated[int, Field(ge=-(2**53), le=2**53)]
Scalar: TypeAlias = bool | int | float | str
Mode: TypeAlias = Literal["blend", "cosine", "lexical", "maxsim"]
Box: TypeAlias = tuple[float, float, float, float]


class Strict(BaseModel):
    """A body in which a misspelt name is an error."""

    model_config = ConfigDict(extra="forbid")


class Thing(Strict):
    """A text, a picture, or both: then they are one item."""

    text: str | None = None
    image: str | list[str] | None = Field(None, description="a data URI or bare base64; several belong together")


AnyThing: TypeAlias = str | Thing


class EncodeRequest(Strict):
    """Items of any kinds, mixed; their order is kept."""

    items: list[AnyThing] = Field(min_length=1, examples=[["a whale", {"text": "a whale", "image": "iVBORw0KGgo..."}]])
    heads: list[Head] | None = None
    role: Role = "document"
    on_loss: Literal["ignore", "error"] = Field("ignore", description="what becomes of texts that are too long")


class Vectors(BaseModel):
    """One item's representations; a head that wasn't asked for is left out."""

    dense: list[float] | None = None
    sparse: dict[str, Any] | None = Field(None, description="indices, values and tokens of the terms")
    multi: list[list[float]] | None = None
    boxes: list[Box | None] | None = Field(None, description="where each of the multi vectors looks; null for text")
    receipt: dict[str, Any]


class EncodeReply(BaseModel):
    """The items in their order."""

    model: str
    items: list[Vectors]
    usage: dict[str, int]


class CompareRequest(Strict):
    """Things to be compared, each with each."""

    items: list[AnyThing] = Field(min_length=1, max_length=64)
    metric: Metric = "cosine"


class CompareReply(BaseModel):
    """``matrix[i][j]`` compares thing i with thing j."""

    labels: list[str]
    matrix: list[list[float]]
    metric: Metric
    usage: dict[str, int]


class SearchRequest(Thing):
    """What to look for: a text, a picture, or both."""

    k: int = Field(10, ge=1, le=200)
    offset: int = Field(0, ge=0, le=10_000)
    filter: dict[str, Any] | None = Field(None, examples=[{"kind": "logo", "year": {"gte": 2020}}])
    mode: Mode | None = Field(None, description="by default a blend of all the heads that the store keeps")
    explain: bool = Field(False, description="says of each hit what every head adds to its score")


class Kept(BaseModel):
    """An item of the store, for the eye."""

    id: str | int
    kind: str
    caption: str
    thumbnail: str | None
    metadata: dict[str, Any]


class HitReply(Kept):
    """One found item; the parts add up to the score."""

    score: float
    parts: dict[str, float]
    box: Box | None
    size: tuple[int, int] | None
    span: tuple[int, int] | None


class SearchReply(BaseModel):
    """The best first."""

    hits: list[HitReply]
    took_ms: float
    receipts: list[dict[str, Any]]


class ExplainRequest(Strict):
    """Why an item gets its score for a query."""

    query: AnyThing
    id: Id
    mode: Mode | None = None


class Cell(BaseModel):
    """A place of a picture and its share of the score."""

    box: Box
    share: float


class Term(BaseModel):
    """A term that query and item have in common, and its share of the score."""

    text: str
    share: float


class ExplainReply(BaseModel):
    """A score and the parts that it is the sum of."""

    score: float
    sum: float
    metric: Metric
    shares: dict[str, float]
    parts: list[dict[str, Any]]
    terms: list[Term]
    cells: list[Cell]
    box: Box | None
    size: tuple[int, int] | None
    heat_map: str | None


class NewItem(Thing):
    """A thing to be kept; without an id it gets a digest of its content."""

    id: Id | None = None
    metadata: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)


class AddRequest(Strict):
    """Items to be kept, each in place of the one with its id."""

    items: list[NewItem] = Field(min_length=1)


class AddReply(BaseModel):
    """The ids under which the items are kept."""

    ids: list[str | int]


class ItemsReply(BaseModel):
    """A page of the store; ``next`` is the ``after`` of the following one."""

    items: list[Kept]
    next: int | None
    total: int


class Point(Kept):
    """An item and its place on the map, each from -1 to 1."""

    x: float
    y: float


class MapReply(BaseModel):
    """The store on a plane."""

    points: list[Point]
    method: str
    total: int


def routes(service: Service) -> APIRouter:
    """The routes that need no store."""
    router = APIRouter(tags=["onespace"])

    @router.post("/encode", response_model=EncodeReply, response_model_exclude_none=True)
    async def encode(body: EncodeRequest) -> Response:
        """Encodes texts, pictures and pairs, mixed: three representations, and a receipt, of each."""
        heads = tuple(dict.fromkeys(body.heads)) if body.heads else None
        encoded = await service.encode([raw(one) for one in body.items], Ask(heads, body.role, body.on_loss), told=True)
        return await service.reply(lambda: _encoded(encoded))

    @router.post("/compare", response_model=CompareReply)
    async def compare(body: CompareRequest) -> Response:
        """Compares things, each with each."""
        encoded = await service.encode([raw(one) for one in body.items], Ask(SHARES[body.metric]))
        return await service.reply(lambda: _compared(encoded, body.metric))

    return router


def raw(thing: AnyThing) -> Raw:
    """A thing as the reader of pictures takes it."""
    if isinstance(thing, str):
        return Raw(thing)
    images = (thing.image,) if isinstance(thing.image, str) else tuple(thing.image or ())
    return Raw(thing.text, images)


def _encoded(encoded: Encoded) -> dict[str, Any]:
    e = encoded.whole
    items: list[dict[str, Any]] = [{"receipt": asdict(receipt)} for receipt in e.receipts]
    for i, item in enumerate(items):
        if e.dense is not None:
            item["dense"] = e.dense[i].tolist()
        if e.sparse is not None:
            terms, weights = e.sparse.row(i)
            spelt = [encoded.encoder.tokenizer.piece(int(term)) for term in terms]
            item["sparse"] = {"indices": terms.tolist(), "values": weights.tolist(), "tokens": spelt}
        if e.multi is not None:
            item["multi"] = e.multi[i].tolist()
            item["boxes"] = [row.tolist() if np.isfinite(row).all() else None for row in e.multi.boxes(i)]
    return {"model": encoded.encoder.spec.name, "items": items, "usage": encoded.usage.to_dict()}


def _compared(encoded: Encoded, metric: Metric) -> dict[str, Any]:
    e = encoded.whole
    matrix = similarity(e, e, metric=metric).tolist()
    return {"labels": labels(encoded), "matrix": matrix, "metric": metric, "usage": encoded.usage.to_dict()}


def labels(encoded: Encoded) -> list[str]:
    """Short names of items: the beginning of a text, or the number of a picture."""
    named = []
    for number, item in enumerate(encoded.items, 1):
        text = item if isinstance(item, str) else getattr(item, "text", "")
        words = " ".join(text.split())
        named.append((words if len(words) <= 40 else f"{words[:39]}…") or f"picture {number}")
    return named
