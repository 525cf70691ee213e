from __future__ import annotations

from pathlib import Path

import pytest
from index_cases import fill_folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``data``, a folder with files of every kind, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return fill_folder(Path("data"))
