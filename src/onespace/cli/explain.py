"""``onespace explain``: why a picture or a text gets its score for a query."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from onespace.cli.options import Subparsers, add_model_options, command, load_model
from onespace.cli.output import emit_json, losses_told_here, note, print_table
from onespace.types import ImageLike, Item, Metric, Pair

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from onespace.encoder import Encoder
    from onespace.explain.explanation import Explanation

METRICS = ("cosine", "dot", "euclidean", "lexical", "maxsim", "blend")
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".ppm", ".ico", ".jp2")
EXAMPLES = """
onespace explain whale.png --query "a whale" --plot why.png
onespace explain "the whale dives below the ice" --query "一只蓝鲸" --html why.html
onespace explain photo.jpg --query "a red house" --leave-out --metric cosine --json
"""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = command(subparsers, "explain", "show which words and places give a document its score", EXAMPLES)
    parser.add_argument("document", metavar="PICTURE_OR_TEXT", help="a picture file, or a text")
    parser.add_argument("--text", metavar="STR", help="a text that belongs to the picture: a pair")
    parser.add_argument("--query", required=True, metavar="STR", help="what was searched for: a text or a picture file")
    parser.add_argument("--metric", choices=METRICS, help="which score (default: blend, or cosine without three heads)")
    parser.add_argument(
        "--leave-out", action="store_true", help="encode again without each cell and word, for models of one vector"
    )
    parser.add_argument("--plot", metavar="OUT.png", help="write a heat map over the picture")
    parser.add_argument("--html", metavar="OUT.html", help="write a page with highlights")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explains, and prints the parts."""
    from onespace.errors import InputError

    thing, query = _item(args.document), _item(args.query)
    if args.text is not None and isinstance(thing, str):
        raise InputError(f"--text belongs to a picture, but {args.document!r} is a text. Put them in one text.")
    document = thing if args.text is None or isinstance(thing, str) else Pair(args.text, thing)
    model = load_model(args)
    with losses_told_here():
        explanation = _explanation(model, query, document, args.metric, args.leave_out)
    text = document if isinstance(document, str) else args.text or ""
    asked = query if isinstance(query, str) else ""
    if args.plot:
        from onespace.explain.view import draw

        if isinstance(document, str):
            raise InputError("--plot draws on a picture, and this document is a text. Use --html.")
        draw(explanation, _open(model, document)[0], args.plot, query=asked)
    if args.html:
        from onespace.explain.page import page

        pictures = [] if isinstance(document, str) else _open(model, document)
        html = page(explanation, query=asked, text=text, pictures=pictures, model=model.spec.name)
        Path(args.html).write_text(html, encoding="utf-8")
    if args.json:
        emit_json({"model": model.spec.name} | explanation.to_dict() | {"plot": args.plot, "html": args.html})
        return 0
    _tell(explanation, asked, text)
    for kind, path in (("heat map", args.plot), ("page", args.html)):
        if path:
            note(f"{kind}: {path}")
    return 0


def _explanation(model: Encoder, query: Item, document: Item, metric: Metric | None, leave_out: bool) -> Explanation:
    """By parts where the heads give parts; by leaving out where there is one vector, or where it was asked for."""
    from onespace.explain.explanation import SHARES, explain, leave_one_out, name_tokens

    chosen: Metric = metric or ("blend" if set(SHARES["blend"]) <= set(model.spec.head_names) else "cosine")
    asked = model.encode([query], heads=SHARES[chosen], role="query")
    if leave_out or SHARES[chosen] == ("dense",):
        return leave_one_out(model, asked, 0, document, metric=chosen)
    met = model.encode([document], heads=SHARES[chosen])
    return name_tokens(explain(asked, 0, met, 0, metric=chosen), model, query=query, document=document)


def _tell(explanation: Explanation, query: str, text: str) -> None:
    import sys

    from onespace.explain.view import NAMES, highlighted, rows

    print(f"{explanation.metric}: {explanation.score:.5f}")
    if len(explanation.shares) > 1:
        print("  ".join(f"{NAMES[head]} {share:+.5f}" for head, share in explanation.shares.items()))
    if sys.stdout.isatty() and (query or text):
        from rich.console import Console

        console = Console()
        if query:
            console.print(highlighted(explanation, query, side="query"))
        if text:
            console.print(highlighted(explanation, text, side="document"))
    print_table(("share", "part", "score"), rows(explanation), numbers=1)
    if explanation.field is not None:
        left, top, right, bottom = explanation.field.best
        print(f"nearest in the picture: {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}, in pixels")


def _item(word: str) -> str | Path:
    """A file that is there, or that is called like a picture, is a picture; anything else is a text."""
    path = Path(word)
    named = path.suffix.lower() in PICTURES and not word.startswith(("http://", "https://")) and "\n" not in word
    try:
        there = path.is_file()
    except OSError:  # too long for a file's name
        there = False
    return path if there or named else word


def _open(model: Encoder, document: ImageLike | Pair) -> list[PILImage]:
    from onespace.prepare.images import open_image
    from onespace.spec import PixelSpec

    images = document.images if isinstance(document, Pair) else (document,)
    spec = model.spec.pixels or PixelSpec(size=1)
    return [open_image(image, where="the document", pixels=spec).picture for image in images]
