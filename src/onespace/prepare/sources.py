"""Bytes of a picture from wherever it lies: a path, a data URI, or an https address when that was allowed."""

from __future__ import annotations

import base64
import binascii
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import IO
from urllib.parse import unquote_to_bytes, urlsplit

from onespace.errors import ImageError
from onespace.types import Image

MAX_BYTES = 100_000_000
"""Largest picture file that is read, by default."""
MAX_REMOTE_BYTES = 20_000_000
REMOTE_TIMEOUT = 10.0
"""Seconds of silence after which a fetch is given up."""


def read_bytes(source: Image | Path | bytes, *, where: str, max_bytes: int = MAX_BYTES) -> bytes:
    """The encoded picture, never more than ``max_bytes`` of it.

    Raises:
        ImageError: when there is no such file, it is empty or too large, or the address is refused or can't be read.
    """
    if isinstance(source, Image):
        refuse_remote(source, where=where)
    plain = source.source if isinstance(source, Image) else source
    if isinstance(plain, bytes):
        data = plain
    elif isinstance(plain, Path):
        data = _from_file(plain, where=where, max_bytes=max_bytes)
    elif is_data(plain):
        data = _from_data_uri(plain, where=where, max_bytes=max_bytes)
    elif is_remote(plain):
        data = _fetch(plain, where=where, max_bytes=min(max_bytes, MAX_REMOTE_BYTES))
    else:
        data = _from_file(Path(plain), where=where, max_bytes=max_bytes)
    if not data:
        raise ImageError(f"{where} is empty (0 bytes). Pass the bytes of a picture.")
    if len(data) > max_bytes:
        raise _too_large(where, len(data), max_bytes)
    return data


def refuse_remote(image: Image, *, where: str) -> None:
    """Raises `ImageError` for an address that may not be fetched: any without ``allow_remote``, and plain http."""
    if not isinstance(image.source, str) or not is_remote(image.source):
        return
    address = image.source if len(image.source) <= 80 else f"{image.source[:80]}..."
    if not image.allow_remote:
        raise ImageError(
            f"{where}: {address} is a remote address. "
            "Download it first, or pass onespace.Image(..., allow_remote=True)."
        )
    if urlsplit(image.source).scheme.lower() != "https":
        raise ImageError(f"{where}: {address} isn't https. Pass an https address, or download the picture first.")


def describe(source: object) -> str:
    """A few words that let a reader find the picture again: its path, or what kind of thing it is."""
    if isinstance(source, Image):
        source = source.source
    if isinstance(source, str) and is_data(source):
        return f"data URI of {len(source)} characters"
    if isinstance(source, (str, Path)):
        return str(source)
    return f"{len(source)} bytes" if isinstance(source, bytes) else type(source).__name__


def is_data(source: str) -> bool:
    """Whether a text is a data URI."""
    return source[:5].lower() == "data:"


def is_remote(source: str) -> bool:
    """Whether a text is an address on the network."""
    return source[:8].lower().startswith(("http://", "https://"))


def _from_file(path: Path, *, where: str, max_bytes: int) -> bytes:
    try:
        if path.is_dir():
            raise ImageError(f"{where} is a folder. Pass the files in it: sorted(Path(...).glob('*.png')).")
        if not path.is_file():
            lost = "isn't a regular file" if path.exists() else "doesn't exist"
            raise ImageError(f"{where} {lost} (looked from {Path.cwd()}). Check the path.")
        with path.open("rb") as file:
            return _read_within(file, where=where, max_bytes=max_bytes)
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{where} can't be read ({error}). Check the path and its permissions.") from error


def _from_data_uri(uri: str, *, where: str, max_bytes: int) -> bytes:
    header, comma, payload = uri.partition(",")
    if not comma or not header.lower().endswith(";base64"):
        raise ImageError(f"{where} isn't in base64. Write it as data:image/png;base64,...")
    if len(payload) * 3 // 4 > max_bytes + 2:  # padding may add 2; percent signs only make the true size smaller
        raise _too_large(where, len(payload) * 3 // 4, max_bytes)
    try:
        return base64.b64decode(b"".join(unquote_to_bytes(payload).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"{where} holds damaged base64 ({error}). Encode the file's bytes again.") from error


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme.lower() != "https":
            raise urllib.error.URLError(f"redirected to {newurl}, which isn't https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _fetch(address: str, *, where: str, max_bytes: int) -> bytes:
    request = urllib.request.Request(address, headers={"User-Agent": "onespace"})
    try:
        with urllib.request.build_opener(_HttpsOnly).open(request, timeout=REMOTE_TIMEOUT) as answer:
            return _read_within(answer, where=where, max_bytes=max_bytes)
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{where} can't be fetched ({error}). Check the address, or download it first.") from error


def _read_within(stream: IO[bytes], *, where: str, max_bytes: int) -> bytes:
    data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise _too_large(where, len(data), max_bytes)
    return data


def _too_large(where: str, size: int, max_bytes: int) -> ImageError:
    return ImageError(f"{where} has {size:,} bytes or more; at most {max_bytes:,} are read. Save it smaller.")
