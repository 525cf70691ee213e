"""Every answer that isn't a result: its status, and its body in the words of the dialect that was spoken."""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from onespace.contract import ContractError
from onespace.errors import Error, InputError, MissingExtra, ModelError, PassportError, StoreError

log = logging.getLogger("onespace.serve")

TEI = ("/embed", "/embed_sparse", "/embed_all", "/rerank")
TEI_TYPES = {413: "Validation", 422: "Validation", 424: "Backend", 429: "Overloaded", 500: "Unhealthy"}
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


@dataclass(frozen=True)
class Refusal:
    """Why a request isn't answered."""

    status: int
    code: str
    message: str
    retry_after: int | None = None
    param: str | None = None


class Refused(Error):
    """A request that isn't answered, with its `Refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refuse(status: int, code: str, message: str, *, param: str | None = None) -> Refused:
    """The error to raise."""
    return Refused(Refusal(status, code, message, param=param))


def busy(message: str, *, seconds: float, code: str = "busy") -> Refused:
    """429: there is no room now, and there may be after so many seconds."""
    return Refused(Refusal(429, code, message, retry_after=max(1, min(60, round(seconds + 0.5)))))


def refusal_of(error: BaseException) -> Refusal:
    """What the client is told of an error. What wasn't foreseen is told to the log, by its place and not its words."""
    if isinstance(error, Refused):
        return error.refusal
    if isinstance(error, (InputError, MissingExtra)):
        return Refusal(400, "invalid_request", str(error))
    if isinstance(error, (PassportError, ModelError, ContractError)):
        return Refusal(409, "wrong_model", str(error))
    if isinstance(error, StoreError):
        return Refusal(503, "store_unavailable", "the store can't be reached or written now. Try again later.", 5)
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))
    log.error("unforeseen %s at %s", type(error).__name__, where)
    return Refusal(500, "internal_error", "the server failed at this request; its log says where.")


def answer(path: str, refusal: Refusal) -> Response:
    """The refusal as the client of this path expects it."""
    status, body = told(path, refusal)
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(json.dumps(body), status, headers, "application/json")


def told(path: str, refusal: Refusal) -> tuple[int, dict[str, Any]]:
    """Status and body.

    >>> told("/embed", Refusal(400, "invalid_request", "item 0 is empty."))
    (422, {'error': 'item 0 is empty.', 'error_type': 'Validation'})
    >>> told("/v2/embed", Refusal(429, "busy", "try later."))
    (429, {'message': 'try later.'})
    """
    status = refusal.status
    if path.startswith(("/v1/", "/v2/")):
        status = 400 if status == 422 else status
    if path in TEI:
        status = 422 if status == 400 else status
        return status, {"error": refusal.message, "error_type": TEI_TYPES.get(status, "Validation")}
    if path.startswith("/v2/"):
        return status, {"message": refusal.message}
    if path.startswith("/v1/multimodal"):
        return status, {"detail": refusal.message}
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}
    return status, {"error": error}
