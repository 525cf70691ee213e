"""Things from the wire become items: bytes within limits, sizes known before anything is decoded, never a path."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from onespace.encoder import Encoder
from onespace.errors import ImageError, InputError
from onespace.prepare.images import measure
from onespace.prepare.sources import is_data, is_remote, read_bytes
from onespace.serve.batcher import Load
from onespace.serve.options import Limits
from onespace.serve.refusals import refuse
from onespace.serve.remote import Fetcher
from onespace.types import Image, Item, Pair


@dataclass(frozen=True)
class Raw:
    """A thing as it came: a text, pictures as they are written in JSON, or both."""

    text: str | None = None
    images: tuple[str, ...] = ()


class Reader:
    """Reads things for one server."""

    def __init__(self, limits: Limits, fetcher: Fetcher | None) -> None:
        self.limits = limits
        self.fetcher = fetcher

    def read(self, things: Sequence[Raw], encoder: Encoder) -> tuple[list[Item], list[Load]]:
        """Items, and what they weigh.

        Raises:
            InputError: what isn't a thing, or isn't a picture; it is named by its position.
            Refused: 413 for more items or pixels than are taken.
        """
        if len(things) > self.limits.items:
            raise refuse(413, "too_many_items", f"{len(things)} items; at most {self.limits.items} are taken at once.")
        items: list[Item] = []
        loads: list[Load] = []
        waiting = 0
        for number, thing in enumerate(things):
            item, load = self._one(thing, f"item {number}", encoder)
            waiting += load.pixels
            if waiting > self.limits.queue_pixels:
                raise refuse(413, "too_large", f"more than {self.limits.queue_pixels:,} pixels. Send fewer pictures.")
            items.append(item)
            loads.append(load)
        return items, loads

    def _one(self, thing: Raw, where: str, encoder: Encoder) -> tuple[Item, Load]:
        if thing.text is None and not thing.images:
            raise InputError(f"{where} has neither a text nor an image. Give it one.")
        spec = encoder.spec
        tokens = min(spec.max_tokens, 2 + len((thing.text or "").encode("utf-8", "replace")) // 3)
        pictures, pixels = [], 0
        for k, image in enumerate(thing.images):
            named = where if len(thing.images) == 1 else f"{where}, picture {k}"
            data = self._bytes(image, named)
            width, height = measure(data, where=named, max_pixels=self.limits.picture_pixels)
            pixels += width * height
            tokens += spec.image.tokens if spec.image else 0
            pictures.append(data)
        if thing.text is None:
            return (pictures[0] if len(pictures) == 1 else Pair("", pictures)), Load(tokens, pixels)
        return (Pair(thing.text, pictures) if pictures else thing.text), Load(tokens, pixels)

    def _bytes(self, image: str, where: str) -> bytes:
        if is_remote(image):
            if self.fetcher is None:
                raise ImageError(f"{where} is a remote address, which this server doesn't fetch. Send a data URI.")
            return self.fetcher.fetch(image, where=where)
        if is_data(image):
            return read_bytes(Image(image), where=where, max_bytes=self.limits.body_bytes)
        try:
            data = base64.b64decode(image, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ImageError(f"{where} isn't a picture in base64 ({error}). Send data:image/png;base64,...") from error
        if not data:
            raise ImageError(f"{where} is empty (0 bytes). Send the bytes of a picture, in base64.")
        return data
