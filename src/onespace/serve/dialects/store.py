"""The store's routes: search, explanations, items and the map; `onespace.serve.dialects.own` describes their bodies."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from onespace.prepare.items import normalise
from onespace.serve.batcher import Ask
from onespace.serve.dialects.own import (
    AddReply,
    AddRequest,
    ExplainReply,
    ExplainRequest,
    ItemsReply,
    Kept,
    MapReply,
    SearchReply,
    SearchRequest,
    raw,
)
from onespace.serve.ledger import Ledger, place
from onespace.serve.refusals import busy, refuse
from onespace.serve.service import Encoded, Service
from onespace.store import Found, SearchOptions, Stored
from onespace.store.log import Id
from onespace.store.references import Reference, refer

CAPTION = 160
"""Characters of a caption, at most."""


def routes(service: Service) -> APIRouter:
    """The routes that need a store."""
    router = APIRouter(tags=["Store"])
    drawing = Lock()

    @router.post("/search", response_model=SearchReply)
    async def search(body: SearchRequest) -> Response:
        """The nearest items of the store to a text, a picture, or both."""
        began, store = time.perf_counter(), service.store
        encoded = await service.encode([raw(body)], Ask(None, "query"))
        options = SearchOptions(metric=body.mode)

        def find() -> list[Found]:
            return store.search_encoded(
                encoded.whole, k=body.k, filter=body.filter, offset=body.offset, explain=body.explain, options=options
            )[0]

        found = await service.run(find)
        receipts = [asdict(receipt) for receipt in encoded.embeddings.receipts]
        took = round(1000 * (time.perf_counter() - began), 1)
        return await service.reply(lambda: {"hits": list(map(_hit, found)), "took_ms": took, "receipts": receipts})

    @router.post("/explain", response_model=ExplainReply)
    async def explain(body: ExplainRequest) -> Response:
        """What the score of an item is the sum of, and where in its picture it lies."""
        kept = await service.run(_get, service, body.id)
        encoded = await service.encode([raw(body.query)], Ask(None, "query"))
        ledger = Ledger(service.store, encoded.encoder, body.mode)
        return await service.reply(lambda: ledger.of(encoded.whole, encoded.items[0], kept))

    @router.get("/items", response_model=ItemsReply)
    async def items(
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        after: Annotated[int, Query(ge=0, lt=2**53)] = 0,
        filter: Annotated[str | None, Query(max_length=1000, description="as in /search, written as JSON")] = None,
    ) -> Response:
        """The items of the store that fit, the first added first."""
        wanted = _filter(filter)

        def page() -> dict[str, Any]:
            several = list(islice(service.store.iterate(wanted, after=after), limit + 1))
            more = several[limit - 1].number if len(several) > limit else None
            return {"items": list(map(shown, several[:limit])), "next": more, "total": service.store.count(wanted)}

        return await service.reply(page)

    @router.post("/items", response_model=AddReply)
    async def add(body: AddRequest) -> dict[str, Any]:
        """Encodes things and keeps them; when the answer comes, they are on the disk."""
        _ = service.writable_store  # refused before anything is encoded
        ids = [one.id for one in body.items]
        encoded = await service.encode([raw(one) for one in body.items], Ask())
        metadata = [one.metadata for one in body.items]
        return {"ids": await service.run(_add, service, encoded, ids, metadata)}

    @router.get("/items/{id:path}/thumbnail", responses={200: {"content": {"image/jpeg": {}}}})
    async def thumbnail(id: str) -> Response:
        """A small picture of an item, as JPEG."""
        small = (await service.run(_get, service, id)).reference.thumbnail
        if small is None:
            raise refuse(404, "no_thumbnail", "the item has no picture.")
        return Response(small, media_type="image/jpeg")

    @router.get("/items/{id:path}", response_model=Kept)
    async def item(id: str) -> dict[str, Any]:
        """One item."""
        return shown(await service.run(_get, service, id))

    @router.delete("/items/{id:path}")
    async def delete(id: str) -> dict[str, int]:
        """Takes an item away."""
        store = service.writable_store
        kept = await service.run(_get, service, id)
        return {"deleted": await service.run(store.delete, kept.id)}

    @router.get("/map", response_model=MapReply)
    async def map_(method: Annotated[str, Query(pattern="^(pca|umap)$")] = "pca") -> Response:
        """The store on a plane: what is alike lies side by side."""
        atlas = service.atlas

        def draw() -> dict[str, Any]:
            if not drawing.acquire(blocking=False):  # or slow maps would take all the threads
                raise busy("another map is being drawn. Ask again in a moment.", seconds=2)
            try:
                drawn = atlas.draw("umap" if method == "umap" else "pca")
            finally:
                drawing.release()
            places = zip(drawn.items, drawn.places.tolist(), strict=True)
            points = [shown(item) | {"x": x, "y": y} for item, (x, y) in places]
            return {"points": points, "method": drawn.method, "total": drawn.total}

        return await service.reply(draw)

    return router


def shown(kept: Stored | Found) -> dict[str, Any]:
    """An item for the eye."""
    small = kept.reference.thumbnail
    return {
        "id": kept.id,
        "kind": kept.reference.modality,
        "caption": caption(kept.reference, kept.metadata.get("caption")),
        "thumbnail": None if small is None else "data:image/jpeg;base64," + b64encode(small).decode("ascii"),
        "metadata": dict(kept.metadata),
    }


def caption(reference: Reference, told: object) -> str:
    """What an item is called: its caption, its text, or its file's name without the folder.

    >>> caption(Reference("text", "a  whale"), None)
    'a whale'
    """
    path = reference.pictures[0].path if reference.pictures else None
    text = told if isinstance(told, str) and told else reference.text or (Path(path).name if path else "")
    words = " ".join(text[: 2 * CAPTION].split())
    return words if len(words) <= CAPTION else f"{words[: CAPTION - 1]}…"


def _hit(found: Found) -> dict[str, Any]:
    box, size = place(found)
    placed = {"score": found.score, "parts": found.parts, "box": box, "size": size, "span": found.span}
    return shown(found) | placed


def _filter(text: str | None) -> dict[str, Any] | None:
    """A filter in an address. Raises `Refused` (400) for one that isn't a JSON object."""
    try:
        told = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        told = text
    if told is not None and not isinstance(told, dict):
        said = 'the filter must be a JSON object, such as {"kind": "logo"}.'
        raise refuse(400, "invalid_request", said, param="filter")
    return told


def _get(service: Service, id: Id) -> Stored:
    """An item by its id; in an address a number is written like a text."""
    wanted: list[Id] = [id, int(id)] if isinstance(id, str) and id.isascii() and id.isdigit() and len(id) < 16 else [id]
    found = [kept for kept in service.store.get(wanted) if kept is not None]
    if not found:
        raise refuse(404, "no_such_item", "the store has no item with this id.")
    return found[0]


def _add(service: Service, encoded: Encoded, ids: list[Id | None], metadata: list[dict[str, Any]]) -> list[Id]:
    store, pixels = service.writable_store, encoded.encoder.spec.pixels
    references = [refer(normalise(item, i), pixels, thumbnail=True) for i, item in enumerate(encoded.items)]
    own: list[Id] = [r.content if id is None else id for id, r in zip(ids, references, strict=True)]
    if len(set(own)) < len(own):
        raise refuse(400, "invalid_request", "two of the items have the same id, or are the same. Send each once.")
    return store.add_encoded(encoded.embeddings, references=references, ids=own, metadata=metadata)
