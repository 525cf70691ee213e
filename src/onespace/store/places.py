"""Where a store lives, from a path or an address."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from onespace.errors import InputError
from onespace.store.engine import Engine, Layout
from onespace.store.qdrant import MEMORY, Cluster

SPELLINGS = (
    "A store is a folder ('pictures.db'), 'qdrant://host:6334/name', 'milvus://host:19530/name', or a folder with "
    "Milvus Lite in it ('milvus:pictures.db')."
)
SCHEMES = ("qdrant", "qdrant+https", "milvus", "milvus+https")
LOG, CURRENT = "log.sqlite", "current"
HERE = "here"
PORTS = {"qdrant": 6333, "milvus": 19530}


@dataclass(frozen=True)
class Place:
    """The folder of the log, and the collection of vectors beside it or elsewhere."""

    folder: Path
    kind: Literal["embedded", "qdrant", "milvus"] = "embedded"
    cluster: Cluster | None = None

    @classmethod
    def of(cls, target: str | Path, *, log: str | Path | None = None) -> Place:
        """Reads a path or an address; ``log`` is the folder of the log of a store elsewhere.

        Raises:
            InputError: what is neither.

        >>> place = Place.of("qdrant://localhost:6334/pictures")
        >>> place.cluster.host, place.cluster.port, place.cluster.collection, str(place.folder)
        ('localhost', 6334, 'pictures', 'pictures.onespace')
        """
        scheme, colon, rest = str(target).partition(":")
        if isinstance(target, Path) or not colon or scheme not in SCHEMES:
            if not str(target) or "://" in str(target):
                raise InputError(f"{target!r} isn't a place for a store. {SPELLINGS}")
            return cls(Path(target))
        kind: Literal["qdrant", "milvus"] = "qdrant" if scheme.startswith("qdrant") else "milvus"
        if rest == MEMORY and kind == "qdrant":
            return cls(Path(log or "memory.onespace"), kind, Cluster(MEMORY, None, "onespace"))
        if not rest.startswith("//"):
            if kind == "qdrant" or not rest:
                raise InputError(f"{target!r} isn't a place for a store. {SPELLINGS}")
            folder = Path(rest)
            return cls(folder, kind, Cluster(str(folder / "milvus.db"), None, "onespace"))
        parts = urlsplit(str(target))
        name = parts.path.strip("/")
        try:
            port = parts.port
        except ValueError:
            port = 0
        if not parts.hostname or port == 0 or not name.replace("_", "").isalnum() or name[0].isdigit():
            raise InputError(f"{target!r} needs a host, a port and a name of letters, digits and _. {SPELLINGS}")
        cluster = Cluster(parts.hostname, port or PORTS[kind], name, secure=scheme != kind)
        return cls(Path(log or f"{name}.onespace"), kind, cluster)

    @property
    def remote(self) -> bool:
        """Whether the vectors are in a cluster, not in this process."""
        return self.cluster is not None and self.cluster.port is not None

    @property
    def name(self) -> str:
        """For messages."""
        if self.cluster is None or not self.remote:
            return str(self.folder)
        return f"{self.kind}://{self.cluster.host}:{self.cluster.port}/{self.cluster.collection}"

    @property
    def collection(self) -> str:
        """What a log notes of the collection that is its own; one in the log's folder is, however the path is spelt."""
        return self.name if self.remote else HERE

    @property
    def log(self) -> Path:
        """The file of the log: the one that ``current`` names, which a move to another model writes, or the first."""
        try:
            return self.folder / (self.folder / CURRENT).read_text("utf-8").strip()
        except OSError:
            return self.folder / LOG

    def engine_folder(self, generation: str) -> Path:
        """Where the embedded engine of a generation is; the first one's is empty."""
        return self.folder / f"engine-{generation or 'first'}"

    def engine(self, layout: Layout, generation: str) -> Engine:
        """Opens the collection, or makes it."""
        if self.kind == "qdrant" and self.cluster is not None:
            from onespace.store.qdrant import QdrantEngine

            return QdrantEngine(self.cluster, layout)
        if self.kind == "milvus" and self.cluster is not None:
            from onespace.store.milvus import MilvusEngine

            return MilvusEngine(self.cluster, layout)
        from onespace.store.edge import EdgeEngine

        return EdgeEngine(self.engine_folder(generation), layout)
