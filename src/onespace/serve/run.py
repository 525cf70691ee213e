"""Runs a server until it is told to stop: one process, or several behind one port."""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from tempfile import TemporaryDirectory
from types import FrameType

import uvicorn
from fastapi import FastAPI

from onespace.errors import Error, InputError, ModelError
from onespace.serve.app import create_app
from onespace.serve.gate import Tally
from onespace.serve.keys import Keys
from onespace.serve.metrics import SHARED
from onespace.serve.options import ServeOptions
from onespace.serve.service import Service
from onespace.store.places import Place

log = logging.getLogger("onespace.serve")

OPTIONS = "ONESPACE_SERVE"
"""How worker processes get their options."""
IDLE = 30
"""Seconds that an idle connection is kept."""
STARTUP_FAILURE = 3
"""Exit code at which uvicorn doesn't start a worker again."""
HEALTHY = 60
"""Seconds in which a new worker must have loaded its model."""
FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"


class Server(uvicorn.Server):
    """Stops at SIGTERM or SIGINT when what was accepted is answered, and ends with exit code 0."""

    def __init__(self, config: uvicorn.Config, tally: Tally) -> None:
        super().__init__(config)
        self.tally = tally

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """The second SIGINT doesn't wait."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = self.tally.stopping = True


def serve(options: ServeOptions, *, ready: Callable[[str], None] | None = None) -> None:
    """Serves; returns when the server has stopped.

    Args:
        options: see `ServeOptions`; port 0 is any free one.
        ready: is told the address when requests are answered.

    Raises:
        InputError: the address can't be used; and what loading a model or opening a store raises.
    """
    _log()
    bound = _bind(options)
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http://{host}:{bound.getsockname()[1]}"
    try:
        if options.workers > 1:
            _check(options)
            _several(options, bound, lambda: ready(address) if ready else None)
        else:
            _one(Service.open(options), bound, lambda: ready(address) if ready else None)
    finally:
        bound.close()


def create() -> FastAPI:
    """The application of a worker process."""
    _log()
    try:
        return create_app(Service.open(ServeOptions.from_json(os.environ[OPTIONS])))
    except Error as error:
        log.error("%s", error)
        sys.exit(STARTUP_FAILURE)  # another try would fail in the same way


def config(app: FastAPI | str, options: ServeOptions) -> uvicorn.Config:
    """How uvicorn runs it; its own access log, which repeats addresses as they were asked for, is off."""
    logging.getLogger("uvicorn.access").disabled = True
    return uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        workers=options.workers,
        factory=isinstance(app, str),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=round(options.grace),
        timeout_worker_healthcheck=HEALTHY,
    )


def _one(service: Service, bound: socket.socket, ready: Callable[[], None]) -> None:
    server = Server(config(create_app(service), service.options), service.tally)

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            ready()
        await serving

    asyncio.run(run())


def _several(options: ServeOptions, bound: socket.socket, ready: Callable[[], None]) -> None:
    """Workers that share the port; each has its own model, and SIGHUP replaces them one after another."""
    from uvicorn.supervisors import Multiprocess

    with TemporaryDirectory(prefix="onespace-") as folder:
        os.environ[OPTIONS] = options.to_json()
        os.environ[SHARED] = folder
        threading.Thread(target=_when_healthy, args=(options.host, bound.getsockname()[1], ready), daemon=True).start()
        supervisor = Multiprocess(config("onespace.serve.run:create", options), sockets=[bound])
        supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise ModelError("the worker processes didn't start. The log above says why.")


def _check(options: ServeOptions) -> None:
    """Says soon what every worker would say later. Raises `InputError`."""
    if options.api_keys:
        Keys.read(options.api_keys)
    if options.store and not Place.of(options.store).log.is_file():
        raise InputError(f"there is no store at {options.store}, and several workers only read. Make one first.")


def _when_healthy(host: str, port: int, ready: Callable[[], None]) -> None:
    """Tells when the first worker answers: until then a connection waits in the socket's queue."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(local, port, timeout=600)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/health")
        if connection.getresponse().status == 200:
            ready()
    connection.close()


def _log() -> None:
    """Lines on stderr; ours stay while a model that is checked keeps the library quiet."""
    logging.basicConfig(level=logging.INFO, format=FORMAT)
    logging.getLogger("onespace.serve").setLevel(logging.INFO)


def _bind(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.host, options.port))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{options.host}:{options.port} can't be used ({reason}). Choose another --host or --port; 0 is any free."
        ) from error
    bound.listen(2048)
    return bound
