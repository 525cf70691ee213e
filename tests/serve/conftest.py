from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from serving import serving

from onespace.encoder import Encoder


@pytest.fixture(scope="module")
def client(tiny_encoder: Encoder) -> Iterator[httpx.Client]:
    """Of a server with the tiny model, no store and no keys."""
    with serving(tiny_encoder, aliases=("text-embedding-3-small",)) as running:
        yield running
