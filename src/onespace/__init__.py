"""Text, images and text+image pairs in one vector space.

>>> import onespace
>>> model = onespace.load()                                              # doctest: +SKIP
>>> e = model.encode(["a whale", onespace.Image("whale.png")])           # doctest: +SKIP
>>> onespace.similarity(e, e)                                            # doctest: +SKIP

Importing this package imports nothing but a few small modules of the standard library; work starts at the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onespace.errors import Error
from onespace.types import Image, Pair, Receipt

if TYPE_CHECKING:
    from onespace.embeddings import Embeddings, Ragged, Sparse
    from onespace.encoder import Encoder
    from onespace.fairness import Calibration
    from onespace.families import load
    from onespace.forms import Compact, Form
    from onespace.parts import Parts
    from onespace.passages import Chunking
    from onespace.prepare.cells import Tiling
    from onespace.score import similarity
    from onespace.search import Hit, rank
    from onespace.store import Store

__version__ = "0.1.0"
__all__ = [
    "Calibration",
    "Chunking",
    "Compact",
    "Embeddings",
    "Encoder",
    "Error",
    "Form",
    "Hit",
    "Image",
    "Pair",
    "Parts",
    "Ragged",
    "Receipt",
    "Sparse",
    "Store",
    "Tiling",
    "load",
    "rank",
    "similarity",
]

_LAZY = {
    "Calibration": "onespace.fairness",
    "rank": "onespace.search",
    "Tiling": "onespace.prepare.cells",
    "Parts": "onespace.parts",
    "Hit": "onespace.search",
    "Chunking": "onespace.passages",
    "Embeddings": "onespace.embeddings",
    "Ragged": "onespace.embeddings",
    "Sparse": "onespace.embeddings",
    "Encoder": "onespace.encoder",
    "Compact": "onespace.forms",
    "Form": "onespace.forms",
    "Store": "onespace.store",
    "load": "onespace.families",
    "similarity": "onespace.score",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'onespace' has no attribute {name!r}")
