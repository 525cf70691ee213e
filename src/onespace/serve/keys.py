"""API keys: the server's file holds their digests alone, and looks at all of them whichever one matches.

A line is a name, ``sha256:`` with the digest, and ``admin`` where the key may change the server::

    # name     digest
    reports    sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    operator   sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752   admin

A key is 256 random bits, which is why a plain digest is enough: there is nothing to guess.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from onespace.errors import InputError

PREFIX = "os-"


def new_key() -> str:
    """A key that nobody has."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What stands in the file.

    >>> digest("test")[:14]
    'sha256:9f86d08'
    """
    return "sha256:" + sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Key:
    """One line of the file."""

    name: str
    digest: str
    admin: bool = False


@dataclass(frozen=True)
class Keys:
    """All keys that are known."""

    keys: tuple[Key, ...]

    @classmethod
    def read(cls, path: str | Path) -> Keys:
        """Reads a file. Raises `InputError` for one that isn't there, has a bad line, or has no key."""
        try:
            lines = Path(path).read_text("utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: the file of API keys can't be read ({error}). Check --api-keys.") from error
        keys = tuple(
            _key(line, f"{path}, line {n}")
            for n, line in enumerate(lines, 1)
            if line.strip() and line.strip()[0] != "#"
        )
        if not keys:
            raise InputError(f"{path} has no key. `onespace serve --new-key NAME` prints one and its line.")
        return cls(keys)

    def find(self, presented: str) -> Key | None:
        """The key that was presented; it takes as long whether it is known or not."""
        own, found = digest(presented), None
        for key in self.keys:
            if compare_digest(own, key.digest):
                found = key
        return found


def _key(line: str, where: str) -> Key:
    words = line.split()
    hexes = words[1].removeprefix("sha256:") if len(words) > 1 else ""
    right = len(hexes) == 64 and set(hexes) <= set("0123456789abcdef") and words[2:] in ([], ["admin"])
    if not right:
        raise InputError(f"{where}: a line is NAME sha256:DIGEST [admin]. `onespace serve --new-key NAME` prints one.")
    return Key(words[0], f"sha256:{hexes}", admin=len(words) == 3)
