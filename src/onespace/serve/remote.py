"""Pictures from https addresses, without letting a client reach what only this machine can reach.

A name is resolved once, every address it has must be public, and the connection goes to the address that was looked at,
whatever the name means a moment later. Redirects begin anew. Sizes and the time of the whole are bounded.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

from onespace.errors import ImageError

PORT = 443
REDIRECTS = (301, 302, 303, 307, 308)
V4_IN_V6 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))
"""Ranges that lead on to IPv4 addresses: NAT64, 6to4, Teredo and the compatible form."""


def resolve(host: str) -> list[str]:
    """The addresses of a name, by the system's resolver."""
    found = socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def connect(address: str, host: str, seconds: float) -> socket.socket:
    """A TLS connection to an address, whose certificate must be the host's."""
    plain = socket.create_connection((address, PORT), timeout=seconds)
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def public(address: str) -> bool:
    """Whether an address is one of the open internet.

    >>> public("8.8.8.8"), public("10.0.0.1"), public("::ffff:127.0.0.1"), public("169.254.169.254")
    (True, False, False, False)
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return public(str(ip.ipv4_mapped))
        if any(ip in network for network in V4_IN_V6) or ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback)


@dataclass(frozen=True)
class Fetcher:
    """Fetches pictures. ``resolve`` and ``connect`` are all that touches the network."""

    max_bytes: int = 20_000_000
    seconds: float = 10.0
    """For the whole, redirects included."""
    redirects: int = 3
    resolve: Callable[[str], Sequence[str]] = field(default=resolve)
    connect: Callable[[str, str, float], socket.socket] = field(default=connect)

    def fetch(self, address: str, *, where: str) -> bytes:
        """The bytes behind an address.

        Raises:
            ImageError: it isn't https, leads to an address that isn't public, is too large, takes too long, or fails.
        """
        end = time.monotonic() + self.seconds
        for _ in range(self.redirects + 1):
            answer = self._ask(_https(address, where), where, end)
            if isinstance(answer, bytes):
                return answer
            address = urljoin(address, answer)
        raise ImageError(f"{where}: the address redirects more than {self.redirects} times. Send the picture itself.")

    def _ask(self, parts: SplitResult, where: str, end: float) -> bytes | str:
        """One request: the body, or the address that it redirects to."""
        host = str(parts.hostname)
        try:
            found = self.resolve(host)
        except (OSError, UnicodeError) as error:
            raise ImageError(f"{where}: the host of the address isn't known. Check the address.") from error
        if not found or not all(map(public, found)):
            raise ImageError(f"{where}: the address doesn't lead to a public host. Send the picture itself.")
        connection = http.client.HTTPConnection(host, PORT)
        alarm = None
        try:
            connection.sock = self.connect(found[0], host, _left(end))
            alarm = _cut(connection.sock, _left(end))
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"Host": host, "User-Agent": "onespace", "Accept": "image/*", "Accept-Encoding": "identity"}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            if answer.status in REDIRECTS:
                return answer.getheader("Location", "")
            if answer.status != 200:
                raise ImageError(f"{where}: the address answers with status {answer.status}. Check the address.")
            data = answer.read(self.max_bytes + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"{where}: the address can't be fetched ({type(error).__name__}).") from error
        finally:
            if alarm is not None:
                alarm.cancel()
            connection.close()
        _left(end)
        if len(data) > self.max_bytes:
            raise ImageError(f"{where}: the picture has more than {self.max_bytes:,} bytes. Send it smaller.")
        return data


def _cut(sock: socket.socket, seconds: float) -> threading.Timer:
    """Ends a connection after so many seconds, however busily it trickles."""

    def end() -> None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    alarm = threading.Timer(seconds, end)
    alarm.daemon = True
    alarm.start()
    return alarm


def _https(address: str, where: str) -> SplitResult:
    """An address that may be asked."""
    try:
        parts = urlsplit(address)
        port = parts.port or PORT
    except ValueError as error:
        raise ImageError(f"{where}: the address can't be read. Check it.") from error
    odd = any(ord(c) <= 32 or ord(c) == 127 for c in address) or not address.isascii()
    plain = parts.username is None and parts.password is None and port == PORT and not odd
    if parts.scheme.lower() != "https" or not parts.hostname or not plain:
        raise ImageError(f"{where}: only plain https addresses are fetched: https://host/picture.png.")
    return parts


def _left(end: float) -> float:
    """Seconds until the end. Raises `TimeoutError` when there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
