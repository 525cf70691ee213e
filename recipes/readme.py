"""Puts the shipped model's real output into the READMEs; `tests/test_readme.py` holds them to it.

    python -m recipes.readme

Every ```python block is run, and what it prints becomes the ```text block behind it. A marker such as
<!-- numbers: demo --> is followed by what `NUMBERS` computes under that name. The demo's heat map goes into docs/.
"""

from __future__ import annotations

import contextlib
import io
import re
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
READMES = (ROOT / "README.md", ROOT / "docs" / "README.zh-CN.md")

PYTHON = re.compile(r"(```python\n(?P<code>.*?)```\n)(?:\n```text\n(?P<output>.*?)```\n)?", re.DOTALL)
MARKER = re.compile(
    r"(<!-- numbers: (?P<name>\w+) -->\n)(?P<output>(?:\n```text\n.*?```\n|(?:\n\|[^\n]*)+\n)?)", re.DOTALL
)


@lru_cache(maxsize=8)
def printed(code: str) -> str:
    """What a block prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README", "exec"), {})
    return out.getvalue()


@lru_cache(maxsize=1)
def demo() -> str:
    """What the demo's numbers show, as the demo says it."""
    import onespace
    from onespace.demo import experiment, report

    said = report.told(experiment.run(onespace.load()))
    lines = "".join(f"{'✓' if f.agrees else '✗'} {f.expected}\n  {f.words}\n" for f in said)
    return f"\n```text\n{lines}```\n"


@lru_cache(maxsize=1)
def capabilities() -> str:
    """Which output was trained for which kind of item."""
    import onespace
    from onespace.types import HEADS, MODALITIES

    can = onespace.load().capabilities()
    rows = [["onespace-mini", *HEADS], ["---"] * (1 + len(HEADS))]
    rows += [[kind, *(can["levels"][kind][head] for head in HEADS)] for kind in MODALITIES]
    rows += [["dimensions", str(can["dimensions"]), "", ""], ["longest text", f"{can['max_tokens']} tokens", "", ""]]
    return "\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


NUMBERS = {"demo": demo, "capabilities": capabilities}


def fill(text: str) -> str:
    """The README with all output made anew."""
    text = PYTHON.sub(lambda m: f"{m[1]}\n```text\n{printed(m['code'])}```\n", text)
    return MARKER.sub(lambda m: m[1] + NUMBERS[m["name"]](), text)


def main() -> None:
    """Rewrites both READMEs and the heat map."""
    import tempfile

    import onespace
    from onespace.demo import experiment, report

    for path in READMES:
        path.write_text(fill(path.read_text("utf-8")), "utf-8")
        print(path)
    with tempfile.TemporaryDirectory() as folder:
        made = report.save(experiment.run(onespace.load()), folder)["heat map"]
        (ROOT / "docs" / "heat-map.png").write_bytes(made.read_bytes())


if __name__ == "__main__":
    main()
