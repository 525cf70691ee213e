"""Search in a folder of pictures by a picture, a text, or a picture and a text together.

    python examples/image_search.py pictures --weights Visualized_m3.pth --image query.png --text "at night"

The index is a matrix in memory. The best pictures are printed, and drawn on one sheet behind the query.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from onespace.compat.visual_bge import Visualized_BGE  # was: from visual_bge.modeling import Visualized_BGE

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"}
CELL, LINE, EDGE = 240, 24, 12


class Index:
    """The pictures of a folder and their vectors (N, D)."""

    def __init__(self, model: Visualized_BGE, paths: list[Path]) -> None:
        self.paths = paths
        self.vectors = model.encode(image=[str(path) for path in paths])

    def search(self, query: torch.Tensor, k: int) -> list[tuple[float, Path]]:
        """The k nearest pictures, best first, for a query (1, D)."""
        scores = (query @ self.vectors.T)[0]  # (N,)
        best = scores.topk(min(k, len(self.paths)))
        return [(float(score), self.paths[i]) for score, i in zip(best.values, best.indices.tolist(), strict=True)]


def contact_sheet(query: Path | None, hits: list[tuple[float, Path]], columns: int = 4) -> Image.Image:
    """The query (if it is a picture) and the hits in rows of thumbnails, each with its score."""
    cells = [("query", query)] if query else []
    cells += [(f"{rank}.  {score:.4f}", path) for rank, (score, path) in enumerate(hits, 1)]
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (CELL + EDGE) + EDGE, rows * (CELL + LINE + EDGE) + EDGE), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (label, path) in enumerate(cells):
        x, y = EDGE + i % columns * (CELL + EDGE), EDGE + i // columns * (CELL + LINE + EDGE)
        with Image.open(path) as picture:
            thumbnail = picture.convert("RGBA")
        thumbnail.thumbnail((CELL, CELL))
        corner = x + (CELL - thumbnail.width) // 2, y + (CELL - thumbnail.height) // 2
        sheet.paste(thumbnail, corner, thumbnail)
        draw.text((x, y + CELL + 4), label, fill="crimson" if label == "query" else "black", font_size=16)
    return sheet


def main() -> None:
    """Reads the command line, searches, prints, and draws."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="pictures to search in")
    parser.add_argument("--bge", default="BAAI/bge-m3", help="folder or hub name of the text model")
    parser.add_argument("--weights", required=True, help="Visualized_m3.pth, or Visualized_base_en_v1.5.pth")
    parser.add_argument("--image", type=Path, help="a picture to search by")
    parser.add_argument("--text", help="a text to search by; with --image, what should be different or the same")
    parser.add_argument("--top", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("found.png"), help="where the sheet is written")
    args = parser.parse_args()
    if args.image is None and args.text is None:
        parser.error("search by --image, by --text, or by both")
    known = (path for path in sorted(args.folder.iterdir()) if path.suffix.lower() in ENDINGS)
    paths = [path for path in known if args.image is None or not path.samefile(args.image)]
    if not paths:
        parser.error(f"there is no picture to find in {args.folder}")

    model = Visualized_BGE(model_name_bge=args.bge, model_weight=args.weights)
    index = Index(model, paths)
    hits = index.search(model.encode(image=args.image, text=args.text), args.top)
    for score, path in hits:
        print(f"{score:.4f}  {path}")
    contact_sheet(args.image, hits).save(args.out)
    print(f"{len(index.paths)} pictures searched; the sheet is {args.out}")


if __name__ == "__main__":
    main()
