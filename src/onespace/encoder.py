"""Items in, `Embeddings` out: the one encode loop of the package.

item -> prepare -> batches of one shape -> engine -> Embeddings, in the order of the items
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from itertools import count, islice
from typing import Any, get_args

import numpy as np

from onespace import registry
from onespace.batches import TILED_PER_BATCH, Job, ahead, cut, stack, with_cells, with_pictures
from onespace.call import Call
from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.engines import Batch, Engine, Output, begin
from onespace.engines.onnx_engine import cores
from onespace.errors import InputError, KindError, ModelError
from onespace.parts import Part, Parts
from onespace.passages import Chunking, Reader, pool
from onespace.prepare.cells import Picture, Tiling, look
from onespace.prepare.images import open_image
from onespace.prepare.items import NormalItem, normalise, several
from onespace.prepare.tokens import Tokenizer
from onespace.progress import Progress
from onespace.spec import PixelSpec, Spec
from onespace.types import (
    HEADS,
    MODALITIES,
    Fit,
    Head,
    Item,
    Modality,
    OnLoss,
    Role,
)

WINDOW = 1024
"""Items that are prepared and ordered by length together."""
WIDER = 16
"""Times as many for an engine that takes batches ahead, and would wait between windows."""
DECODERS = 4
"""Most threads that decode pictures, one batch ahead of a model that needs the cores too; never more than those."""
DRAFT = 2
"""With `Encoder.with_draft`, a JPEG is read at no less than so many times the model's size."""
MUCH_LARGER = 2.0
"""``on_loss="tile"`` tiles pictures whose longer side is more than so many times the model's."""


class Encoder:
    """A model ready for use: its spec, its tokenizer, and the engine that runs its towers.

    Safe to share between threads: encoding changes nothing in it.
    """

    def __init__(self, spec: Spec, tokenizer: Tokenizer, engine: Engine, *, tiling: Tiling | None = None) -> None:
        self.spec = spec
        self.tokenizer = tokenizer
        self.engine = engine
        self.tiling = tiling or (Tiling() if spec.pixels is not None and spec.pixels.fit == "tile" else None)
        """How every picture is cut into cells; None when pictures stay whole."""
        self.draft = False

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
                ``"ignore"`` leaves it to the receipts. ``"chunk"`` turns texts that are too long into overlapping
                windows, and ``"tile"`` turns pictures that would be cropped, or are much larger than the model's, into
                an overview and cells: such items have a row for each part (see `Embeddings.parts`), and other losses
                are warned of.
            progress: draws a bar; None draws it only in a terminal, for long work.

        Raises:
            InputError: an argument or an item that can't be used; the item is named by its position.
            KindError: an item of a kind that the model, or a head asked for, doesn't take.
            LossError: an item would lose content, and ``on_loss="error"``.
        """
        call = self._call(heads, role, batch_size, on_loss)
        given = several(items)
        with Progress(len(given) if isinstance(given, Sized) else None, shown=progress) as bar:
            parts = list(self._stream(given, call, WINDOW * (WIDER if self._depth else 1), bar, early=True))
        nothing = replace(self._blank((), call.heads), parts=Parts.whole(0) if call.splits else None)
        return Embeddings.concatenate(parts or [nothing])

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
        return self._stream(several(items), call, window, Progress(None, shown=False))

    def batches(
        self,
        items: Iterable[Item],
        *,
        heads: Sequence[Head] | None = None,
        role: Role = "document",
        batch_size: int | None = None,
    ) -> Iterator[tuple[list[int], Batch]]:
        """The batches that `encode` would run, each with the numbers of its items: what a model is trained on.

        Items are prepared as for `encode` (what is too long is cut, without a warning), but nothing is run. The
        arguments and errors are those of `encode`.
        """
        call = self._call(heads, role, batch_size, "ignore")
        some = [normalise(item, index) for index, item in enumerate(items)]
        for jobs in self._ahead(self._cut(list(self._jobs(some, call)), call), replace(call, tiling=None)):
            yield [job.index for job in jobs], stack(jobs, pad_id=self._pad)

    def encode_passages(
        self,
        items: Item | Iterable[Item],
        *,
        chunking: Chunking | None = None,
        heads: Sequence[Head] | Head | None = None,
        role: Role = "document",
        batch_size: int | None = None,
    ) -> Embeddings:
        """Encodes every text as its passages, a row each, with the characters that it holds in `Embeddings.parts`.

        Pictures and pairs stay whole (a pair's text that is too long goes on in windows). ``chunking`` is by default
        `Chunking`'s: whole sentences, up to 256 tokens or what the model takes. The other arguments and errors are
        those of `encode`.

        Raises:
            MissingExtra: splitting by sentences or Markdown without the extra ``text``.
            InputError: passages longer than the model takes, or late ones from a model without token states.
        """
        room = self.spec.max_tokens - sum(self.tokenizer.specials)
        chunking = chunking or Chunking(size=min(Chunking().size, room))
        if chunking.size > room:
            raise InputError(f"size={chunking.size} is more than the {room} tokens that {self.spec.name} takes.")
        if chunking.late and not self.spec.fused:
            raise InputError(f"{self.spec.name} gives no token states, which late chunking pools. Use late=False.")
        call = replace(self._call(heads, role, batch_size, "chunk"), chunking=chunking)
        parts = list(self._stream(several(items), call, WINDOW, Progress(None, shown=False), early=True))
        return Embeddings.concatenate(parts or [replace(self._blank((), call.heads), parts=Parts.whole(0))])

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

    def with_fit(self, fit: Fit, *, tiling: Tiling | None = None) -> Encoder:
        """The same model with another way to make pictures square: ``crop``, ``pad``, ``squash`` or ``tile``.

        ``"tile"`` keeps the model's own fit for an overview, and adds cells to every picture that the model would crop
        or that is larger than the model's square, as ``tiling`` says.
        """
        if fit not in get_args(Fit):
            raise InputError(f"fit={fit!r} isn't known. Choose one of {', '.join(get_args(Fit))}.")
        if tiling is not None and fit != "tile":
            raise InputError(f"tiling goes with fit='tile', not with fit={fit!r}.")
        other = copy(self)
        other.spec = replace(self.spec, pixels=self._pixels if fit == "tile" else replace(self._pixels, fit=fit))
        other.tiling = (tiling or Tiling()) if fit == "tile" else None
        return other

    def with_draft(self) -> Encoder:
        """The same model, reading large JPEGs at a fraction of their size, unless they are cut into cells.

        That is several times faster, and vectors differ a little from the reference's (docs/performance.md).
        """
        other = copy(self)
        other.draft = True
        return other

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _stream(
        self, items: Iterable[Item], call: Call, window: int, bar: Progress, *, early: bool = False
    ) -> Iterator[Embeddings]:
        """A window after the other; with ``early``, items of the next may be taken while the engine is busy."""
        most = TILED_PER_BATCH if call.tiling else None
        for jobs in ahead(self._windows(items, call, window), min(1, self._depth) if early else 0):
            found: list[Embeddings] = []
            rows: list[tuple[int, int, Part]] = []
            batches = self._ahead(self._cut(jobs, call, most), call)
            begun = (self._begin(same, call) for batch in batches for same in self._cut(batch, call))
            for part, made in ahead(begun, self._depth):
                found.append(part)
                rows += [(row.index, row.number, row.part) for row in made]
                bar.advance(sum(not row.number for row in made))
            first = min(index for index, _, _ in rows)
            order = sorted(range(len(rows)), key=lambda i: rows[i][:2])
            e = Embeddings.concatenate(found)[order]
            parts = Parts.of([rows[i][0] - first for i in order], [rows[i][2] for i in order]) if call.splits else None
            yield replace(e, parts=parts)
        call.report(self.spec.name)

    def _windows(self, items: Iterable[Item], call: Call, window: int) -> Iterator[Callable[[], list[Job]]]:
        """The jobs of so many items at a time, which a thread makes where the engine leaves the processor free."""
        numbered = zip(items, count(), strict=False)
        with ThreadPoolExecutor(1) as worker:
            while some := [normalise(item, index) for item, index in islice(numbered, window)]:
                jobs: Callable[[], list[Job]] = partial(list, self._jobs(some, call))
                yield worker.submit(jobs).result if self._depth else jobs

    def _cut(self, jobs: Sequence[Job], call: Call, most: int | None = None) -> Iterator[list[Job]]:
        tokens, pictures = (getattr(self.engine, name, None) for name in ("tokens", "pictures"))
        most = most or pictures
        return cut(jobs, patches=self._patches, batch_size=call.batch_size, most=most, tokens=tokens)

    def _jobs(self, items: Sequence[NormalItem], call: Call) -> Iterator[Job]:
        """Tokenises texts, each with the room that its pictures leave; what is to be split gives several jobs."""
        shapes: dict[int, list[NormalItem]] = defaultdict(list)
        for item in items:
            heads = self._heads_of(item, call)
            if item.modality == "image" and not self.spec.fused:
                yield Job(item.index, item.modality, heads, None, images=item.images)
            else:
                shapes[len(item.images)].append(item)
        for pictures, same in shapes.items():
            limit = self._limit(pictures, where=f"item {same[0].index}")
            if call.on_loss == "chunk":
                yield from (job for item in same for job in self._pieces(item, limit, call))
                continue
            texts = [call.prefix + item.text if item.modality != "image" else "" for item in same]
            for item, tokens in zip(same, self.tokenizer.encode_batch(texts, limit), strict=True):
                part = Part() if item.modality == "image" else Part(span=(0, len(item.text)))
                if tokens.dropped:
                    total = len(tokens.ids) + tokens.dropped
                    why = f"{total} tokens; the model takes {limit} here. Shorten the text, use on_loss='chunk'"
                    call.lose("texts", item.index, why)
                    seen = max(end for _, end in tokens.offsets) - len(call.prefix)
                    part = Part(span=(0, max(0, seen)))
                heads = self._heads_of(item, call)
                yield Job(item.index, item.modality, heads, tokens.ids, tokens.dropped, item.images, part=part)

    def _pieces(self, item: NormalItem, limit: int, call: Call) -> Iterator[Job]:
        """The windows or passages of one item's text; the pictures of a pair stay with the first."""
        if item.modality == "image":
            yield Job(item.index, "image", self._heads_of(item, call), self._blank_ids, images=item.images)
            return
        reader = Reader(self.tokenizer, call.prefix, limit)
        split = call.chunking if item.modality == "text" else None
        number = 0
        for piece in reader.windows(item.text) if split is None else reader.passages(item.text, split):
            if number and "text" in self.spec.modalities:
                item = replace(item, modality="text", images=())
            heads, part = self._heads_of(item, call), Part(piece.kind, span=piece.span)
            job = Job(item.index, item.modality, heads, piece.ids, images=item.images, part=part, number=number)
            yield replace(job, shared=piece.shared, pooled=piece.pooled)
            number += len(piece.pooled) or 1

    def _ahead(self, batches: Iterable[list[Job]], call: Call) -> Iterator[list[Job]]:
        """Decodes the pictures of the next batch while this one runs."""
        heads = tuple(h for h in call.heads if self.spec.level("image", h) != "unsupported")
        workers = cores() if self._depth else min(DECODERS, cores())
        for batch, pictures in with_pictures(batches, partial(self._open, call=call), workers=workers):
            pairs = zip(batch, pictures, strict=True)
            yield [r for job, some in pairs for r in with_cells(job, some, heads=heads, blank=self._blank_ids)]

    def _open(self, job: Job, k: int, *, call: Call) -> tuple[Picture, ...]:
        where = f"item {job.index}" if len(job.images) == 1 else f"item {job.index}, picture {k}"
        pixels = self._pixels
        draft = DRAFT * pixels.size if self.draft and call.tiling is None else 0
        opened = open_image(job.images[k], where=where, pixels=pixels, draft=draft)
        seen = look(opened.picture, pixels, where=where, notes=opened.notes, tiling=call.tiling, enlarge=call.enlarge)
        return tuple(picture.drafted(*opened.full) for picture in seen) if any(opened.full) else seen

    def _begin(self, jobs: list[Job], call: Call) -> Callable[[], tuple[Embeddings, list[Job]]]:
        """Begins a batch of one shape; what is returned waits for it and gives what `_rows` does."""
        for job in jobs:
            if any(picture.receipt.cropped for picture in job.pictures):
                call.lose("pictures", job.index, "a picture that would be cropped. Use encoder.with_fit('pad')")
        batch = stack(jobs, pad_id=self._pad)
        late = bool(jobs[0].pooled)
        asked: tuple[Output, ...] = tuple("states" if late and h == "dense" else h for h in jobs[0].heads)
        ids, outputs = batch.ids, begin(self.engine, batch, asked)
        return lambda: self._rows(jobs, ids, outputs(), call)

    def _rows(
        self, jobs: list[Job], ids: np.ndarray | None, out: dict[str, np.ndarray], call: Call
    ) -> tuple[Embeddings, list[Job]]:
        """The rows of a batch, and the job of each (late passages are rows of one job)."""
        heads, rows = jobs[0].heads, jobs
        if jobs[0].pooled and ids is not None:
            if "dense" in heads and "states" not in out:
                raise ModelError(
                    f"{self.spec.name} was exported without token states. Export again, or use late=False."
                )
            ids, out = pool(ids, out, [job.pooled for job in jobs])
            rows = [row for job in jobs for row in job.passages()]
        blank = self._blank(tuple(row.modality for row in rows), call.heads)
        e = replace(
            blank,
            dense=out["dense"].astype(np.float32) if "dense" in heads else blank.dense,
            sparse=self._sparse(ids, out) if "sparse" in heads and ids is not None else blank.sparse,
            multi=self._multi(rows, out) if "multi" in heads else blank.multi,
            receipts=[row.receipt for row in rows],
        )
        return e, rows

    def _sparse(self, ids: np.ndarray, out: dict[str, np.ndarray]) -> Sparse:
        terms = out.get("terms")
        if terms is not None:
            terms[:, list(self.spec.heads.sparse_skip)] = 0  # pictures, like texts, give special tokens no weight
        sparse = Sparse.from_token_weights(ids, out["weights"], self._vocab, terms=terms)
        return replace(sparse, piece=self.tokenizer.piece)

    def _multi(self, jobs: list[Job], out: dict[str, np.ndarray]) -> Ragged:
        values, mask = out["multi"], out["multi_mask"]
        if not jobs[0].pictures or self.spec.image is None:
            return Ragged.from_padded(values, mask)
        places = np.full((*mask.shape, 4), np.nan, np.float32)
        for row, job in zip(places, jobs, strict=True):
            seen = np.concatenate([picture.boxes(self.spec.image.grid) for picture in job.pictures])
            row[: len(seen)] = seen  # image tokens stand first
        return Ragged.from_padded(values, mask, boxes=places)

    # -- what the spec allows ----------------------------------------------------------------------------------------

    def _call(self, heads: Sequence[Head] | Head | None, role: Role, batch_size: int | None, on_loss: OnLoss) -> Call:
        there = self.spec.head_names
        wanted = there if heads is None else (heads,) if isinstance(heads, str) else tuple(heads)
        if not wanted or not set(wanted) <= set(there):
            raise InputError(f"heads={heads!r}: {self.spec.name} has {', '.join(there)}. Ask for some of these.")
        if role not in get_args(Role):
            raise InputError(f"role={role!r} isn't known. Choose one of {', '.join(get_args(Role))}.")
        if on_loss not in get_args(OnLoss):
            raise InputError(f"on_loss={on_loss!r} isn't known. Choose one of {', '.join(get_args(OnLoss))}.")
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size={batch_size!r} must be at least 1, or None for the budget.")
        prefix = self.spec.query_prefix if role == "query" else self.spec.document_prefix
        ordered = tuple(h for h in HEADS if h in wanted)
        tiling = self.tiling or (Tiling() if on_loss == "tile" else None)
        enlarge = MUCH_LARGER if self.tiling is None else 1.0
        return Call(ordered, heads is not None, prefix, batch_size, on_loss, tiling, enlarge)

    def _heads_of(self, item: NormalItem, call: Call) -> tuple[Head, ...]:
        """The asked heads that this kind of item has. Raises `KindError` when one is missing that must not be."""
        heads = tuple(h for h in call.heads if self.spec.level(item.modality, h) != "unsupported")
        missing = [h for h in call.heads if h not in heads]
        if not missing or (heads and not call.strict and "dense" in heads):
            return heads
        if item.modality not in self.spec.modalities:
            takes = " and ".join(self.spec.modalities)
            families = ", ".join(registry.families(item.modality))
            raise KindError(
                f"item {item.index} is of kind {item.modality}; {self.spec.name} takes {takes} only. "
                f"Families that take it: {families}."
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

    @cached_property
    def _blank_ids(self) -> list[int] | None:
        """What a picture alone has for a text."""
        return self.tokenizer.encode("").ids if self.spec.fused else None

    @property
    def _depth(self) -> int:
        """Batches that the engine takes before the first is waited for; 0 where it computes on the processor."""
        depth: int = getattr(self.engine, "ahead", 0)
        return depth

    @property
    def _pad(self) -> int:
        return self.spec.text.pad if self.spec.text else 0

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
