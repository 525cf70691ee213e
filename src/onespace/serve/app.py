"""The application: the layers around it, the routes of every dialect, and the page."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, HTMLResponse, Response

from onespace import __version__
from onespace.errors import Error
from onespace.serve.dialects import cohere, openai, own, status, store, tei, voyage
from onespace.serve.gate import Gate, Watch
from onespace.serve.guard import Guard, SecurityHeaders
from onespace.serve.reference import reference_page
from onespace.serve.refusals import Refusal, answer, refusal_of
from onespace.serve.service import Service

DIALECTS = (own, store, openai, cohere, voyage, tei, status)
PAGE = Path(__file__).parent / "page"
PAGE_TYPES = {".html", ".css", ".js", ".json", ".svg", ".png", ".webp", ".woff2"}
DESCRIPTION = "Text, images and pairs of both in one vector space. Every error is JSON; 429 says when to come back."


def create_app(service: Service) -> FastAPI:
    """The application of a service, which it closes when it stops."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.watch_canaries())
        _reload_on_hangup(service)
        yield
        watching.cancel()
        await asyncio.to_thread(service.close)

    options = service.options
    layers = [Middleware(SecurityHeaders)]
    if options.cors:
        allowed = {
            "allow_methods": ["GET", "POST", "DELETE"],
            "allow_headers": ["*"],
            "expose_headers": ["Retry-After"],
        }
        layers.append(Middleware(CORSMiddleware, allow_origins=list(options.cors), **allowed))  # type: ignore[arg-type]
    layers += [
        Middleware(Watch, metrics=service.metrics, tally=service.tally),
        Middleware(Guard, options=options, keys=lambda: service.keys),
        Middleware(Gate, limits=options.limits),
    ]
    app = FastAPI(
        title="onespace",
        version=__version__,
        description=DESCRIPTION,
        lifespan=life,
        middleware=layers,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for dialect in DIALECTS:
        app.include_router(dialect.routes(service))
    _refusals(app, service)
    _pages(app)
    return app


def _refusals(app: FastAPI, service: Service) -> None:
    """Every error in the words of the dialect; what was sent isn't repeated."""

    async def foreseen(request: Request, error: Exception) -> Response:
        refusal = refusal_of(error)
        service.metrics.refused(refusal.code)
        return answer(request.url.path, refusal)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        told = [f"{_named(one['loc'])}: {one['msg']}" for one in error.errors()[:4]]
        service.metrics.refused("invalid_request")
        return answer(request.url.path, Refusal(422, "invalid_request", "; ".join(told)))

    async def other(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        service.metrics.refused(code)
        said = answer(request.url.path, Refusal(error.status_code, code, str(error.detail)))
        said.headers.update(error.headers or {})
        return said

    app.add_exception_handler(Error, foreseen)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)


def _named(place: tuple[str | int, ...]) -> str:
    """Where in the body an error is; of a body that isn't JSON there is only a number of characters."""
    names = [str(part) for part in place[1:]]
    return ".".join(names)[:80] if names and not isinstance(place[1], int) else "body"


def _pages(app: FastAPI) -> None:
    files = {path.name: path for path in PAGE.iterdir() if path.suffix in PAGE_TYPES} if PAGE.is_dir() else {}

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        if "index.html" not in files:
            return HTMLResponse(reference_page(app.openapi()))
        return FileResponse(files["index.html"])

    @app.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such file.")
        return FileResponse(files[name])

    @app.get("/docs", include_in_schema=False)
    async def reference() -> Response:
        return HTMLResponse(reference_page(app.openapi()))


def _reload_on_hangup(service: Service) -> None:
    """SIGHUP reads keys and model anew, as daemons do; at a terminal it still means that the terminal went away."""
    if not hasattr(signal, "SIGHUP") or sys.stdin is None or sys.stdin.isatty():
        return
    loop = asyncio.get_running_loop()
    with suppress(RuntimeError, ValueError, NotImplementedError):  # not in the main thread
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, service.reload))
