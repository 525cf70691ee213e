"""Long texts in parts, so that nothing is cut off: windows of tokens, and passages of sentences or Markdown.

>>> spans("One. Two. Three.", Chunking(unit="sentence", size=3), count=lambda text: len(text.split()))
[(0, 16)]
>>> spans("One. Two. Three.", Chunking(unit="sentence", size=2), count=lambda text: len(text.split()))
[(0, 10), (10, 16)]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from onespace.errors import InputError, MissingExtra
from onespace.parts import PartKind, Span
from onespace.prepare.tokens import Tokenizer, Tokens

SHARED = 8
"""Windows of a text that is too long for the model share one in so many of their tokens with the window before."""

Unit: TypeAlias = Literal["sentence", "markdown", "tokens"]
Window: TypeAlias = "tuple[int, int, int]"
"""First token, last token (exclusive), and how many of them the window before holds too."""


@dataclass(frozen=True)
class Chunking:
    """How texts are split into passages.

    Args:
        unit: ``"sentence"`` keeps sentences whole, and paragraphs where they fit; ``"markdown"`` also keeps headings,
            lists and code together; ``"tokens"`` cuts at every ``size`` tokens. The first two need the extra ``text``.
        size: most tokens of a passage, without special tokens.
        overlap: most tokens that a passage repeats of the one before.
        late: the model reads the whole text once, and each passage's vectors are pooled from that reading (late
            chunking, Günther et al. 2024): the dense one is the mean of its token states, scaled to length 1; terms
            and multi-vectors are those of its own tokens.
    """

    unit: Unit = "sentence"
    size: int = 256
    overlap: int = 0
    late: bool = False

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise InputError(f"unit={self.unit!r} isn't known. Choose one of {', '.join(get_args(Unit))}.")
        if self.size < 1:
            raise InputError(f"size={self.size!r} must be at least 1 token.")
        if not 0 <= self.overlap < self.size:
            raise InputError(f"overlap={self.overlap!r} must be at least 0 and below size={self.size}.")


@dataclass(frozen=True)
class Pooled:
    """A passage inside a longer reading: positions ``first`` to ``last`` (exclusive), and its ids if alone."""

    ids: list[int]
    first: int
    last: int
    span: Span
    shared: int


@dataclass(frozen=True)
class Piece:
    """A part of a text as the model reads it."""

    ids: list[int]
    span: Span
    kind: PartKind
    shared: int = 0
    pooled: tuple[Pooled, ...] = ()


@dataclass(frozen=True)
class Reader:
    """Reads the texts of one call in parts.

    Args:
        tokenizer: the model's.
        prefix: stands before each text, and so before each part.
        limit: most tokens of a part, special ones included.
    """

    tokenizer: Tokenizer
    prefix: str
    limit: int

    def windows(self, text: str) -> list[Piece]:
        """The text in one piece where it fits, or in windows of ``limit`` tokens that share an eighth of them."""
        long = self._read(text)
        if len(long.ids) <= self.limit:
            return [Piece(long.ids, (0, len(text)), "whole")]
        return [self._piece(long, window, "window") for window in self._windows(long)]

    def passages(self, text: str, chunking: Chunking) -> list[Piece]:
        """The text in passages; for ``late`` ones, in as few long readings as hold them all."""
        long = self._read(text)
        where = spans(text, chunking, count=self._count, cut=lambda: long.cut(chunking))
        if not chunking.late or not len(long.starts):
            return self._plain(text, where)
        return self._late(long, long.fill(where, self._room(long)))

    def _plain(self, text: str, where: Sequence[Span]) -> list[Piece]:
        """Each passage read alone; one that the model can't take (a very long word) in windows."""
        pieces: list[Piece] = []
        covered = 0
        for start, end in where:
            long = self._read(text[start:end])
            for i, j, known in self._windows(long):
                if i == 0:
                    known = int(np.searchsorted(long.starts, covered - start))
                piece = self._piece(long, (i, j, known), "passage", again=bool(pieces))
                pieces.append(replace(piece, span=(start + piece.span[0], start + piece.span[1])))
            covered = end
        return pieces

    def _late(self, long: _Long, inside: Sequence[tuple[int, int]]) -> list[Piece]:
        """Readings of at most ``limit`` tokens; each begins an eighth of that before its first passage."""
        room, extra = self._room(long), len(long.ids) - len(long.starts)
        readings: list[Piece] = []
        start = stop = reached = 0
        for i, j in inside:
            if j > stop or not readings:
                start = max(0, i - room // SHARED, j - room)
                stop = min(len(long.starts), start + room)
                readings.append(self._piece(long, (start, stop, 0), "passage"))
            shared = reached - i + extra if reached else 0
            first, alone = long.front + i - start, self._piece(long, (i, j, 0), "passage")
            pooled = Pooled(alone.ids, first, first + j - i, alone.span, max(shared, 0))
            readings[-1] = replace(readings[-1], pooled=(*readings[-1].pooled, pooled))
            reached = j
        return readings

    def _piece(self, long: _Long, window: Window, kind: PartKind, *, again: bool | None = None) -> Piece:
        """A window of a text with the special tokens and the prefix, which are shared if an earlier row has them."""
        i, j, known = window
        behind = long.ids[long.front + len(long.starts) :]
        ids = [*long.ids[: long.front], *long.ids[long.front + i : long.front + j], *behind]
        again = i > 0 if again is None else again
        return Piece(ids, long.span(i, j), kind, known + again * (long.front + len(behind)))

    def _windows(self, long: _Long) -> list[Window]:
        """Token ranges of equal length; the last one ends with the text, and shares as much as that takes."""
        n, room = len(long.starts), self._room(long)
        starts = [*range(0, max(1, n - room), room - room // SHARED), max(0, n - room)]
        windows: list[Window] = []
        for i in dict.fromkeys(starts):
            windows.append((i, min(n, i + room), windows[-1][1] - i if windows else 0))
        return windows

    def _room(self, long: _Long) -> int:
        room = self.limit - (len(long.ids) - len(long.starts))
        if room < 1:
            raise InputError(f"the prefix {self.prefix!r} leaves no room in {self.limit} tokens. Shorten it.")
        return room

    def _count(self, text: str) -> int:
        return len(self.tokenizer.encode(text).ids) - sum(self.tokenizer.specials)

    def _read(self, text: str) -> _Long:
        return _Long.of(self.tokenizer.encode(self.prefix + text), self.tokenizer.specials, self.prefix, len(text))


@dataclass(frozen=True)
class _Long:
    """A whole text as ids, and where in the text each of its own tokens starts, special tokens and prefix aside."""

    ids: list[int]
    front: int
    """Special tokens and prefix before the text's own."""
    starts: np.ndarray
    length: int

    @classmethod
    def of(cls, tokens: Tokens, specials: tuple[int, int], prefix: str, length: int) -> _Long:
        before, after = specials
        starts = np.array([start for start, _ in tokens.offsets[before : len(tokens.ids) - after]], np.int64)
        starts = np.maximum.accumulate(starts) - len(prefix)
        lead = int((starts < 0).sum())
        return cls(tokens.ids, before + lead, starts[lead:], length)

    def span(self, i: int, j: int) -> Span:
        """The characters from token i to token j (exclusive), with blanks that follow, so that no gap is left."""
        start = int(self.starts[i]) if 0 < i < len(self.starts) else 0
        return start, int(self.starts[j]) if j < len(self.starts) else self.length

    def cut(self, chunking: Chunking) -> list[Span]:
        """Passages of ``size`` tokens."""
        n, step = len(self.starts), chunking.size - chunking.overlap
        return [self.span(i, min(n, i + chunking.size)) for i in [0, *range(step, max(0, n - chunking.overlap), step)]]

    def fill(self, where: Sequence[Span], room: int) -> list[tuple[int, int]]:
        """Token ranges of passages: those without a token are left to a neighbour, those beyond ``room`` are cut."""
        first = np.searchsorted(self.starts, [a for a, _ in where])
        last = np.searchsorted(self.starts, [b for _, b in where])
        first[0], last[-1] = 0, len(self.starts)
        whole = [(int(i), int(j)) for i, j in zip(first, last, strict=True) if i < j]
        return [(k, min(j, k + room)) for i, j in whole for k in range(i, j, room)]


def spans(
    text: str,
    chunking: Chunking,
    *,
    count: Callable[[str], int],
    cut: Callable[[], list[Span]] | None = None,
) -> list[Span]:
    """Where the passages of a text start and end, in characters: in order, together all of the text.

    Args:
        text: any text; an empty one is one empty passage.
        chunking: how it is split.
        count: the tokens of a text, special ones aside.
        cut: the passages for ``unit="tokens"``.

    Raises:
        MissingExtra: the unit needs semantic-text-splitter.
    """
    if not text.strip():
        return [(0, len(text))]
    if chunking.unit == "tokens" and cut is not None:
        found = cut()
    else:
        clean = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate becomes "?", also one character
        found = [(start, start + len(chunk)) for start, chunk in _split(clean, chunking, count)]
    joined: list[Span] = []
    for start, end in found:  # a passage of blanks alone joins the one before
        if joined and not text[start:end].strip():
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start if joined else 0, end))
    return joined


def _split(text: str, chunking: Chunking, count: Callable[[str], int]) -> list[tuple[int, str]]:
    try:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter
    except ImportError as error:
        raise MissingExtra(f"splitting by {chunking.unit}", "semantic-text-splitter", "text") from error
    kind = MarkdownSplitter if chunking.unit == "markdown" else TextSplitter
    splitter = kind.from_callback(count, chunking.size, overlap=chunking.overlap, trim=False)
    chunks: list[tuple[int, str]] = splitter.chunk_indices(text)
    return chunks


def pool(
    ids: np.ndarray, out: dict[str, np.ndarray], several: Sequence[Sequence[Pooled]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What an engine gave for long readings, as rows for the passages inside them, in order.

    Shapes:
        ids (N, L); ``states`` (N, L, D), ``weights`` (N, L), ``multi`` (N, L - 1, d) -> ids (M, l), ``dense`` (M, D),
        ``weights`` (M, l), ``multi`` (M, l, d) and ``multi_mask`` (M, l), for M passages of at most l tokens.
    """
    rows = np.array([row for row, some in enumerate(several) for _ in some], np.int64)
    first, last = (np.array([getattr(p, end) for some in several for p in some]) for end in ("first", "last"))
    at = first[:, None] + np.arange((last - first).max(initial=1))  # (M, l)
    mask = at < last[:, None]
    at = np.minimum(at, ids.shape[1] - 1)
    pooled: dict[str, np.ndarray] = {}
    if "states" in out:
        states = out["states"][rows[:, None], at].astype(np.float32)  # (M, l, D)
        sums = np.where(mask[:, :, None], states, 0).sum(1)
        pooled["dense"] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    if "weights" in out:
        pooled["weights"] = np.where(mask, out["weights"][rows[:, None], at], 0)
    if "multi" in out:
        pooled["multi"] = out["multi"][rows[:, None], at - 1]  # multi leaves CLS out
        pooled["multi_mask"] = mask & out["multi_mask"][rows[:, None], at - 1]
    return ids[rows[:, None], at], pooled
