"""Ray: actors on this machine, or on all machines of a cluster, with one process that reads files and writes the store.

Ray starts an actor that died again, and gives it the same task. The actors are Ray Data's, and live for one round of
`onespace.index.actors.spread`.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from onespace.encoder import Encoder
from onespace.errors import InputError, MissingExtra, StoreError
from onespace.index.actors import Actor, Actors, Deal, Result, Task, spread
from onespace.index.documents import Document
from onespace.index.encoding import Encoded
from onespace.store.passport import Passport

log = logging.getLogger(__name__)

PROCESSORS = 4
"""Of each actor, where there are as many and no GPU."""
PATIENCE = 10.0
"""Seconds that a cluster's first machine may take to answer."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": ".", "RAY_BACKEND_LOG_LEVEL": "fatal"}
"""Keeps Ray from calling home, and from writing what its processes say between the lines of a command."""


def encode_on_ray(
    batches: Iterable[Sequence[Document]], model: Encoder, actors: Actors
) -> Iterator[tuple[list[Document], Encoded]]:
    """Encodes batches as they come; yields their documents, each once, with what became of them, in any order.

    Args:
        batches: from `Indexer.batches`; what is yielded goes to `Indexer.take`.
        model: the store's, as it is loaded here; the actors' must be the same.
        actors: where they are.

    Raises:
        MissingExtra: Ray isn't installed.
        InputError: a ``ray://`` address.
        StoreError: the cluster can't be reached, its machines have another model, or it fails. What was yielded
            counts: index again for the rest.
    """
    passport = Passport.of(model, model.spec.head_names, "float16")
    with connected(actors.address) as ray:
        yield from spread(batches, _dealer(ray, actors, passport))


def _dealer(ray: Any, actors: Actors, passport: Passport) -> Deal:
    """What deals tasks out to Ray Data's actors."""
    there = ray.cluster_resources()
    gpus, processors = int(there.get("GPU", 0)), max(1, int(there.get("CPU", 1)))
    workers = actors.workers or gpus or max(1, processors // PROCESSORS)
    threads = max(1, min(PROCESSORS, processors // workers))
    log.info("%d workers with %d processors each, on %d machines", workers, threads, len(ray.nodes()))

    def deal(tasks: list[Task]) -> Iterator[Result]:
        starts = ray.remote(_Starts).options(num_cpus=0).remote()
        told = {"threads": threads, "starts": lambda number: ray.get(starts.begin.remote(number))}
        dataset = ray.data.from_items([{"task": task} for task in tasks], override_num_blocks=len(tasks)).map_batches(
            Actor,
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=workers),
            fn_constructor_args=(actors, passport),
            fn_constructor_kwargs=told,
            num_cpus=threads,
            num_gpus=1 if gpus >= workers else None,
        )
        try:
            for row in dataset.iter_rows():
                yield row["result"]
        except ray.exceptions.RayError as error:
            raise StoreError(
                f"Ray failed ({_first_line(error)}). What was acknowledged is kept: index again for the rest."
            ) from error

    return deal


class _Starts:
    """Counts how often each task of a round was begun."""

    def __init__(self) -> None:
        self.times = Counter[int]()

    def begin(self, number: int) -> int:
        self.times[number] += 1
        return self.times[number]


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected or started; an application's own connection is used, and stays."""
    ray = _import_ray(address)
    own = not ray.is_initialized()
    if own:
        here = {"address": "local", "num_cpus": _processors(), "include_dashboard": False}
        try:
            ray.init(**({"address": address} if address else here), log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise _unreachable(address, error) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()


def _import_ray(address: str | None) -> Any:
    """Ray is told by the environment alone, and only before it is imported.

    It runs whatever it is sent, and when it is started here it listens on the network: so it gets a password.
    """
    _knock(address)
    if "ray" not in sys.modules:
        secret = {} if address else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        for name, value in {**QUIET, **secret}.items():
            os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("encoding on a cluster", "ray", "ray") from error
    return ray


def _knock(address: str | None) -> None:
    """Raises `InputError` for an address that Ray Data can't use, and `StoreError` where nobody listens.

    Ray itself would try for minutes.
    """
    if address and address.startswith("ray://"):
        raise InputError(
            f"{address}: Ray Data doesn't run through ray://. Run the command on a machine of the cluster "
            "(ray job submit -- onespace index ...) with --ray auto."
        )
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        except OSError as error:
            raise _unreachable(address, error) from error


def _unreachable(address: str | None, error: Exception) -> StoreError:
    where = f"Ray at {address!r} can't be reached" if address else "Ray can't be started on this machine"
    what = "Start it there (ray start --head), or check the address" if address else "See its logs in /tmp/ray"
    return StoreError(f"{where} ({_first_line(error)}). {what}.")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
