"""Who may ask: the host that was meant, the page that asks, and the key. And what browsers are told about our pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onespace.serve.keys import Keys
from onespace.serve.options import ServeOptions
from onespace.serve.refusals import refuse

LOOPBACK = ("localhost", "127.0.0.1", "::1")
OPEN = re.compile(r"/|/page/[^/]*|/health|/docs|/openapi\.json")
"""Paths that need no key: they hold nothing of the model's or the store's."""
SAFE = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class SecurityHeaders:
    """Puts the headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, sending)


class Guard:
    """Refuses foreign hosts (a name that was made to mean this machine), foreign pages, and callers without a key."""

    def __init__(self, app: ASGIApp, options: ServeOptions, keys: Callable[[], Keys | None]) -> None:
        self.app = app
        self.keys = keys
        self.origins = options.cors
        local = options.host in LOOPBACK
        self.hosts = {*LOOPBACK, *options.hosts} if local or options.hosts else {"*"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._host(headers)
            self._origin(scope, headers)
            self._key(scope, headers)
        await self.app(scope, receive, send)

    def _host(self, headers: Headers) -> None:
        host = _hostname(f"//{headers.get('host', '')}")
        if "*" not in self.hosts and host not in self.hosts:
            raise refuse(403, "wrong_host", "the server isn't addressed by this name. Start it with --allow-host NAME.")

    def _origin(self, scope: Scope, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or scope["method"] in SAFE or origin in self.origins or "*" in self.origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise refuse(403, "wrong_origin", "pages of other sites may not call this server. Start it with --cors.")

    def _key(self, scope: Scope, headers: Headers) -> None:
        keys = self.keys()
        if keys is None or OPEN.fullmatch(scope["path"]) or scope["method"] == "OPTIONS":
            return
        scheme, _, presented = headers.get("authorization", "").partition(" ")
        presented = presented if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        key = keys.find(presented.strip())
        if key is None:
            raise refuse(401, "invalid_api_key", "an API key is needed: send the header Authorization: Bearer KEY.")
        scope.setdefault("state", {})["key"] = key


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
