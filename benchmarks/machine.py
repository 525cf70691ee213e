"""What the machine can do, and what a start costs: matrix rate, time per token, memory of a long text, first vector.

python -m benchmarks machine [--full]
"""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache

import numpy as np

from benchmarks.row import Row, interleave, left_out, pair
from benchmarks.workload import BGE_M3, text_model, texts

KINDS = ("float32", "bfloat16", "int8")
EMULATED = "this processor has no bfloat16, which torch emulates about 100 times slower than float32"

FIRST = "import onespace; onespace.load().encode('a whale')"
LONG = """
import sys, onespace
from pathlib import Path
from benchmarks.workload import texts

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20

model = onespace.load(Path(sys.argv[1]), device="cpu")
before = peak()
model.encode(texts([int(sys.argv[2])]))
print(peak(), before)
"""


def rows(quick: bool) -> list[Row]:
    return [*rates(), *slope(quick), *memory(quick), *starts()]


@lru_cache
def multiply_rate(dtype: str) -> float:
    """Operations a second of a matrix product of BGE-M3's size, (1024, 1024) by (1024, 4096): the best of several."""
    import torch

    kind = getattr(torch, dtype)
    a, b = (torch.randn(*shape).mul(20).to(kind) for shape in ((1024, 1024), (4096, 1024)))
    if kind == torch.int8:
        from onespace.towers.reduced import Int8Linear, Rows

        layer = Int8Linear(torch.nn.Linear(1024, 4096))
        given = Rows(a, torch.ones(1024, 1, dtype=layer.result))
        seconds = min(interleave([lambda: layer(given)], times=40)[0])
    else:
        seconds = min(interleave([lambda: torch.nn.functional.linear(a, b)], times=40)[0])
    return 2 * 1024 * 1024 * 4096 / seconds


def rates() -> list[Row]:
    import torch

    note = f"{torch.get_num_threads()} threads; (1024, 1024) by (1024, 4096)"
    out = [Row(f"matrix product, {kind}", multiply_rate(kind) / 1e9, unit="GFLOP/s", note=note) for kind in kinds()]
    return [*out, *(left_out(f"matrix product, {kind}", EMULATED) for kind in KINDS if kind not in kinds())]


@lru_cache
def kinds() -> tuple[str, ...]:
    """The kinds of numbers that are measured here: bfloat16 only where the processor has it."""
    from onespace.towers.reduced import has_bfloat16

    return tuple(kind for kind in KINDS if kind != "bfloat16" or has_bfloat16())


def slope(quick: bool) -> list[Row]:
    """Time per token at several lengths, as a multiple of that at 128; and what the operations alone would give."""
    import onespace

    layers = 1 if quick else 2
    model = onespace.load(text_model(BGE_M3, layers=layers), device="cpu")
    sizes = (128, 512, 1024, 2048)
    works = [texts(np.full(2048 // size, size)) for size in sizes]
    taken = interleave([lambda items=items: model.encode(items, heads="dense") for items in works], times=3)  # type: ignore[misc]
    alone = {size: 1 + size / (6 * BGE_M3.width) for size in sizes}
    out = []
    for size, seconds in zip(sizes, taken, strict=True):
        each, first = (1e3 * np.array(some) / 2048 for some in (seconds, taken[0]))
        note = f"operations alone: {alone[128] / alone[size]:.2f}; {layers} layers"
        out.append(
            pair(f"BGE-M3, time per token at {size} tokens: at 128", list(each), list(first), unit="ms", note=note)
        )
    return out


def memory(quick: bool) -> list[Row]:
    """Peak memory of a process that loads BGE-M3 and reads one text of 8,192 tokens, all heads; on Linux."""
    if not sys.platform.startswith("linux"):
        return []
    layers = 1 if quick else 24
    folder = text_model(BGE_M3, layers=layers)
    peak, before = map(float, run([sys.executable, "-c", LONG, str(folder), "8192"]).split())
    note = f"{peak - before:.2f} GiB above the model as loaded; {layers} layers"
    return [Row("BGE-M3, one text of 8,192 tokens: peak memory", peak, unit="GiB", note=note)]


def starts() -> list[Row]:
    """Processes from nothing: `--help`, and the first vector of the shipped model."""
    commands = {
        "onespace --help, cold process": [sys.executable, "-m", "onespace", "--help"],
        "first vector of the shipped model, cold process": [sys.executable, "-c", FIRST],
    }
    taken = interleave([lambda command=c: run(command) for c in commands.values()], times=5)  # type: ignore[misc]
    return [
        Row(name, float(np.median(s)), unit="s", note=f"{min(s):.2f} to {max(s):.2f}")
        for name, s in zip(commands, taken, strict=True)
    ]


def run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
