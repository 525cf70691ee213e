"""What a server does under load: many clients at once, texts and pictures mixed, on this machine's loopback.

python -m benchmarks.load --seconds 60 --clients 64           # as it comes
python -m benchmarks.load --seconds 20 --max-queue 16         # a short queue: most answers are 429
python -m benchmarks.load --seconds 20 --stop-after 10        # SIGTERM in the middle
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image as PILImage

from benchmarks.row import Row

PAUSE = 0.05
"""Seconds that a client waits after 429: far less than Retry-After asks for."""
WARM = 0.25
"""Share of the time that counts as warm-up for memory."""
WORDS = (
    "a",
    "blue",
    "whale",
    "swims",
    "under",
    "the",
    "ice",
    "一只蓝鲸",
    "red",
    "dragon",
    "mountain",
    "house",
    "étoile",
)


@dataclass
class Report:
    """What was seen from outside."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Of answers with status 200."""
    memory: list[float] = field(default_factory=list)
    """Megabytes of the server, sampled evenly."""
    lasted: float = 0.0
    accepted: int = -1
    answered: int = -1
    exit_code: int | None = None

    @property
    def p50(self) -> float:
        """Median latency in seconds."""
        return quantiles(self.seconds, n=20)[9]

    @property
    def p95(self) -> float:
        """95th percentile in seconds."""
        return quantiles(self.seconds, n=20)[18]

    @property
    def growth(self) -> float:
        """Megabytes that memory grew by after the warm-up: the mean of the last quarter, less that of the second."""
        n = len(self.memory)
        second, last = self.memory[int(n * WARM) : int(n * 2 * WARM)], self.memory[int(n * 3 * WARM) :]
        return float(np.mean(last) - np.mean(second)) if second and last else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the single measurements."""
        memory = [round(x) for x in (min(self.memory), max(self.memory), self.growth)] if self.memory else None
        return {
            "statuses": dict(sorted(self.statuses.items())),
            "answers_per_second": round(len(self.seconds) / max(self.lasted, 1e-9), 1),
            "p50_ms": round(1000 * self.p50, 1),
            "p95_ms": round(1000 * self.p95, 1),
            "p95_over_p50": round(self.p95 / self.p50, 2),
            "memory_mb_min_max_growth": memory,
            "accepted": self.accepted,
            "answered": self.answered,
            "exit_code": self.exit_code,
        }


def bodies(seed: int = 0, *, n: int = 64) -> list[tuple[str, bytes]]:
    """Paths and JSON bodies: short texts and longer ones, pictures of mixed sizes and formats, pairs, reranking."""
    dice = random.Random(seed)
    made: list[tuple[str, bytes]] = []
    for i in range(n):
        text = " ".join(dice.choices(WORDS, k=dice.choice((2, 5, 12, 40))))
        kind = dice.choice(("openai", "openai", "tei", "picture", "pair", "voyage", "rerank", "encode"))
        if kind == "openai":
            made.append(
                ("/v1/embeddings", _json({"input": [text] * dice.choice((1, 1, 3)), "encoding_format": "base64"}))
            )
        elif kind == "tei":
            made.append(("/embed", _json({"inputs": text})))
        elif kind == "picture":
            made.append(("/v1/embeddings", _json({"input": [{"image": picture(i)}], "encoding_format": "base64"})))
        elif kind == "pair":
            made.append(("/encode", _json({"items": [{"text": text, "image": picture(i)}], "heads": ["dense"]})))
        elif kind == "voyage":
            content = [{"type": "text", "text": text}, {"type": "image_base64", "image_base64": picture(i)}]
            made.append(("/v1/multimodalembeddings", _json({"inputs": [{"content": content}]})))
        elif kind == "rerank":
            made.append(("/rerank", _json({"query": text, "texts": [text[:20], "whale", "dragon"]})))
        else:
            made.append(("/encode", _json({"items": [text], "heads": ["sparse"]})))
    return made


def picture(seed: int) -> str:
    """A data URI."""
    noise = np.random.default_rng(seed)
    high, wide = (int(side) for side in noise.integers(40, 400, 2))
    coarse = noise.integers(0, 256, (high // 8 + 1, wide // 8 + 1, 3), dtype=np.uint8)
    pixels = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:high, :wide]
    kind = ("PNG", "JPEG", "WEBP")[seed % 3]
    file = io.BytesIO()
    PILImage.fromarray(pixels).save(file, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


SERVE = [sys.executable, "-m", "onespace", "serve", "--port", "0", "--json"]
"""Starts a server whose address `address_of` reads."""


def load(*, seconds: float, clients: int, stop_after: float | None = None, options: tuple[str, ...] = ()) -> Report:
    """Starts a server, asks it for so long, and stops it; with ``stop_after`` in the middle."""
    with (
        TemporaryFile("w+") as log,
        subprocess.Popen([*SERVE, *options], stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        try:
            report = asyncio.run(_ask(address_of(server), server, seconds, clients, stop_after))
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
            server.communicate(timeout=90)
        finally:
            server.kill()
        log.seek(0)
        told = log.read()
    if found := re.search(r"stopped: (\d+) requests accepted, (\d+) answered", told):
        report.accepted, report.answered = int(found[1]), int(found[2])
    report.exit_code = server.returncode
    return report


def address_of(server: subprocess.Popen[str]) -> str:
    """The address that ``--json`` prints when the server answers."""
    assert server.stdout is not None
    lines = ""
    for line in server.stdout:
        lines += line
        if line.startswith("}"):
            return str(json.loads(lines)["address"])
    raise RuntimeError("the server didn't start. Run `onespace serve` to see why.")


async def _ask(
    address: str, server: subprocess.Popen[str], seconds: float, clients: int, stop_after: float | None
) -> Report:
    report, several = Report(), bodies()
    where = urlsplit(address)
    assert where.hostname is not None
    requests = [_request(where.netloc, path, body) for path, body in several]
    began = time.monotonic()
    end = began + seconds
    asking = [
        asyncio.create_task(_client(where.hostname, where.port or 80, requests, seed, end, report))
        for seed in range(clients)
    ]
    watching = asyncio.create_task(_watch(server.pid, seconds, report))
    if stop_after is not None:
        await asyncio.sleep(stop_after)
        server.send_signal(signal.SIGTERM)
    await asyncio.gather(*asking)
    report.lasted = time.monotonic() - began
    watching.cancel()
    return report


async def _client(host: str, port: int, requests: list[bytes], seed: int, end: float, report: Report) -> None:
    """Asks one thing after another. A connection that ends before an answer began counts as ``lost``."""
    dice = random.Random(seed)
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            return  # the server has stopped
        try:
            while time.monotonic() < end:
                began = time.monotonic()
                writer.write(dice.choice(requests))
                status, open_still = await _answer(reader)
                report.statuses[status] += 1
                if status == "200":
                    report.seconds.append(time.monotonic() - began)
                else:
                    await asyncio.sleep(PAUSE)
                if not open_still:
                    break
        except (OSError, asyncio.IncompleteReadError) as error:
            begun = isinstance(error, asyncio.IncompleteReadError) and bool(error.partial)
            report.statuses["broken" if begun else "lost"] += 1
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """Status, and whether the connection goes on."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = re.search(r"content-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    return head.split(" ", 2)[1], "connection: close" not in head


async def _watch(pid: int, seconds: float, report: Report) -> None:
    """Samples memory a hundred times (where there is ``/proc``)."""
    status = Path(f"/proc/{pid}/status")
    while status.is_file():
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
        if found:
            report.memory.append(int(found[1]) / 1024)
        await asyncio.sleep(seconds / 100)


def _request(host: str, path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def rows(quick: bool) -> list[Row]:
    """The tail of the latency, and what became of all the requests, under load."""
    report = load(seconds=10 if quick else 60, clients=64)
    told = ", ".join(f"{status}: {n}" for status, n in sorted(report.statuses.items()))
    rate, memory = report.to_dict()["answers_per_second"], f"memory {report.growth:+.0f} MB after warm-up"
    note = f"{report.p95 / report.p50:.1f} x p50; {told}; {rate} answers/s; {memory}"
    return [Row("serve, 64 clients: p95", report.p95, note=note)]


def main() -> None:
    """Prints a report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--stop-after", type=float)
    parser.add_argument("--max-queue", type=int)
    args = parser.parse_args()
    options = ("--max-queue", str(args.max_queue)) if args.max_queue else ()
    report = load(seconds=args.seconds, clients=args.clients, stop_after=args.stop_after, options=options)
    print(json.dumps(report.to_dict(), indent=2))


if __name__ == "__main__":
    main()
