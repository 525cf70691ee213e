"""What is served, whether it is well, and its numbers; and the change to another model."""

from __future__ import annotations

from typing import Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from onespace import __version__
from onespace.serve.refusals import refuse
from onespace.serve.service import Service


class SwapRequest(BaseModel):
    """The model to change to; none reads the one that serves anew."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = None


class SwapReply(BaseModel):
    """The model that serves now, and how far its canaries are from those of the one before."""

    model: str
    canary_distance: float | None


class Health(BaseModel):
    """``drifted`` when the canaries' vectors have moved: the numbers of this server are then wrong."""

    status: Literal["ok", "drifted"]


def routes(service: Service) -> APIRouter:
    """The routes of every server."""
    router = APIRouter(tags=["Status"])

    @router.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def health() -> JSONResponse:
        """200 while vectors are what they were when the model was loaded."""
        well = service.canaries.well
        return JSONResponse({"status": "ok" if well else "drifted"}, 200 if well else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    @router.get("/info")
    async def info() -> dict[str, Any]:
        """The model, its limits and what it may claim, and the store; the first names are TEI's."""
        return await service.run(_info, service)

    @router.post("/admin/model", response_model=SwapReply)
    async def swap(body: SwapRequest, request: Request) -> dict[str, Any]:
        """Loads a model beside the one that serves, checks it, and changes over; no request is lost."""
        key = request.scope.get("state", {}).get("key")
        if key is None or not key.admin:
            raise refuse(403, "not_admin", "changing the model needs a key that is marked admin in the key file.")
        return await to_thread.run_sync(service.swap, body.model)

    return router


def _info(service: Service) -> dict[str, Any]:
    encoder, limits = service.encoder, service.options.limits
    spec = encoder.spec
    store = None
    if service.has_store:
        kept = service.store
        store = {"items": len(kept), "heads": list(kept.shape.heads), "read_only": kept.options.read_only}
    return {
        "model_id": spec.name,
        "model_dtype": service.options.dtype or "float32",
        "model_type": {"embedding": {"pooling": spec.heads.pooling}},
        "max_input_length": spec.max_tokens,
        "max_batch_tokens": limits.batch_tokens,
        "max_client_batch_size": limits.items,
        "max_concurrent_requests": limits.requests,
        "auto_truncate": True,
        "version": __version__,
        "model": spec.name,
        "modalities": list(spec.modalities),
        "heads": list(spec.head_names),
        "capabilities": encoder.capabilities(),
        "remote_images": service.options.allow_remote_images,
        "limits": {"body_bytes": limits.body_bytes, "picture_pixels": limits.picture_pixels, "items": limits.items},
        "store": store,
    }
