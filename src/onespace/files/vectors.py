"""Encodes a stream of records into one file, resumably: killed half-way, it goes on where it stopped.

    OUT.partial/plan.json         the model, the heads, the chunk size: a resumed run must have the same
    OUT.partial/000000.npz        the vectors of the first chunk of records
    OUT.partial/000000.json       its ids and a hash of its inputs; written last, it makes the chunk count

A finished run joins the chunks into OUT, which appears whole or not at all, and removes the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onespace.errors import InputError
from onespace.files.formats import Chunk, check_format, join
from onespace.files.records import Record
from onespace.files.salvage import salvage
from onespace.types import Head, OnLoss, Role

if TYPE_CHECKING:
    from onespace.encoder import Encoder

CHUNK = 256
"""Records that are encoded, written and synced at a time: what a kill can cost."""


@dataclass(frozen=True)
class Plan:
    """How the records are encoded."""

    heads: tuple[Head, ...] | None = None
    """None: all that the model has."""
    role: Role = "document"
    on_loss: OnLoss = "warn"
    strict: bool = False
    """Stop at the first record that can't be encoded, in place of going on without it."""
    chunk: int = CHUNK


@dataclass(frozen=True)
class Progress:
    """Told after each chunk: records seen so far, how many of them an earlier run had done, and the broken ones."""

    seen: int
    resumed: int
    broken: int


@dataclass(frozen=True)
class Outcome:
    """What was written."""

    path: Path
    rows: int
    resumed: int
    """Records whose vectors an earlier, interrupted run had made."""
    lossy: int
    """Rows that the model saw only in part (a text cut short, a picture cropped)."""
    broken: tuple[tuple[str, str], ...]
    """(id, reason) of each record that isn't in the file."""


def encode_to_file(
    model: Encoder,
    records: Iterable[Record],
    out: str | Path,
    *,
    plan: Plan | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Encodes all records into ``out`` (.npz, .parquet or .jsonl), going on from an interrupted run if there was one.

    Raises:
        InputError: no record, an unknown ending, a partial result of other inputs, or (strict) a broken record.
        MissingExtra: .parquet without pyarrow.
    """
    out, plan = Path(out), plan or Plan()
    check_format(out)
    if model.tiling is not None or plan.on_loss in ("chunk", "tile"):
        raise InputError("a file of vectors has a row an item, so items can't be split here. Use Embeddings.save.")
    folder = out.with_name(out.name + ".partial")
    _start(folder, model, plan)
    rows = resumed = seen = lossy = 0
    broken: list[tuple[str, str]] = []
    chunks: list[Chunk] = []
    for number, batch in enumerate(batched(records, plan.chunk)):
        chunk = Chunk(folder / f"{number:06d}.npz")
        digest = _digest(batch)
        done = _read_done(chunk.about_path)
        if done is not None and done["digest"] == digest:
            resumed += len(batch)
        else:
            chunk.about_path.unlink(missing_ok=True)  # its inputs have changed since, so its vectors don't count
            done = _encode_chunk(model, batch, plan, chunk) | {"digest": digest}
            _write_synced(chunk.about_path, json.dumps(done).encode())
        if done["broken"] and plan.strict:
            raise InputError(": ".join(done["broken"][0]))
        chunks.append(chunk)
        rows, seen, lossy = rows + len(done["ids"]), seen + len(batch), lossy + done["lossy"]
        broken += [(name, why) for name, why in done["broken"]]
        if progress is not None:
            progress(Progress(seen, resumed, len(broken)))
    if not seen:
        shutil.rmtree(folder)
        raise InputError("there is nothing to encode: no pictures in the folders, no lines in the files.")
    join(chunks, out, model)
    shutil.rmtree(folder)
    return Outcome(out, rows, resumed, lossy, tuple(broken))


def batched(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """Lists of at most `size` records, in order.

    >>> [len(b) for b in batched([Record(str(i), "a") for i in range(5)], 2)]
    [2, 2, 1]
    """
    stream = iter(records)
    while batch := list(islice(stream, size)):
        yield batch


def _encode_chunk(model: Encoder, batch: list[Record], plan: Plan, chunk: Chunk) -> dict[str, Any]:
    """Encodes and writes the vectors of one chunk; returns what stands beside them."""
    whole = [r for r in batch if r.item is not None]
    result = salvage(
        model, [r.item for r in whole if r.item is not None], heads=plan.heads, role=plan.role, on_loss=plan.on_loss
    )
    broken = [(r.id, r.problem) for r in batch if r.item is None] + [
        (whole[b.index].id, b.reason) for b in result.broken
    ]
    kept = [whole[i] for i in result.kept]
    result.embeddings.save(chunk.path)
    _sync(chunk.path)
    return {
        "ids": [r.id for r in kept],
        "texts": [r.text for r in kept],
        "images": [r.image for r in kept],
        "lossy": sum(not r.lossless for r in result.embeddings.receipts),
        "broken": broken,
    }


def _start(folder: Path, model: Encoder, plan: Plan) -> None:
    """Makes the folder of a new run, or checks that the one there belongs to the same plan."""
    same = json.loads(json.dumps({"model": model.spec.to_dict(), "plan": asdict(plan) | {"strict": None}}))
    file = folder / "plan.json"
    before = _read_done(file)
    if before is None:
        folder.mkdir(parents=True, exist_ok=True)
        _write_synced(file, json.dumps(same).encode())
    elif before != same:
        raise InputError(
            f"{folder} is left from an interrupted run with another model or other options. "
            "Repeat those to finish it, or remove that folder to start afresh."
        )


def _digest(batch: list[Record]) -> str:
    return hashlib.sha256("\n".join(r.fingerprint for r in batch).encode("utf-8", "surrogatepass")).hexdigest()


def _read_done(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return None


def _write_synced(path: Path, data: bytes) -> None:
    """Writes a file that is there whole, and on the disk, or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(data)
    _sync(part)
    os.replace(part, path)
    if os.name == "posix":
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
