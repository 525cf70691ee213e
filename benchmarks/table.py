"""Rows as Markdown: tables that stand in a document between two marks, and what was aimed at beside what was reached.

<!-- bench: text -->
...
<!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.row import Row

HEAD = ["| | ours | peer | unit | ratio | spread | |", "| --- | ---: | ---: | --- | ---: | --- | --- |"]
GOALS = ["| aim | least or most | reached | spread | |", "| --- | ---: | ---: | --- | --- |"]


def table(rows: Sequence[Row]) -> str:
    """Markdown, a line a row.

    >>> print(table([Row("x", 1.0, 2.5, 2.5, 2.0, 3.0)]).splitlines()[-1])
    | x | 1 | 2.5 | s | 2.5 | 2 to 3 |  |
    """
    lines = [
        f"| {row.name} | {number(row.ours)} | {number(row.peer)} | {row.unit} | {number(row.ratio)} | {spread(row)} | "
        f"{row.note} |"
        for row in rows
    ]
    return "\n".join([*HEAD, *lines])


def number(value: float) -> str:
    """Three digits that matter; nothing for NaN.

    >>> number(1234.5), number(0.99987), number(0.9712), number(float("nan"))
    ('1234', '0.99987', '0.971', '')
    """
    if value != value:
        return ""
    if 0.995 < value < 1:
        return f"{value:.5f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(row: Row) -> str:
    """The least and the largest ratio."""
    return "" if row.low != row.low else f"{number(row.low)} to {number(row.high)}"


def fill(document: str, name: str, text: str) -> str:
    """Puts a text between the marks of that name, if the document has them.

    >>> fill("a\\n<!-- bench: x -->\\nold\\n<!-- end -->\\nb", "x", "new")
    'a\\n<!-- bench: x -->\\n\\nnew\\n\\n<!-- end -->\\nb'
    """
    marked = re.compile(rf"(<!-- bench: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    return marked.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", document)


@dataclass(frozen=True)
class Target:
    """What a row should reach: the one whose name begins and ends so."""

    aim: str
    begins: str
    ends: str
    bound: float
    value: Literal["ratio", "ours"] = "ratio"
    most: bool = False
    absent: str = ""
    """What it takes to measure it."""

    def row(self, rows: Sequence[Row]) -> Row | None:
        """The row, if it was measured."""
        return next((r for r in rows if r.name.startswith(self.begins) and r.name.endswith(self.ends)), None)

    def line(self, rows: Sequence[Row]) -> str:
        """One line of the table."""
        row = self.row(rows)
        bound = f"{'<=' if self.most else '>='} {self.bound:g}"
        if row is None or not row.measured:
            return f"| {self.aim} | {bound} | not measured | | {row.note if row else self.absent} |"
        reached = row.ratio if self.value == "ratio" else row.ours
        good = reached <= self.bound if self.most else reached >= self.bound
        unit = "x" if self.value == "ratio" else f" {row.unit}"
        told = f"{number(reached)}{unit}"
        return f"| {self.aim} | {bound} | {told} {'✓' if good else '✗'} | {spread(row)} | {row.note} |"


ST, FLAG = "sentence-transformers", "FlagEmbedding"
REFERENCE, GPU = "needs the reference's folder (VISUAL_BGE)", "no GPU"
TARGETS = (
    Target(
        "BGE-M3 text, float32, against sentence-transformers in batches of 32", "BGE-M3 float32,", f"texts: {ST}", 2.5
    ),
    Target("the same with bfloat16 products (cosine at least 0.9999)", "BGE-M3 bfloat16,", f"texts: {ST}", 2.5),
    Target("the same with int8 products (cosine at least 0.99)", "BGE-M3 int8,", f"texts: {ST}", 4),
    Target("float32 against FlagEmbedding in batches of 32", "BGE-M3 float32,", f"{FLAG}, batch 32", 4),
    Target("float32 against FlagEmbedding as it comes", "BGE-M3 float32,", f"{FLAG} as it comes", 7),
    Target("bfloat16 against FlagEmbedding in batches of 32", "BGE-M3 bfloat16,", f"{FLAG}, batch 32", 4),
    Target("bfloat16 against FlagEmbedding as it comes", "BGE-M3 bfloat16,", f"{FLAG} as it comes", 7),
    Target("three heads cost at most 5% more than dense alone", "BGE-M3: three heads", "dense alone", 1 / 1.05),
    *(
        Target(
            f"{kind}, {numbers}, against the reference one at a time",
            f"Visualized-M3 {numbers},",
            f"{kind}: the reference, one at a time",
            2,
            absent=REFERENCE,
        )
        for numbers in ("float32", "bfloat16", "int8")
        for kind in ("pictures", "pairs")
    ),
    Target("a 12-megapixel JPEG as a draft (opt-in)", "JPEG of 12 megapixels", "decoded whole", 2),
    Target("share of the measured float32 GEMM rate, useful tokens", "BGE-M3 float32: share", "rate", 70, "ours"),
    Target("time per token at 2,048 tokens, over that at 128", "BGE-M3, time per token at 2048", "at 128", 1 / 1.5),
    Target("8,192 tokens: peak memory on a CPU, GiB", "BGE-M3, one text of 8,192", "memory", 5.6, "ours", most=True),
    Target("first vector from a cold start, seconds", "first vector", "process", 1.0, "ours", most=True),
    Target("the embedded store: recall@10 of dense search", "store dense recall@10", "@10", 0.97, "ours"),
    Target("the same where vectors have no structure", "store dense recall@10, hard", "hard", 0.97, "ours"),
    Target("onespace --help, seconds", "onespace --help", "process", 0.2, "ours", most=True),
    Target(
        "GPU, bfloat16: share of the measured matrix rate, useful tokens",
        "BGE-M3 bfloat16, GPU: share",
        "rate",
        45,
        "ours",
        absent=GPU,
    ),
    Target(
        "GPU, bfloat16, against FlagEmbedding float16 in batches of 32",
        "BGE-M3 bfloat16, GPU",
        f"{FLAG} float16, batch 32",
        4,
        absent=GPU,
    ),
)


def targets(rows: Sequence[Row]) -> str:
    """Markdown: every aim, and what was reached."""
    return "\n".join([*GOALS, *(target.line(rows) for target in TARGETS)])
