"""A server that runs in a thread of the test, on a port of its own, and speaks real HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
from PIL import Image as PILImage

from onespace.encoder import Encoder
from onespace.serve.app import create_app
from onespace.serve.options import Limits, ServeOptions
from onespace.serve.run import Server, config
from onespace.serve.service import Service
from onespace.store import Store


@contextmanager
def serving(encoder: Encoder, *, store: Store | None = None, **options: Any) -> Iterator[httpx.Client]:
    """A client of a running server; ``client.service`` is what it serves. Limits are given among the options."""
    names = Limits.__dataclass_fields__
    limits = replace(Limits(), **{k: options.pop(k) for k in list(options) if k in names})
    service = Service(encoder, ServeOptions(port=0, limits=limits, **options), store=store)
    server = Server(config(create_app(service), service.options), service.tally)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
        client.service = service  # type: ignore[attr-defined]
        try:
            yield client
        finally:
            client.close()
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive(), "the server didn't stop"


def uri(picture: PILImage.Image, kind: str = "PNG") -> str:
    """A data URI."""
    return f"data:image/{kind.lower()};base64,{bare(picture, kind)}"


def bare(picture: PILImage.Image, kind: str = "PNG") -> str:
    """Base64 alone."""
    file = io.BytesIO()
    picture.save(file, kind)
    return base64.b64encode(file.getvalue()).decode("ascii")
