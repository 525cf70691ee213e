"""What Prometheus reads at ``/metrics``: names begin with ``onespace_``, and no label holds what users sent."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from onespace.serve.usage import Usage

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The folder through which worker processes add up their numbers."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
FILLS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The numbers of one server."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self._requests = Counter("onespace_requests", "Answers", ["route", "status"], registry=own)
        self._seconds = Histogram("onespace_request_seconds", "Latency", ["route"], registry=own, buckets=SECONDS)
        self._refusals = Counter("onespace_refusals", "Requests refused, by reason", ["reason"], registry=own)
        self._tokens = Counter("onespace_tokens", "Tokens read by the model", registry=own)
        self._pixels = Counter("onespace_pixels", "Pixels of pictures that were encoded", registry=own)
        self._truncated = Counter("onespace_truncated_tokens", "Tokens cut off texts", registry=own)
        self._cropped = Counter("onespace_cropped_pixels", "Pixels that the model didn't see", registry=own)
        self._batch_items = Histogram("onespace_batch_items", "Items of a batch", registry=own, buckets=ITEMS)
        self._batch_fill = Histogram("onespace_batch_fill", "Share of a batch's budget", registry=own, buckets=FILLS)
        self._batch_seconds = Histogram("onespace_batch_seconds", "Time of a batch", registry=own, buckets=SECONDS)
        self._queue = {
            kind: Gauge(f"onespace_queue_{kind}", f"{kind} waiting", registry=own, multiprocess_mode="livesum")
            for kind in ("requests", "tokens", "pixels")
        }
        self._drift = Gauge(
            "onespace_canary_drift",
            "Largest distance of a canary's vector from what it was",
            registry=own,
            multiprocess_mode="livemax",
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One answer; ``route`` is the route's pattern, never what was asked for."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, reason: str) -> None:
        """One refusal."""
        self._refusals.labels(reason).inc()

    def used(self, usage: Usage) -> None:
        """What an answer took."""
        self._tokens.inc(usage.tokens)
        self._pixels.inc(usage.pixels)
        self._truncated.inc(usage.dropped)
        self._cropped.inc(usage.cropped)

    def batch(self, *, items: int, fill: float, seconds: float) -> None:
        """One run of the model."""
        self._batch_items.observe(items)
        self._batch_fill.observe(fill)
        self._batch_seconds.observe(seconds)

    def waiting(self, **amounts: int) -> None:
        """What is in the queue."""
        for kind, amount in amounts.items():
            self._queue[kind].set(amount)

    def drift(self, distance: float) -> None:
        """How far the canaries have moved."""
        self._drift.set(distance)

    def text(self) -> bytes:
        """Of all worker processes, where there are several."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)
