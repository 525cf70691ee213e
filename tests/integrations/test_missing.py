"""Without its library an adapter names the extra."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from onespace.errors import MissingExtra

ADAPTERS = {
    "langchain": ("langchain_core", "langchain"),
    "llama_index": ("llama_index", "llama-index"),
    "lancedb": ("lancedb", "lancedb"),
    "haystack": ("haystack", "haystack"),
}


@pytest.mark.parametrize("module", ADAPTERS)
def test_the_extra_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library, extra = ADAPTERS[module]
    for name in [library, *(name for name in sys.modules if name.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"onespace.integrations.{module}", raising=False)
    with pytest.raises(MissingExtra, match=rf"onespace\[{extra}\]"):
        import_module(f"onespace.integrations.{module}")
