"""The outermost layers: what comes in is counted, bounded and timed before anything else looks at it."""

from __future__ import annotations

import logging
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onespace.serve.metrics import Metrics
from onespace.serve.options import Limits
from onespace.serve.refusals import Refused, answer, busy, refusal_of, refuse

log = logging.getLogger("onespace.serve.access")

DEADLINE: ContextVar[float] = ContextVar("deadline")
"""When (`time.monotonic`) the request at hand is to be answered."""
BODILESS = ("GET", "HEAD", "OPTIONS")
_PAIR = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..")
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
FREE = ("/health", "/metrics")
"""Paths that are answered however busy the server is."""
DRAIN_SECONDS = 2.0
"""A refused body is read away for so long: a client that still sends would never see why it was refused."""


@dataclass
class Tally:
    """What was accepted and answered: a server that stops says both, and they are equal."""

    accepted: int = 0
    answered: int = 0
    stopping: bool = False
    """Answers then say that the connection ends, so that a client doesn't ask once more on it."""


class Watch:
    """Counts, times and logs every request; an error that nobody foresaw becomes an answer without its words.

    A log line has the method, the route's pattern, the status and the time: nothing of what was sent.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tally: Tally) -> None:
        self.app = app
        self.metrics = metrics
        self.tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 0
        self.tally.accepted += 1

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                if self.tally.stopping:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            refusal = refusal_of(error)
            if status:
                raise RuntimeError("the answer broke off") from None
            self.metrics.refused(refusal.code)
            await answer(scope["path"], refusal)(scope, receive, sending)
        finally:
            self.tally.answered += bool(status)
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.monotonic() - began
            self.metrics.answered(route, status, seconds)
            log.info("%s %s %d %.1f ms", scope["method"], route, status, 1000 * seconds)


@dataclass
class _Held:
    """Bytes that one request holds, and whether its body has come to its end."""

    bytes: int = 0
    whole: bool = False


class Gate:
    """Takes a request's body in, whole, within the limits of one body and of all bodies together; sets its deadline."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self.requests = 0
        self.bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        DEADLINE.set(time.monotonic() + self._seconds(headers))
        if scope["path"] in FREE:
            await self.app(scope, receive, send)
            return
        held = _Held()
        self.requests += 1
        try:
            if self.requests > self.limits.requests:
                await _drain(receive)
                raise busy("as many requests as can be are being answered. Ask again in a moment.", seconds=1)
            if scope["method"] not in BODILESS:
                body = await self._body(receive, headers, held)
                if halves(body):
                    raise refuse(
                        400, "invalid_request", "the body has half a character (a lone surrogate). Send whole ones."
                    )
                receive = _replay(body, receive)
            await self.app(scope, receive, send)
        finally:
            self.requests -= 1
            self.bytes -= held.bytes

    def _seconds(self, headers: Headers) -> float:
        asked = headers.get("x-deadline-ms", "")
        if asked and not (asked.isascii() and asked.isdigit() and len(asked) < 10):
            raise refuse(400, "invalid_request", "X-Deadline-Ms must be a whole number of milliseconds.")
        return min(self.limits.deadline, int(asked) / 1000) if asked else self.limits.deadline

    async def _body(self, receive: Receive, headers: Headers, held: _Held) -> bytes:
        """The body. Raises `Refused`: 413 for a large one, 408 for a slow one, 429 where others take all the room."""
        stated = headers.get("content-length", "0")
        try:
            self._take(int(stated) if stated.isdigit() else 0, held)
            with anyio.fail_after(DEADLINE.get() - time.monotonic()):
                return await self._chunks(receive, held)
        except Refused:
            if not held.whole:
                await _drain(receive)
            raise
        except TimeoutError:
            raise refuse(408, "slow_body", "the request's body came too slowly.") from None

    async def _chunks(self, receive: Receive, held: _Held) -> bytes:
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise refuse(400, "disconnected", "the connection ended before the request's body did.")
            chunk = message.get("body", b"")
            held.whole = not message.get("more_body", False)
            size += len(chunk)
            self._take(size - held.bytes, held)
            chunks.append(chunk)
            if held.whole:
                return b"".join(chunks)

    def _take(self, more: int, held: _Held) -> None:
        """Makes room for so many more bytes."""
        if more <= 0:
            return
        if held.bytes + more > self.limits.body_bytes:
            most = self.limits.body_bytes
            raise refuse(413, "body_too_large", f"the body has more than {most:,} bytes. Send less at a time.")
        if self.bytes + more > self.limits.queue_bytes:
            raise busy("other requests take up all the room. Ask again in a moment.", seconds=1)
        self.bytes += more
        held.bytes += more


def halves(body: bytes) -> bool:
    r"""Whether JSON spells half a character: Python reads it into texts that can neither be stored nor sent again.

    >>> halves(rb'"\ud83d\udc33"'), halves(rb'"\ud83d"'), halves(rb'"\\ud83d"')
    (False, True, False)
    """
    if b"\\u" not in body:
        return False
    return _HALF.search(_PAIR.sub(b"", body.replace(b"\\\\", b""))) is not None


async def _drain(receive: Receive) -> None:
    """Reads on for a while and keeps nothing."""
    with anyio.move_on_after(DRAIN_SECONDS):
        while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
            pass


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was taken in, and then goes on as the connection does."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
