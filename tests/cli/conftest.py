from __future__ import annotations

import pytest

from onespace.encoder import Encoder
from onespace.families import mini


@pytest.fixture(scope="session")
def model_folder(tiny_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model as a folder, for ``--model``."""
    return str(mini.save(tiny_encoder, tmp_path_factory.mktemp("model") / "tiny"))
