"""Bytes come from files, data URIs and https, within a budget, or one error says why not."""

from __future__ import annotations

import base64
import os
import urllib.error
import urllib.request
from email.message import Message
from io import BytesIO
from pathlib import Path

import pytest

import onespace
from onespace.errors import ImageError
from onespace.prepare.sources import _HttpsOnly, describe, read_bytes


def uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_the_same_bytes_from_every_source(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"abc")
    for source in (path, b"abc", *map(onespace.Image, (path, str(path), b"abc", uri(b"abc")))):
        assert read_bytes(source, where="item 0") == b"abc"


def test_a_data_uri_may_be_wrapped_and_percent_encoded():
    data = bytes(range(256))
    text = uri(data)
    assert read_bytes(onespace.Image(text[:60] + "\n" + text[60:]), where="item 0") == data
    assert read_bytes(onespace.Image(text.replace("+", "%2B").replace("/", "%2F")), where="item 0") != b""
    assert read_bytes(onespace.Image("DATA" + text[4:]), where="item 0") == data


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("data:image/png,abc", "isn't in base64"),
        ("data:image/png;base64", "isn't in base64"),
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64,a", "damaged base64"),
        ("data:image/png;base64,ab*d", "damaged base64"),
        (uri(b"x" * 101), "more; at most 100 are read"),
        ("nowhere.png", "item 5 doesn't exist"),
        ("a\0b.png", "item 5 "),
        ("x" * 5000, "item 5 "),
        ("https://x.org/a.png", "remote address"),
        (b"", "is empty"),
        (b"x" * 101, "101 bytes or more"),
    ],
)
def test_what_cant_be_read_is_one_error(source, message):
    with pytest.raises(ImageError, match=message):
        read_bytes(onespace.Image(source), where="item 5", max_bytes=100)


def test_files_that_arent(tmp_path):
    with pytest.raises(ImageError, match="is a folder"):
        read_bytes(tmp_path, where="item 0")
    (tmp_path / "large").write_bytes(b"x" * 101)
    with pytest.raises(ImageError, match="at most 100"):
        read_bytes(tmp_path / "large", where="item 0", max_bytes=100)
    assert len(read_bytes(tmp_path / "large", where="item 0", max_bytes=101)) == 101
    (tmp_path / "empty").touch()
    with pytest.raises(ImageError, match=r"is empty \(0 bytes\)"):
        read_bytes(tmp_path / "empty", where="item 0")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_and_doesnt_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="isn't a regular file"):
        read_bytes(tmp_path / "pipe", where="item 0")


def test_an_unreachable_address_is_one_error():
    with pytest.raises(ImageError, match="item 0 can't be fetched"):
        read_bytes(onespace.Image("https://127.0.0.1:9/a.png", allow_remote=True), where="item 0")


def test_redirects_stay_on_https():
    request = urllib.request.Request("https://x.org/a")
    follow = _HttpsOnly().redirect_request
    with pytest.raises(urllib.error.URLError, match="isn't https"):
        follow(request, BytesIO(), 302, "Found", Message(), "http://x.org/b")
    with pytest.raises(urllib.error.URLError, match="isn't https"):
        follow(request, BytesIO(), 302, "Found", Message(), "file:///etc/hosts")
    followed = follow(request, BytesIO(), 302, "Found", Message(), "https://x.org/b")
    assert followed is not None
    assert followed.full_url == "https://x.org/b"


def test_descriptions_are_short():
    assert describe(Path("a/b.png")) == str(Path("a/b.png"))
    assert describe(onespace.Image("c.png")) == "c.png"
    assert describe(onespace.Image(uri(b"x" * 300))) == "data URI of 422 characters"
    assert describe(b"abc") == "3 bytes"
