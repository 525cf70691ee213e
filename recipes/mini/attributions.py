"""Writes `attributions.md`, the text that ships with the model, from `sources.toml`.

    python -m recipes.mini.attributions

Run it again when a package was added or its version changed.
"""

from __future__ import annotations

from recipes.mini.sources import HERE, Package, packages

LINKS = {
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "MIT": "https://opensource.org/license/mit",
    "ISC": "https://opensource.org/license/isc-license-txt",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "Unicode-3.0": "https://www.unicode.org/license.txt",
}
HEAD = """# What onespace-mini learned from

The model's weights were trained from nothing on the drawings and texts below, and on no other. The
drawings were rasterised at 128 by 128 pixels and changed at random (moved, turned, recoloured, put
on grounds and beside each other). The weights hold no drawing; the tokenizer's vocabulary holds words
and pieces of words from the texts. The authors named here don't endorse this model.
"""


def table(rows: list[Package]) -> str:
    """The packages as a Markdown table."""
    lines = ["| work | licence |", "| --- | --- |"]
    for p in rows:
        part = f", in the npm package `{p.name}` {p.version}"
        lines.append(f"| [{p.attribution}]({p.home}){part} | [{p.licence}]({LINKS[p.licence]}) |")
    return "\n".join(lines)


def text() -> str:
    """All of `attributions.md`."""
    drawn = packages("emoji", "icons")
    trained = table([p for p in drawn if p.split == "train"])
    tested = table([p for p in drawn if p.split != "train"])
    return "\n".join(
        [
            HEAD,
            "## Drawings it was trained on\n",
            trained,
            "\n## Drawings it was tested on, never trained on\n",
            tested,
            "\n## Names, keywords and patterns in its languages\n",
            table(list(packages("texts"))),
            "\nThe phrases around the names (`recipes/mini/templates.py`) are the project's own.",
            "The drawing packages are those of the Iconify project, which keeps each set's own licence.",
            "",
        ]
    )


def main() -> None:
    """Write the file."""
    path = HERE / "attributions.md"
    path.write_text(text(), encoding="utf-8")
    print(path, len(packages()), "packages")


if __name__ == "__main__":
    main()
