"""Joins chunks of vectors into one .npz, .parquet or .jsonl file."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onespace.embeddings import Embeddings
from onespace.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from onespace.encoder import Encoder


@dataclass(frozen=True)
class Chunk:
    """The vectors of some records, and beside them their ids, texts and pictures."""

    path: Path

    @property
    def about_path(self) -> Path:
        """Where the ids stand."""
        return self.path.with_suffix(".json")

    def vectors(self) -> Embeddings:
        """Reads the vectors."""
        return Embeddings.open(self.path)

    def about(self) -> dict[str, Any]:
        """Reads the ids, texts and pictures."""
        return dict(json.loads(self.about_path.read_text("utf-8")))


def check_format(out: Path) -> None:
    """Refuses an ending that can't be written, before any work is done.

    Raises:
        InputError: the ending is unknown.
        MissingExtra: .parquet without pyarrow.
    """
    if out.suffix not in WRITERS:
        raise InputError(f"{out}: the ending {out.suffix!r} isn't known. Choose one of {', '.join(WRITERS)}.")
    if out.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise MissingExtra("writing .parquet", "pyarrow", "parquet")
    if out.is_dir():
        raise InputError(f"{out} is a folder. Choose another name for the file.")


def join(chunks: Sequence[Chunk], out: Path, model: Encoder) -> None:
    """Writes all chunks, in order, as one file that appears whole or not at all."""
    part = out.with_name(f".{out.name}.part")
    try:
        WRITERS[out.suffix](chunks, part, model)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


def rows(chunk: Chunk) -> Iterator[dict[str, Any]]:
    """One plain dict for each record of a chunk; a head that wasn't asked for is left out."""
    e, about = chunk.vectors(), chunk.about()
    for i, (name, text, image) in enumerate(zip(about["ids"], about["texts"], about["images"], strict=True)):
        row: dict[str, Any] = {"id": name, "text": text or None, "image": image or None, "modality": e.modalities[i]}
        if e.dense is not None:
            row["dense"] = e.dense[i].tolist()
        if e.sparse is not None:
            indices, values = e.sparse.row(i)
            row["sparse"] = {"indices": indices.tolist(), "values": values.tolist()}
        if e.multi is not None:
            row["multi"] = e.multi[i].tolist()
        row["receipt"] = asdict(e.receipts[i])
        yield row


def _write_npz(chunks: Sequence[Chunk], part: Path, model: Encoder) -> None:
    """`Embeddings.save` of all chunks, with the arrays ``ids``, ``texts`` and ``images`` added to it."""
    import numpy as np

    read = [chunk.vectors() for chunk in chunks]
    e = Embeddings.concatenate([r for r in read if len(r)] or read[:1])
    if e.sparse is not None:
        e = replace(e, sparse=replace(e.sparse, piece=model.tokenizer.piece))
    e.save(part)
    abouts = [chunk.about() for chunk in chunks]
    with zipfile.ZipFile(part, "a") as archive:
        for key in ("ids", "texts", "images"):
            buffer = io.BytesIO()
            np.save(buffer, np.array([value for about in abouts for value in about[key]], dtype=np.str_))
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue())


def _write_jsonl(chunks: Sequence[Chunk], part: Path, _: Encoder) -> None:
    with part.open("w", encoding="utf-8", newline="\n") as file:
        for chunk in chunks:
            for row in rows(chunk):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_parquet(chunks: Sequence[Chunk], part: Path, model: Encoder) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    width, number = model.spec.heads.dense, pa.float32()
    kinds = {
        "id": pa.string(),
        "text": pa.string(),
        "image": pa.string(),
        "modality": pa.string(),
        "dense": pa.list_(number, width),
        "sparse": pa.struct({"indices": pa.list_(pa.int32()), "values": pa.list_(number)}),
        "multi": pa.list_(pa.list_(number)),
        "receipt": pa.string(),
    }
    heads = chunks[0].vectors().heads
    schema = pa.schema({k: v for k, v in kinds.items() if k not in ("dense", "sparse", "multi") or k in heads})
    schema = schema.with_metadata({"onespace.model": model.spec.name})
    with pq.ParquetWriter(part, schema) as writer:
        for chunk in chunks:
            found = [row | {"receipt": json.dumps(row["receipt"])} for row in rows(chunk)]
            writer.write_table(pa.Table.from_pylist(found, schema=schema))


WRITERS: dict[str, Callable[[Sequence[Chunk], Path, Encoder], None]] = {
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
}
"""How each ending is written."""
