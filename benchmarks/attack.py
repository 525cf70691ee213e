"""What a server makes of bodies and pictures that are damaged on purpose: never a 500, a traceback, or a long silence.

python -m benchmarks.attack --n 1000                 # starts a server with a store and asks it
python -m benchmarks.attack --n 0 --schemathesis     # also lets schemathesis walk the OpenAPI document
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image as PILImage

from benchmarks.load import SERVE, address_of

KINDS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "PPM")
PATIENCE = 5.0
"""Seconds after which a request hangs."""
LEAKS = (b"Traceback", b'File "', b"site-packages")
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\x00",
    "\ud800",
    "a whale " * 500,
    "\u202e\u0000漢" * 50,
    "data:image/png;base64,",
    "data:,",
    "https://127.0.0.1/",
    "file:///etc/passwd",
    [],
    {},
    [[]],
    [None],
    {"text": {}},
    [[[[[[[[]]]]]]]],
)


@dataclass
class Findings:
    """Statuses that were seen, and what went wrong: (what was sent, what came)."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)
    slowest: float = 0.0


def attack(address: str, *, n: int, seed: int = 0) -> Findings:
    """Sends n damaged requests, one after another."""
    where, dice, findings = urlsplit(address), random.Random(seed), Findings()
    assert where.hostname is not None
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE)
    for number, (path, body) in zip(range(n), _damaged(dice), strict=False):
        began = time.monotonic()
        name = f"number {number} (seed {seed}), {path}"
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            told = reply.read()
            findings.statuses[reply.status] += 1
            if reply.status >= 500 or any(leak in told for leak in LEAKS):
                findings.faults.append((name, f"{reply.status}: {told[:200]!r}"))
        except (OSError, http.client.HTTPException) as error:
            findings.faults.append((name, f"{type(error).__name__} after {time.monotonic() - began:.1f} s"))
            connection.close()
        findings.slowest = max(findings.slowest, time.monotonic() - began)
    connection.close()
    return findings


def _damaged(dice: random.Random) -> Iterator[tuple[str, bytes]]:
    """Requests: a picture's bytes, a value of the body, or the body's bytes are damaged in turn."""
    pictures = [_picture(dice, kind) for kind in KINDS]
    while True:
        for way in (_with_picture, _with_value, _with_bytes):
            yield way(dice, pictures)


def _with_picture(dice: random.Random, pictures: list[bytes]) -> tuple[str, bytes]:
    broken = _bytes(dice, dice.choice(pictures))
    path, body = _sound(dice, base64.b64encode(broken).decode())
    return path, json.dumps(body).encode()


def _with_value(dice: random.Random, pictures: list[bytes]) -> tuple[str, bytes]:
    path, body = _sound(dice, base64.b64encode(dice.choice(pictures)).decode())
    body = _replaced(dice, body, dice.choice(ODD))
    deep = dice.random() < 0.03
    return path, b"[" * 100_000 if deep else json.dumps(body).encode("utf-8", "surrogatepass")


def _with_bytes(dice: random.Random, pictures: list[bytes]) -> tuple[str, bytes]:
    path, body = _sound(dice, base64.b64encode(pictures[0]).decode())
    return path, _bytes(dice, json.dumps(body, ensure_ascii=False).encode())


def _sound(dice: random.Random, image: str) -> tuple[str, dict[str, Any]]:
    """A request with nothing wrong in it."""
    uri = f"data:image/png;base64,{image}"
    parts = [{"type": "text", "text": "sea"}, {"type": "image_base64", "image_base64": uri}]
    chat = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}]}]
    several: list[tuple[str, dict[str, Any]]] = [
        ("/v1/embeddings", {"input": ["sea", {"image": image}], "model": None, "encoding_format": "float"}),
        ("/v1/embeddings", {"messages": chat}),
        ("/v2/embed", {"images": [uri], "embedding_types": ["int8"]}),
        ("/v2/rerank", {"query": "sea", "documents": ["a", "b"], "top_n": 1}),
        ("/v1/multimodalembeddings", {"inputs": [{"content": parts}], "input_type": "query"}),
        ("/embed", {"inputs": ["sea", "lake"], "truncate": True}),
        ("/embed_sparse", {"inputs": "sea"}),
        ("/embed_all", {"inputs": "sea"}),
        ("/rerank", {"query": "sea", "texts": ["a", "b"]}),
        ("/encode", {"items": ["sea", {"text": "sea", "image": [uri, image]}], "heads": ["dense", "sparse"]}),
        ("/compare", {"items": ["sea", {"image": image}], "metric": "blend"}),
        ("/search", {"text": "sea", "image": uri, "k": 3, "filter": {"kind": ["a"], "year": {"gte": 1}}}),
        ("/explain", {"query": {"image": image}, "id": "t", "mode": "blend"}),
        ("/items", {"items": [{"id": "n", "image": image, "metadata": {"kind": "a", "tags": ["x"]}}]}),
        ("/admin/model", {"model": "mini"}),
    ]
    return dice.choice(several)


def _replaced(dice: random.Random, value: Any, odd: Any) -> Any:
    """The value with one place of it, anywhere, replaced; sometimes a name too."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        key = dice.choice(list(value))
        other = key if dice.random() < 0.95 else dice.choice(("", "\x00", "__class__", "x" * 500))
        return {**{k: v for k, v in value.items() if k != key}, other: _replaced(dice, value[key], odd)}
    if isinstance(value, list) and value and dice.random() < 0.85:
        place = dice.randrange(len(value))
        return [*value[:place], _replaced(dice, value[place], odd), *value[place + 1 :]]
    return odd


def _bytes(dice: random.Random, data: bytes) -> bytes:
    """Flipped, cut, doubled or overwritten bytes, in a few places."""
    broken = bytearray(data)
    for _ in range(dice.choice((1, 1, 3, 10))):
        place = dice.randrange(len(broken)) if broken else 0
        way = dice.randrange(5)
        if way == 0 and broken:
            broken[place] ^= 1 << dice.randrange(8)
        elif way == 1:
            broken[place : place + dice.choice((1, 4, 100))] = b""
        elif way == 2:
            broken[place:place] = broken[place : place + dice.choice((1, 8, 200))]
        elif way == 3:
            broken[place : place + 4] = dice.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"))
        else:
            del broken[place:]
    return bytes(broken)


def _picture(dice: random.Random, kind: str) -> bytes:
    pixels = np.random.default_rng(dice.randrange(1000)).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    PILImage.fromarray(pixels).save(file, kind)
    return file.getvalue()


def main() -> None:
    """Starts a server with a store, attacks it, and prints what was found; the exit code says whether anything was."""
    from onespace import load
    from onespace.store import Store

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--schemathesis", nargs="?", const="schemathesis", help="its program, where it isn't on the path"
    )
    parser.add_argument("--examples", type=int, default=50, help="of schemathesis, for each operation")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        with Store.open(Path(folder) / "pictures.db", load()) as store:
            store.add(["sea whale", "red dragon"], ids=["t", 7], metadata=[{"kind": "a", "year": 2024}, {}])
        command = [*SERVE, "--store", str(store.place.folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            try:
                address = address_of(server)
                findings = attack(address, n=args.n, seed=args.seed)
                print(
                    json.dumps(
                        {"statuses": findings.statuses, "faults": findings.faults, "slowest_s": findings.slowest}
                    )
                )
                failed = bool(findings.faults) or bool(args.schemathesis and _schemathesis(args, address))
            finally:
                server.terminate()
    sys.exit(int(failed))


def _schemathesis(args: argparse.Namespace, address: str) -> int:
    program = shutil.which(args.schemathesis)
    if program is None:
        raise SystemExit("schemathesis isn't installed. Run: pip install schemathesis")
    command = [program, "run", f"{address}/openapi.json", "--checks", "not_a_server_error", "--seed", str(args.seed)]
    command += ["--max-examples", str(args.examples), "--request-timeout", str(PATIENCE)]
    with TemporaryDirectory() as folder:
        return subprocess.call(command, cwd=folder)


if __name__ == "__main__":
    main()
