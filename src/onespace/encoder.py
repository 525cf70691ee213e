"""Items in, `Embeddings` out: the one encode loop of the package.

item -> prepare -> batches of one shape -> engine -> Embeddings, in the order of the items
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

import numpy as np

from onespace.batches import Job, cut, pad
from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.engines import Batch, Engine
from onespace.errors import InputError, KindError, LossError
from onespace.prepare.images import open_image
from onespace.prepare.items import NormalItem, normalise
from onespace.prepare.pixels import boxes, to_pixels
from onespace.prepare.tokens import Tokenizer
from onespace.progress import Progress
from onespace.spec import PixelSpec, Spec
from onespace.types import (
    HEADS,
    MODALITIES,
    Fit,
    Head,
    Image,
    Item,
    Modality,
    OnLoss,
    Pair,
    PictureReceipt,
    Receipt,
    Role,
)

log = logging.getLogger("onespace")

WINDOW = 1024
"""Items that are prepared and ordered by length together."""
DECODERS = 4
"""Threads that decode pictures, one batch ahead of the model."""
FITS: tuple[Fit, ...] = ("crop", "pad", "squash")
ON_LOSS: tuple[OnLoss, ...] = ("warn", "error", "ignore")

Picture: TypeAlias = "tuple[np.ndarray, PictureReceipt]"


@dataclass(frozen=True)
class _Call:
    """The checked arguments of one encode, and what was lost so far."""

    heads: tuple[Head, ...]
    strict: bool
    """True when the heads were asked for by name: an item that lacks one is then an error."""
    prefix: str
    batch_size: int | None
    on_loss: OnLoss
    lost: dict[str, list[int]]


class Encoder:
    """A model ready for use: its spec, its tokenizer, and the engine that runs its towers.

    Safe to share between threads: encoding changes nothing in it.
    """

    def __init__(self, spec: Spec, tokenizer: Tokenizer, engine: Engine) -> None:
        self.spec = spec
        self.tokenizer = tokenizer
        self.engine = engine

    def __repr__(self) -> str:
        return f"Encoder({self.spec.name!r}, heads={self.spec.head_names}, takes={self.spec.modalities})"

    def encode(
        self,
        items: Item | Iterable[Item],
        *,
        heads: Sequence[Head] | Head | None = None,
        role: Role = "document",
        batch_size: int | None = None,
        on_loss: OnLoss = "warn",
        progress: bool | None = False,
    ) -> Embeddings:
        """Encodes items of any kinds, mixed, and keeps their order. One bare item gives `Embeddings` of length 1.

        Args:
            items: texts (``str``), pictures (``Path``, ``Image``, ``bytes``, PIL image, array) and `Pair` items.
            heads: which representations; by default all that the model has, where an item of a kind without the
                sparse or the multi head gets an empty row.
            role: ``"query"`` or ``"document"``, for models that mark their texts with a prefix.
            batch_size: items a batch; by default batches are cut by a budget of tokens and pictures.
            on_loss: ``"warn"`` cuts what the model can't take and says so once; ``"error"`` raises instead, and
                ``"ignore"`` leaves it to the receipts.
            progress: draws a bar; None draws it only in a terminal, for long work.

        Raises:
            InputError: an argument or an item that can't be used; the item is named by its position.
            KindError: an item of a kind that the model, or a head asked for, doesn't take.
            LossError: an item would lose content, and ``on_loss="error"``.
        """
        call = self._call(heads, role, batch_size, on_loss)
        several = _several(items)
        with Progress(len(several) if isinstance(several, Sized) else None, shown=progress) as bar:
            parts = list(self._stream(several, call, WINDOW, bar))
        return Embeddings.concatenate(parts or [self._blank((), call.heads)])

    def encode_stream(
        self,
        items: Iterable[Item],
        *,
        heads: Sequence[Head] | Head | None = None,
        role: Role = "document",
        batch_size: int | None = None,
        on_loss: OnLoss = "warn",
        window: int = WINDOW,
    ) -> Iterator[Embeddings]:
        """Encodes without holding all the items or all the results: yields ``window`` items at a time, in order.

        The arguments and errors are those of `encode`.
        """
        call = self._call(heads, role, batch_size, on_loss)
        if window < 1:
            raise InputError(f"window={window!r} must be at least 1.")
        return self._stream(_several(items), call, window, Progress(None, shown=False))

    def capabilities(self) -> dict[str, Any]:
        """What the model may claim, as plain values: levels by kind of item and head, sizes, languages, licence."""
        spec = self.spec
        return {
            "model": spec.name,
            "family": spec.family,
            "levels": {m: {h: spec.level(m, h) for h in HEADS} for m in MODALITIES},
            "dimensions": spec.heads.dense,
            "truncatable": list(spec.truncatable),
            "max_tokens": spec.max_tokens,
            "max_tokens_with_picture": self._limit(1) if "pair" in spec.modalities else None,
            "languages": spec.languages,
            "licence": spec.licence,
            "notes": spec.notes,
        }

    def with_fit(self, fit: Fit) -> Encoder:
        """The same model with another way to make pictures square: ``crop``, ``pad`` or ``squash``."""
        if fit not in FITS:
            raise InputError(f"fit={fit!r} isn't known here. Choose one of {', '.join(FITS)}.")
        return Encoder(replace(self.spec, pixels=replace(self._pixels, fit=fit)), self.tokenizer, self.engine)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _stream(self, items: Iterable[Item], call: _Call, window: int, bar: Progress) -> Iterator[Embeddings]:
        numbered = zip(items, count(), strict=False)
        while some := [normalise(item, index) for item, index in islice(numbered, window)]:
            jobs = self._jobs(some, call)
            order: list[int] = []
            parts: list[Embeddings] = []
            for batch, pictures in self._ahead(cut(jobs, patches=self._patches, batch_size=call.batch_size)):
                parts.append(self._run(batch, pictures, call))
                order += [job.index for job in batch]
                bar.advance(len(batch))
            yield Embeddings.concatenate(parts)[np.argsort(order)]
        _report(call.lost, self.spec)

    def _jobs(self, items: Sequence[NormalItem], call: _Call) -> list[Job]:
        """Tokenises texts, each with the room that its pictures leave."""
        jobs: list[Job] = []
        shapes: dict[int, list[NormalItem]] = defaultdict(list)
        for item in items:
            heads = self._heads_of(item, call)
            if item.modality == "image" and not self.spec.fused:
                jobs.append(Job(item.index, item.modality, heads, None, images=item.images))
            else:
                shapes[len(item.images)].append(item)
        for pictures, same in shapes.items():
            limit = self._limit(pictures, where=f"item {same[0].index}")
            texts = [call.prefix + item.text if item.modality != "image" else "" for item in same]
            for item, tokens in zip(same, self.tokenizer.encode_batch(texts, limit), strict=True):
                if tokens.dropped:
                    total = len(tokens.ids) + tokens.dropped
                    _lose(call, "texts", item.index, f"{total} tokens; the model takes {limit} here. Shorten the text")
                heads = self._heads_of(item, call)
                jobs.append(Job(item.index, item.modality, heads, tokens.ids, tokens.dropped, item.images))
        return jobs

    def _ahead(self, batches: Iterable[list[Job]]) -> Iterator[tuple[list[Job], list[Picture]]]:
        """Decodes the pictures of the next batch while this one runs; never more than two batches are open."""
        waiting: deque[tuple[list[Job], list[Future[Picture]]]] = deque()
        with ThreadPoolExecutor(DECODERS) as pool:
            for batch in batches:
                sources = [(job, k) for job in batch for k in range(len(job.images))]
                waiting.append((batch, [pool.submit(self._open, job, k) for job, k in sources]))
                if len(waiting) > 1:
                    ready, futures = waiting.popleft()
                    yield ready, [future.result() for future in futures]
            for ready, futures in waiting:
                yield ready, [future.result() for future in futures]

    def _open(self, job: Job, k: int) -> Picture:
        where = f"item {job.index}" if len(job.images) == 1 else f"item {job.index}, picture {k}"
        opened = open_image(job.images[k], where=where, pixels=self._pixels)
        return to_pixels(opened.picture, self._pixels, where=where, notes=opened.notes)

    def _run(self, jobs: list[Job], pictures: list[Picture], call: _Call) -> Embeddings:
        each = len(jobs[0].images)
        receipts = [_receipt(job, pictures[i * each : (i + 1) * each]) for i, job in enumerate(jobs)]
        for job, receipt in zip(jobs, receipts, strict=True):
            if any(picture.cropped for picture in receipt.pictures):
                _lose(call, "pictures", job.index, "a picture that would be cropped. Use encoder.with_fit('pad')")
        ids = mask = pixels = None
        if jobs[0].ids is not None:
            ids, mask = pad(jobs, pad_id=self.spec.text.pad if self.spec.text else 0)
        if each:
            stacked = np.stack([p for p, _ in pictures])  # (N * K, 3, S, S)
            pixels = stacked.reshape(len(jobs), each, *stacked.shape[1:])
        heads = jobs[0].heads
        out = self.engine.run(Batch(ids, mask, pixels), heads)
        blank = self._blank(tuple(job.modality for job in jobs), call.heads)
        return replace(
            blank,
            dense=out["dense"].astype(np.float32) if "dense" in heads else blank.dense,
            sparse=self._sparse(ids, out) if "sparse" in heads and ids is not None else blank.sparse,
            multi=self._multi(receipts, out) if "multi" in heads else blank.multi,
            receipts=receipts,
        )

    def _sparse(self, ids: np.ndarray, out: dict[str, np.ndarray]) -> Sparse:
        terms = out.get("terms")
        if terms is not None:
            terms[:, list(self.spec.heads.sparse_skip)] = 0  # pictures, like texts, give special tokens no weight
        sparse = Sparse.from_token_weights(ids, out["weights"], self._vocab, terms=terms)
        return replace(sparse, piece=self.tokenizer.piece)

    def _multi(self, receipts: list[Receipt], out: dict[str, np.ndarray]) -> Ragged:
        values, mask = out["multi"], out["multi_mask"]
        if not receipts[0].pictures or self.spec.image is None:
            return Ragged.from_padded(values, mask)
        places = np.full((*mask.shape, 4), np.nan, np.float32)
        for row, receipt in zip(places, receipts, strict=True):
            seen = np.concatenate([boxes(p, self._pixels, self.spec.image.grid) for p in receipt.pictures])
            row[: len(seen)] = seen  # image tokens stand first
        return Ragged.from_padded(values, mask, boxes=places)

    # -- what the spec allows ----------------------------------------------------------------------------------------

    def _call(self, heads: Sequence[Head] | Head | None, role: Role, batch_size: int | None, on_loss: OnLoss) -> _Call:
        there = self.spec.head_names
        wanted = there if heads is None else (heads,) if isinstance(heads, str) else tuple(heads)
        if not wanted or not set(wanted) <= set(there):
            raise InputError(f"heads={heads!r}: {self.spec.name} has {', '.join(there)}. Ask for some of these.")
        if role not in get_args(Role):
            raise InputError(f"role={role!r} isn't known. Choose one of {', '.join(get_args(Role))}.")
        if on_loss not in ON_LOSS:
            raise InputError(f"on_loss={on_loss!r} isn't known here. Choose one of {', '.join(ON_LOSS)}.")
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size={batch_size!r} must be at least 1, or None for the budget.")
        prefix = self.spec.query_prefix if role == "query" else self.spec.document_prefix
        ordered = tuple(h for h in HEADS if h in wanted)
        return _Call(ordered, heads is not None, prefix, batch_size, on_loss, defaultdict(list))

    def _heads_of(self, item: NormalItem, call: _Call) -> tuple[Head, ...]:
        """The asked heads that this kind of item has. Raises `KindError` when one is missing that must not be."""
        heads = tuple(h for h in call.heads if self.spec.level(item.modality, h) != "unsupported")
        missing = [h for h in call.heads if h not in heads]
        if not missing or (heads and not call.strict and "dense" in heads):
            return heads
        if item.modality not in self.spec.modalities:
            takes = " and ".join(self.spec.modalities)
            raise KindError(
                f"item {item.index} is of kind {item.modality}; {self.spec.name} takes {takes} only."
                f"{_families_for(item.modality)}"
            )
        lacks = " and no ".join(missing)
        raise KindError(
            f"item {item.index} is of kind {item.modality}, for which {self.spec.name} has no {lacks} head. "
            f"Ask for heads={heads!r}, or leave heads out: such items then get empty rows."
        )

    def _limit(self, pictures: int, *, where: str = "an item") -> int:
        """Text tokens, special ones included, that fit beside so many pictures."""
        spec = self.spec
        if spec.text is None or not spec.fused or not pictures:
            return spec.max_tokens
        room = spec.text.max_positions - pictures * self._patches
        if room < 2:
            most = (spec.text.max_positions - 2) // self._patches
            raise InputError(f"{where} has {pictures} pictures; {spec.name} takes at most {most}. Split the item.")
        return min(spec.max_tokens, room)

    def _blank(self, modalities: tuple[Modality, ...], heads: tuple[Head, ...]) -> Embeddings:
        """Zeros and empty rows: of no item at all, or where a kind of item lacks a head."""
        n, sizes = len(modalities), self.spec.heads
        return Embeddings(
            modalities,
            dense=np.zeros((n, sizes.dense), np.float32) if "dense" in heads else None,
            sparse=replace(Sparse.empty(n, self._vocab), piece=self.tokenizer.piece) if "sparse" in heads else None,
            multi=Ragged.empty(n, sizes.multi) if "multi" in heads else None,
            model=self.spec.name,
        )

    @property
    def _vocab(self) -> int:
        return self.spec.text.vocab if self.spec.text else 0

    @property
    def _patches(self) -> int:
        return self.spec.image.tokens if self.spec.image else 0

    @property
    def _pixels(self) -> PixelSpec:
        if self.spec.pixels is None:
            raise InputError(f"{self.spec.name} takes no pictures.")
        return self.spec.pixels


def _several(items: Item | Iterable[Item]) -> Iterable[Item]:
    """Wraps one bare item. Raises `InputError` for what is neither an item nor a series of items."""
    if isinstance(items, np.ndarray):
        return [items] if items.ndim in (2, 3) else items
    if isinstance(items, (str, bytes, Path, Image, Pair)) or hasattr(items, "getbands"):  # getbands: a PIL image
        return [cast(Item, items)]
    if isinstance(items, dict) or not isinstance(items, Iterable):
        raise InputError(f"items is {type(items).__name__}; pass a list of texts, pictures and Pair(text, image).")
    return items


def _receipt(job: Job, pictures: Sequence[Picture]) -> Receipt:
    used = 0 if job.modality == "image" else job.length
    return Receipt(job.modality, used, job.dropped, tuple(receipt for _, receipt in pictures))


def _lose(call: _Call, kind: str, index: int, why: str) -> None:
    if call.on_loss == "error":
        raise LossError(f"item {index} has {why}, or allow the loss with on_loss='warn'.")
    if call.on_loss == "warn":
        call.lost[kind].append(index)


def _report(lost: dict[str, list[int]], spec: Spec) -> None:
    """One warning an encode, however many items lost something."""
    if not lost:
        return
    what = {"texts": "text cut at the model's length", "pictures": "picture cropped"}
    parts = [f"{len(items)} x {what[kind]} (first: item {min(items)})" for kind, items in lost.items()]
    log.warning("%s: %s. The receipts say how much; on_loss='error' refuses.", spec.name, "; ".join(parts))


def _families_for(modality: Modality) -> str:
    """Names of model families that take such an item, as a sentence."""
    from onespace.registry import CARDS

    names = sorted({card.family for card in CARDS if card.loadable and modality in card.modalities})
    return f" Families that take it: {', '.join(names)}." if names else ""
