"""A folder with files of every kind, and a store that it is indexed into."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from onespace.encoder import Encoder
from onespace.index import Indexer, IndexOptions, Report
from onespace.store import Store, StoreOptions

MARKDOWN = "# Sea\n\n" + "a whale swims in the sea. " * 12 + "\n\n# Lake\n\n" + "the house by the lake. " * 12
CSV = "sku,text,image,price,kind\n1,red dragon,pics/0.png,1.5,toy\n2,snow,,20,\n3,,pics/1.png,,\n"
ROWS = '{"text": "a red house", "tags": ["red", "house"], "n": 3, "deep": {"a": 1}}\n\n{"text": "a whale", "id": "w"}\n'
IDS = {
    *(f"pics/{i}.png" for i in range(4)),
    *(f"pics/deep/{i}.png" for i in range(4, 6)),
    *(f"notes/a.md#passage={i}" for i in range(1, 8)),
    "notes/b.txt#passage=1",
    *(f"notes/two.pdf#page={i}" for i in (1, 2)),
    *(f"things.csv#row={i}" for i in (1, 2, 3)),
    "things.jsonl#row=1",
    "w",
}
"""What the folder gives to `tiny_encoder`."""


def draw(path: Path, seed: int, side: int = 12) -> Path:
    """A small picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def write_pdf(path: Path, pages: list[str]) -> Path:
    """A PDF with a line of text a page."""
    kids = " ".join(f"{3 + 2 * i} 0 R" for i in range(len(pages)))
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>"]
    font = "<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    for i, text in enumerate(pages):
        drawn = f"BT /F1 24 Tf 20 100 Td ({text}) Tj ET"
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents {4 + 2 * i} 0 R/Resources{font}>>"
        objects += [page, f"<</Length {len(drawn)}>>stream\n{drawn}\nendstream"]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj{body}endobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer<</Size {len(objects) + 1}/Root 1 0 R>>\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out + end.encode() + f"startxref\n{len(out)}\n%%EOF".encode())
    return path


def fill_folder(folder: Path) -> Path:
    """Files of every kind; see `IDS`."""
    for i in range(6):
        draw(folder / "pics" / ("deep" if i > 3 else "") / f"{i}.png", i)
    (folder / "notes").mkdir()
    (folder / "notes/a.md").write_text(MARKDOWN, "utf-8")
    (folder / "notes/b.txt").write_text("red snow", "utf-8")
    (folder / "notes/empty.txt").write_text(" \n", "utf-8")
    write_pdf(folder / "notes/two.pdf", ["a red house", "the sea"])
    (folder / "things.csv").write_text(CSV, "utf-8")
    (folder / "things.jsonl").write_text(ROWS, "utf-8")
    (folder / "program.py").write_text("pass", "utf-8")
    (folder / ".hidden").mkdir()
    draw(folder / ".hidden/9.png", 9)
    return folder


def index(model: Encoder, *paths: str | Path, store: str | Path = "pictures.db", **options: object) -> Report:
    """One run of the indexer, in the working folder."""
    kept = StoreOptions(on_loss=options.pop("on_loss", "warn"))  # type: ignore[arg-type]
    with (
        Store.open(store, model, options=kept) as opened,
        Indexer(opened, options=IndexOptions(**options)) as indexer,  # type: ignore[arg-type]
    ):
        return indexer.run([Path(path) for path in paths] or [Path("data")])


def counts(report: Report) -> tuple[int, int, int, int]:
    """(added, changed, removed, unchanged)."""
    return report.added, report.changed, report.removed, report.unchanged


def contents(model: Encoder, store: str | Path = "pictures.db") -> dict[str, tuple[np.ndarray, str]]:
    """Vectors, and metadata with the text, of every item by id; each must be there once."""
    with Store.open(store, model, options=StoreOptions(read_only=True)) as opened:
        items = list(opened.iterate())
        vectors = opened.vectors([item.id for item in items])
        assert len({item.id for item in items}) == len(items)
        found = {}
        for i, item in enumerate(items):
            e = vectors[vectors.rows(i)]
            assert e.dense is not None
            assert e.sparse is not None
            assert e.multi is not None
            numbers = np.concatenate([e.dense.ravel(), e.sparse.values, e.multi.values.ravel()])
            found[str(item.id)] = numbers, f"{item.reference.text} {sorted(item.metadata.items())}"
        return found


def assert_same(found: dict[str, tuple[np.ndarray, str]], expected: dict[str, tuple[np.ndarray, str]]) -> None:
    """The same items: vectors that were made in other batches may be rounded otherwise."""
    assert found.keys() == expected.keys()
    for id, (numbers, about) in expected.items():
        assert found[id][1] == about
        np.testing.assert_allclose(found[id][0], numbers, atol=2e-3, err_msg=id)


def age(path: Path, seconds: float) -> None:
    """Gives a file another time of change."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - int(seconds * 1e9)))
