"""A store on a plane: what is alike lies side by side.

>>> import numpy as np
>>> flat(np.array([[0.0, 0, 0], [1, 2, 2], [2, 4, 4]]))[:, 0].round(2).tolist()
[-1.0, 0.0, 1.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Literal, TypeAlias

import numpy as np

from onespace.errors import InputError, MissingExtra
from onespace.store import Store
from onespace.store.log import Id, Stored

Method: TypeAlias = Literal["pca", "umap"]
METHODS: tuple[Method, ...] = ("pca", "umap")
MOST = 1000
"""Items on a map; of a larger store every n-th is taken."""
BLOCK = 250
"""Items whose vectors are read at once."""
NEIGHBOURS = 15
"""Items that UMAP keeps side by side."""


@dataclass(frozen=True)
class Map:
    """Items and where they lie: ``places`` (N, 2), each from -1 to 1."""

    items: tuple[Stored, ...]
    places: np.ndarray
    method: Method
    total: int
    """Items in the store."""


class Atlas:
    """The maps of one store, for many threads; a map is drawn again only when what it shows has changed."""

    def __init__(self, store: Store, *, most: int = MOST) -> None:
        self.store = store
        self.most = most
        self._drawn: dict[Method, Map] = {}
        self._drawing = Lock()

    def draw(self, method: Method = "pca") -> Map:
        """The map by ``"pca"``, which takes a moment, or by ``"umap"``, which shows groups and takes longer.

        Raises:
            InputError: another method.
            MissingExtra: UMAP isn't installed.
        """
        if method not in METHODS:
            raise InputError(f"method={method!r} isn't known. Choose one of {', '.join(METHODS)}.")
        total = self.store.count()
        step = max(1, -(-total // self.most))
        items = tuple(islice(self.store.iterate(), 0, None, step))
        with self._drawing:
            known = self._drawn.get(method)
            if known is None or known.total != total or _numbers(known.items) != _numbers(items):
                vectors = dense_of(self.store, [item.id for item in items])
                known = self._drawn[method] = Map(items, flat(vectors, method=method), method, total)
            return known


def dense_of(store: Store, ids: list[Id]) -> np.ndarray:
    """The dense vectors (N, D) of items; one in parts has the mean of its parts."""
    blocks = [np.zeros((0, store.model.spec.heads.dense), np.float32)]
    for start in range(0, len(ids), BLOCK):
        e = store.vectors(ids[start : start + BLOCK])
        assert e.dense is not None
        blocks.append(np.stack([e.dense[e.rows(i)].mean(0) for i in range(e.items)]))
    return np.concatenate(blocks)


def flat(vectors: np.ndarray, *, method: Method = "pca") -> np.ndarray:
    """Vectors (N, D) on a plane: (N, 2), its centre 0 and its farthest coordinate 1 or -1.

    PCA keeps the two directions in which the vectors differ most. Source: McInnes, Healy and Melville 2018 (UMAP).

    Raises:
        MissingExtra: UMAP isn't installed.
    """
    centred = vectors.astype(np.float64) - vectors.mean(0) if len(vectors) else np.zeros((0, 2))
    places = _umap(centred) if method == "umap" and len(vectors) > 4 else _pca(centred)
    places = places - places.mean(0) if len(places) else places
    return np.asarray(places / max(float(np.abs(places).max(initial=0)), 1e-12), np.float32)


def _pca(centred: np.ndarray) -> np.ndarray:
    """(N, 2), mirrored so that the largest share in each direction is positive: the same map each time."""
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    axes = np.zeros((2, centred.shape[1]))
    axes[: len(directions)] = directions[:2]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    return np.asarray(centred @ (axes * np.where(largest < 0, -1, 1)).T)


def _umap(centred: np.ndarray) -> np.ndarray:
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtra("a map by UMAP", "umap-learn", "map") from error
    near = min(NEIGHBOURS, len(centred) - 1)
    return np.asarray(UMAP(n_neighbors=near, init="pca", random_state=0, n_jobs=1).fit_transform(centred))


def _numbers(items: tuple[Stored, ...]) -> list[int]:
    return [item.number for item in items]
