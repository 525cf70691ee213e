"""How a server is set up: plain values, so that they reach worker processes as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from onespace.errors import InputError

MEGA = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What is taken in, at most. Beyond a queue's limit the answer is 429 with Retry-After, beyond a request's 413."""

    requests: int = 256
    """Requests that are being answered or wait, together."""
    queue_tokens: int = 262_144
    """Tokens, those of pictures included, that wait for the model."""
    queue_pixels: int = 256 * MEGA
    """Pixels of pictures that wait for the model, undecoded."""
    queue_bytes: int = 256 * MEGA
    """Bodies that are held at the same time."""
    body_bytes: int = 32 * MEGA
    items: int = 2048
    """Items of one request."""
    vectors: int = 65_536
    """Multi-vectors of one answer: written in JSON they take a hundred times the room of their text."""
    picture_pixels: int = 50 * MEGA
    """Pixels of one picture; checked by its header, before it is decoded."""
    batch_tokens: int = 8192
    """Tokens that the model is given at once."""
    batch_pixels: int = 32 * MEGA
    """Pixels that are decoded at once."""
    deadline: float = 30.0
    """Seconds a request may take; a client can ask for fewer with the header ``X-Deadline-Ms``."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise InputError(f"{name}={value!r} must be above 0.")


@dataclass(frozen=True)
class ServeOptions:
    """What is served, where, and to whom."""

    model: str | None = None
    weights: str | None = None
    dtype: str | None = None
    """Numbers that a torch model computes with."""
    fit: str | None = None
    swap: tuple[str, ...] = ()
    """Further models that ``POST /admin/model`` may put in its place."""
    aliases: tuple[str, ...] = ()
    """Further names under which clients may ask for the model."""
    store: str | None = None
    read_only: bool = False
    host: str = "127.0.0.1"
    port: int = 7997
    workers: int = 1
    api_keys: str | None = None
    """A file with the digests of keys; see `onespace.serve.keys`."""
    allow_remote_images: bool = False
    cors: tuple[str, ...] = ()
    """Origins whose pages may call this server, such as ``https://app.example``."""
    hosts: tuple[str, ...] = ()
    """Names under which the server may be addressed, beside its own; ``*`` for any."""
    grace: float = 60.0
    """Seconds that a stopping server waits for the requests that it accepted."""
    canary_every: float = 600.0
    """Seconds between two measurements of `onespace.serve.health.Canaries`."""
    limits: Limits = field(default_factory=Limits)

    def to_json(self) -> str:
        """The inverse of `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServeOptions:
        """Reads options.

        >>> ServeOptions.from_json(ServeOptions(cors=("https://a.example",)).to_json()).cors
        ('https://a.example',)
        """
        values: dict[str, Any] = json.loads(text)
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**{**values, "limits": Limits(**values["limits"])})
