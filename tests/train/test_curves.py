from __future__ import annotations

import sys
from pathlib import Path

import pytest

from onespace.errors import MissingExtra
from onespace.train.curves import plot_log


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'onespace\[train\]'"):
        plot_log(tmp_path, tmp_path / "curves.png")
