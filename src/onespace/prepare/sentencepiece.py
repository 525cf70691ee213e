"""Reads a SentencePiece model file as plain data: the pieces and the rules, with no need for its library.

The file is one protocol buffer message; four wire types and a dozen field numbers are all there is to it.

>>> list(fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69])))
[(1, 150), (2, b'hi')]

Source: the field numbers are those of the published ``sentencepiece_model.proto``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from onespace.errors import ModelError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary; ``kind`` is one of the constants of this module."""

    text: str
    score: float = 0.0
    kind: int = NORMAL


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """What a tokenizer needs to know of a SentencePiece model."""

    pieces: tuple[Piece, ...]
    kind: Literal["unigram", "bpe", "word", "char"] = "unigram"
    charsmap: bytes = b""
    dummy_prefix: bool = True
    strip_spaces: bool = True

    @property
    def unknown(self) -> int:
        """The id of the unknown piece."""
        return next((i for i, piece in enumerate(self.pieces) if piece.kind == UNKNOWN), 0)


def parse(data: bytes, *, where: str) -> SentencePieceModel:
    """Reads the bytes of a ``.model`` file.

    Raises:
        ModelError: when they aren't one.
    """
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    rules: dict[int, int | bytes] = {}
    try:
        for number, value in fields(data):
            if number == 1:
                pieces.append(_piece(_message(value)))
            elif number == 2:
                trainer = _message(value)
            elif number == 3:
                rules = _message(value)
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise ModelError(
            f"{where} isn't a SentencePiece model, or is damaged ({error}). Get the file again."
        ) from error
    charsmap, kind = rules.get(2, b""), trainer.get(3, 1)
    if not pieces or not isinstance(charsmap, bytes) or kind not in _KINDS:
        raise ModelError(f"{where} isn't a SentencePiece model: it holds no pieces. Get the file again.")
    return SentencePieceModel(
        pieces=tuple(pieces),
        kind=_KINDS[kind],  # type: ignore[arg-type]
        charsmap=charsmap,
        dummy_prefix=bool(rules.get(3, 1)),
        strip_spaces=bool(rules.get(4, 1)),
    )


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (field number, value) pairs of a message; numbers as int, everything else as its bytes.

    Raises:
        ValueError: when a field reaches beyond the end, or has a wire type that isn't used any more.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"field {number} at byte {at} reaches beyond the end")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"number at byte {at} is too long")


def _message(value: int | bytes) -> dict[int, int | bytes]:
    if isinstance(value, int):
        raise ValueError("a message was expected, not a number")
    return dict(fields(value))


def _piece(message: dict[int, int | bytes]) -> Piece:
    text, score, kind = message[1], message.get(2, b"\0\0\0\0"), message.get(3, NORMAL)
    if not isinstance(text, bytes) or not isinstance(score, bytes) or not isinstance(kind, int):
        raise ValueError("a piece with fields of the wrong type")
    return Piece(text.decode("utf-8"), struct.unpack("<f", score)[0], kind)
