"""Fixtures of every test: one tiny model and a few pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PILImage
from tiny_model import tiny_fused, tiny_spec

from onespace.encoder import Encoder


@pytest.fixture(scope="session")
def tiny_encoder() -> Encoder:
    """Text, pictures and pairs; three heads; random weights."""
    return tiny_fused(tiny_spec())


@pytest.fixture(scope="session")
def pictures() -> list[PILImage.Image]:
    """Four small pictures of noise in different shapes."""
    random = np.random.default_rng(0)
    sizes = ((40, 30), (32, 32), (20, 60), (64, 16))
    return [PILImage.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
