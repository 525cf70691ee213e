"""Step 4: every drawing as a picture.

    python -m recipes.mini.render

Writes build/mini/images.npy, uint8 (M, 128, 128, 4), straight alpha on a transparent ground, to be
opened with `np.load(path, mmap_mode="r")`, and images.jsonl with one row per picture in that order.
The drawing's view box is fitted to the square; `currentColor` is black. Drawings that render empty
are left out. A finished run with the same sources is not done again.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import re
from collections import Counter
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

from recipes.mini.concepts import Drawing, drawings
from recipes.mini.sources import BUILD, write_jsonl

IMAGES = BUILD / "images.npy"
ROWS = BUILD / "images.jsonl"
KEY = BUILD / "images.key"
SIDE = 128
EMPTY = 0.002
PROCESSES = 2


def svg(drawing: Drawing) -> str:
    """The drawing as a whole SVG document."""
    left, top, width, height = drawing.box
    body = re.sub(r"currentcolor", "#000", drawing.body, flags=re.IGNORECASE)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{SIDE}" height="{SIDE}" viewBox="{left:g} {top:g} {width:g} {height:g}">{body}</svg>'
    )


def render(document: str) -> np.ndarray | None:
    """The document as (SIDE, SIDE, 4) uint8, None if nothing shows."""
    try:
        data = resvg_py.svg_to_bytes(svg_string=document, width=SIDE, height=SIDE, skip_system_fonts=True)
    except ValueError:
        return None
    with Image.open(io.BytesIO(bytes(data))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    shown = (pixels[..., 3] > 16).mean()
    return pixels if pixels.shape == (SIDE, SIDE, 4) and shown >= EMPTY else None


def write_images(path: Path, pictures: list[Drawing]) -> list[dict[str, object]]:
    """Render into one .npy file as they come, the true count set into its header at the end."""
    rows: list[dict[str, object]] = []
    part = path.with_suffix(".part")
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(pictures), SIDE, SIDE, 4)}
    with part.open("wb") as file, multiprocessing.Pool(PROCESSES) as pool:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        for drawing, pixels in zip(pictures, pool.imap(render, map(svg, pictures), chunksize=32), strict=True):
            if pixels is None:
                print(f"renders empty: {drawing.style}:{drawing.icon}")
                continue
            file.write(pixels.tobytes())
            rows.append(
                {
                    "row": len(rows),
                    "concept": drawing.concept,
                    "style": drawing.style,
                    "split": drawing.split,
                    "name": drawing.name,
                    "icon": drawing.icon,
                }
            )
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header | {"shape": (len(rows), SIDE, SIDE, 4)})
        if file.tell() != start:
            raise RuntimeError("the .npy header changed its length")
    part.replace(path)
    return rows


def key() -> str:
    """A fingerprint of all that decides the pictures."""
    digest = hashlib.sha256(f"{SIDE} {EMPTY}".encode())
    for drawing in drawings():
        digest.update(f"{drawing.concept} {drawing.style} {drawing.split} {drawing.icon} {svg(drawing)}\n".encode())
    return digest.hexdigest()


def main() -> None:
    """Render if anything changed, and print what there is."""
    if KEY.exists() and KEY.read_text() == key() and IMAGES.exists() and ROWS.exists():
        print("up to date:", IMAGES)
        rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    else:
        KEY.unlink(missing_ok=True)
        rows = write_images(IMAGES, list(drawings()))
        write_jsonl(ROWS, rows)
        KEY.write_text(key())
    for (style, split), count in Counter((row["style"], row["split"]) for row in rows).items():
        print(f"{style:28} {split:9} {count:6}")
    concepts = {row["concept"] for row in rows}
    print(f"{len(rows)} pictures of {len(concepts)} concepts, {IMAGES.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
