"""A log that TensorBoard reads, written without it: length-checked records (TFRecord) of one small protobuf each.

Source: tensorflow/core/util/event.proto and core/lib/io/record_writer.h, of which scalars need six fields.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

NAME = "events.out.tfevents.onespace"


class Events:
    """One file of scalars in a run's folder. It is begun anew from the rows so far, so a resumed run has no gap."""

    def __init__(self, folder: Path, rows: Iterable[Mapping[str, float]] = ()) -> None:
        self.path = folder / NAME
        self.path.write_bytes(_record(_event(time.time(), 0, _field(3, b"brain.Event:2"))))
        for row in rows:
            self.write(row)

    def write(self, row: Mapping[str, float]) -> None:
        """Appends the numbers of one row under their names; ``step`` says when."""
        values = b"".join(
            _field(1, _field(1, name.encode()) + _key(2, 5) + struct.pack("<f", value))
            for name, value in row.items()
            if name != "step"
        )
        with self.path.open("ab") as file:
            file.write(_record(_event(time.time(), int(row["step"]), _field(5, values))))


def _event(seconds: float, step: int, what: bytes) -> bytes:
    return _key(1, 1) + struct.pack("<d", seconds) + _key(2, 0) + _varint(step) + what


def _field(number: int, content: bytes) -> bytes:
    return _key(number, 2) + _varint(len(content)) + content


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first.

    >>> _varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _entry(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


_TABLE = tuple(map(_entry, range(256)))
