"""No address leads a server to what only the server can reach, and no answer is too large or too slow for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence

import pytest
from serving import serving, uri

from onespace.errors import ImageError
from onespace.serve.remote import PORT, Fetcher, public, resolve

PUBLIC = "93.184.215.14"


class Net:
    """What `Fetcher` sees of the network: names with their addresses, asked one after another, and canned answers."""

    def __init__(self, names: dict[str, list[list[str]]], answers: Sequence[bytes] = (), *, pause: float = 0.0) -> None:
        self.names = names
        self.answers = list(answers)
        self.pause = pause
        self.reached: list[str] = []

    def resolve(self, host: str) -> list[str]:
        found = self.names.get(host)
        if found is None:
            return resolve(host)  # a number in one of its spellings: the system's own reading of it
        return found.pop(0) if len(found) > 1 else found[0]

    def connect(self, address: str, host: str, seconds: float) -> socket.socket:
        self.reached.append(address)
        ours, theirs = socket.socketpair()
        ours.settimeout(seconds)
        threading.Thread(target=self._serve, args=(theirs, self.answers.pop(0)), daemon=True).start()
        return ours

    def _serve(self, connection: socket.socket, answer: bytes) -> None:
        with connection:
            connection.recv(65536)
            try:
                for i in range(0, len(answer), 1 if self.pause else len(answer) or 1):
                    connection.sendall(answer[i : i + 1] if self.pause else answer)
                    time.sleep(self.pause)
            except OSError:
                return

    def fetcher(self, **options: object) -> Fetcher:
        return Fetcher(resolve=self.resolve, connect=self.connect, **options)  # type: ignore[arg-type]


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def moved(to: str) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % to.encode()


INWARD = [
    "https://127.0.0.1/a.png",
    "https://localhost/a.png",
    "https://[::1]/a.png",
    "https://[::]/a.png",
    "https://0.0.0.0/a.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://10.1.2.3/a.png",
    "https://172.16.0.1/a.png",
    "https://192.168.1.1/a.png",
    "https://100.64.0.1/a.png",
    "https://224.0.0.1/a.png",
    "https://2130706433/a.png",
    "https://0x7f000001/a.png",
    "https://0x7f.1/a.png",
    "https://0177.0.0.1/a.png",
    "https://127.1/a.png",
    "https://[::ffff:127.0.0.1]/a.png",
    "https://[::ffff:a9fe:a9fe]/a.png",
    "https://[64:ff9b::7f00:1]/a.png",
    "https://[2002:7f00:1::]/a.png",
    "https://[fe80::1]/a.png",
    "https://[fc00::1]/a.png",
    "https://inward.example/a.png",
    "https://mixed.example/a.png",
]
NOT_HTTPS = [
    "http://public.example/a.png",
    "https://user:secret@public.example/a.png",
    "https://user@public.example/a.png",
    "https://public.example:8443/a.png",
    "https://public.example:99999/a.png",
    "https:///a.png",
    "https://pub\tlic.example/a.png",
    "https://public.example/a b.png",
    "https://[::1/a.png",
    "https://ｌocalhost/a.png",
]
NAMES = {
    "public.example": [[PUBLIC]],
    "inward.example": [["10.0.0.7"]],
    "mixed.example": [[PUBLIC, "127.0.0.1"]],
    "changing.example": [[PUBLIC], ["127.0.0.1"]],
}


@pytest.mark.parametrize("address", [*INWARD, *NOT_HTTPS])
def test_addresses_that_lead_inward_or_are_not_plain_https_are_never_connected_to(address):
    net = Net(dict(NAMES))
    with pytest.raises(ImageError, match="item 0"):
        net.fetcher().fetch(address, where="item 0")
    assert net.reached == []


@pytest.mark.parametrize(
    "address", [*INWARD[:6], "http://public.example/", "file:///etc/passwd", "ftp://public.example/"]
)
def test_every_redirect_is_looked_at_anew(address):
    net = Net(dict(NAMES), [moved(address)])
    with pytest.raises(ImageError):
        net.fetcher().fetch("https://public.example/a.png", where="item 0")
    assert net.reached == [PUBLIC]


def test_the_connection_goes_to_the_address_that_was_looked_at():
    names = {"changing.example": [[PUBLIC], ["127.0.0.1"]]}
    net = Net(names, [ok(b"picture")])
    assert net.fetcher().fetch("https://changing.example/a.png", where="item 0") == b"picture"
    assert net.reached == [PUBLIC]
    with pytest.raises(ImageError, match="public host"):  # asked again, the name means this machine
        net.fetcher().fetch("https://changing.example/a.png", where="item 0")
    assert net.reached == [PUBLIC]


def test_redirects_are_followed_and_counted():
    net = Net(dict(NAMES), [moved("/b.png"), ok(b"picture")])
    assert net.fetcher().fetch("https://public.example/a.png", where="item 0") == b"picture"
    net = Net(dict(NAMES), [moved("/again")] * 9)
    with pytest.raises(ImageError, match="more than 3 times"):
        net.fetcher().fetch("https://public.example/a.png", where="item 0")
    assert len(net.reached) == 4


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (ok(b"x" * 101), "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 500, "more than 100 bytes"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"),
        (b"not http at all\r\n\r\n", "can't be fetched"),
        (b"", "can't be fetched"),
    ],
)
def test_answers_that_are_no_picture(answer, told):
    with pytest.raises(ImageError, match=told):
        Net(dict(NAMES), [answer]).fetcher(max_bytes=100).fetch("https://public.example/a.png", where="item 0")


def test_a_trickle_is_cut_off_in_time():
    began = time.monotonic()
    with pytest.raises(ImageError, match="can't be fetched"):
        Net(dict(NAMES), [ok(b"x" * 5000)], pause=0.05).fetcher(seconds=0.4).fetch("https://public.example/", where="i")
    assert time.monotonic() - began < 3


def test_only_the_port_of_https_is_reached():
    assert PORT == 443
    assert public(PUBLIC)
    assert not any(map(public, ("", "x", "127.0.0.1", "fe80::1%eth0", "::127.0.0.1", "255.255.255.255", "0.0.0.0")))


def test_remote_addresses_are_off_unless_asked_for(client, tiny_encoder, pictures):
    body = {"items": [{"image": "https://127.0.0.1/a.png"}]}
    reply = client.post("/encode", json=body)
    assert reply.status_code == 400
    assert "doesn't fetch" in reply.json()["error"]["message"]
    with serving(tiny_encoder, allow_remote_images=True) as other:
        assert "public host" in other.post("/encode", json=body).json()["error"]["message"]


@pytest.mark.parametrize(
    "image", ["file:///etc/passwd", "/etc/passwd", "../a.png", "C:\\a.png", "ftp://a/b", "data:,a"]
)
def test_no_path_is_ever_opened(client, image):
    reply = client.post("/encode", json={"items": [{"image": image}]})
    assert reply.status_code == 400
    assert "base64" in reply.json()["error"]["message"]


def test_data_over_the_limits_is_refused_before_it_is_decoded(tiny_encoder, pictures):
    with serving(tiny_encoder, picture_pixels=1000, body_bytes=20_000) as client:
        told = client.post("/encode", json={"items": [{"image": uri(pictures[0])}]})
        assert told.status_code == 400
        assert "1,000" in told.json()["error"]["message"]
        assert client.post("/encode", json={"items": ["a" * 30_000]}).status_code == 413
