"""An `Explanation` as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Literal

from PIL import Image as PILImage

from onespace.explain.explanation import Explanation, Field, Part, Share
from onespace.explain.view import COLOURS, NAMES, fitted, label, listed, meters, over_white, runs, veil
from onespace.types import Box


def page(
    explanation: Explanation,
    *,
    query: str = "",
    text: str = "",
    pictures: Sequence[PILImage.Image] = (),
    model: str = "",
) -> str:
    """The explanation as one HTML document: no script, no request, light and dark; every text is escaped.

    Args:
        explanation: with its spans, from `name_tokens`.
        query: the query's text.
        text: the document's text, "" for a picture alone.
        pictures: the document's pictures.
        model: its name.
    """
    shown = "".join(_figure(explanation, k, picture) for k, picture in enumerate(pictures))
    words = f'<p class="text">{_marked(explanation, text, "document")}</p>' if text else ""
    asked = f'<h1 class="text">{_marked(explanation, query, "query")}</h1>' if query else ""
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(query or "Explanation")}: {explanation.score:.4f}</title><style>{STYLE}</style>
<main><header><p class="facts">{escape(model)} · {explanation.metric} · {len(explanation.parts)} parts that add up</p>
{asked}</header>
<section class="score"><b>{explanation.score:.4f}</b><div>{shares(explanation)}</div>
</section>
<div class="two"><section>{shown}{words}</section><section class="parts">{ledger(explanation)}</section></div>
<footer>Made by <code>onespace explain</code>.</footer></main></html>
"""


def _marked(explanation: Explanation, text: str, side: Literal["query", "document"]) -> str:
    return "".join(
        f'<mark class="{"plus" if weight > 0 else "minus"}" style="--n:{abs(weight):.0%}">{escape(piece)}</mark>'
        if abs(weight) > 0.04
        else escape(piece)
        for piece, weight in runs(explanation, text, side=side)
    )


def _figure(explanation: Explanation, k: int, picture: PILImage.Image) -> str:
    size = fitted(picture.size)
    layers = f'<img alt="" src="{data_uri(over_white(picture).resize(size, PILImage.Resampling.LANCZOS))}">'
    field = explanation.field
    if field is None or field.picture != k:
        return f"<figure>{layers}</figure>"
    scale = size[0] / picture.width
    layers += f'<img alt="" class="heat" src="{data_uri(veil(Field(field.boxes * scale, field.values), size))}">'
    left, top, right, bottom = field.best
    where = f"{left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}"
    return (
        f"<figure>{layers}{frame(field.best, picture.size)}</figure>"
        f'<p class="facts">Nearest at {where}, in pixels. Point at the picture to see it bare.</p>'
    )


def frame(box: Box, size: tuple[int, int]) -> str:
    """A box over a picture of that (width, height), for a ``figure``.

    >>> frame((10, 0, 20, 20), (40, 20))
    '<i class="box" style="left:25.00%;top:0.00%;width:25.00%;height:100.00%"></i>'
    """
    left, top, right, bottom = box
    edges = {
        "left": left / size[0],
        "top": top / size[1],
        "width": (right - left) / size[0],
        "height": (bottom - top) / size[1],
    }
    style = ";".join(f"{edge}:{share:.2%}" for edge, share in edges.items())
    return f'<i class="box" style="{style}"></i>'


def shares(explanation: Explanation) -> str:
    """A bar of what each representation adds, and the numbers."""
    total = sum(share for share in explanation.shares.values() if share > 0) or 1
    bar = "".join(
        f'<i style="width:{max(0, share) / total:.2%};background:{COLOURS[head]}"></i>'
        for head, share in explanation.shares.items()
    )
    key = "".join(
        f'<li><i style="background:{COLOURS[head]}"></i>{NAMES[head]} <b>{share:+.4f}</b></li>'
        for head, share in explanation.shares.items()
    )
    return f'<div class="bar">{bar}</div><ul class="key">{key}</ul>'


def ledger(explanation: Explanation) -> str:
    """A table of the parts under each representation."""
    return "".join(_list(head, parts) for head, parts in listed(explanation).items())


def _list(head: Share, parts: list[Part]) -> str:
    lines = "".join(
        f"<tr><td>{escape(label(part))}</td>"
        f'<td class="meter{" less" if part.score < 0 else ""}">'
        f'<i style="width:{length:.1%};background:{COLOURS[head]}"></i></td>'
        f"<td>{part.score:+.5f}</td></tr>"
        for part, length in zip(parts, meters(parts), strict=True)
    )
    return f'<h2 style="color:{COLOURS[head]}">{NAMES[head]}</h2><table>{lines}</table>'


def data_uri(picture: PILImage.Image) -> str:
    """The picture inside an address: as PNG, or as JPEG where that is smaller and nothing shines through."""
    written = {}
    for kind in ("png", "jpeg") if picture.mode == "RGB" else ("png",):
        buffer = io.BytesIO()
        picture.save(buffer, kind, optimize=True, quality=88)
        written[kind] = buffer.getvalue()
    kind = min(written, key=lambda kind: len(written[kind]))
    return f"data:image/{kind};base64,{base64.b64encode(written[kind]).decode()}"


STYLE = """
:root{color-scheme:light dark;--bg:#f7f8fa;--card:#fff;--ink:#17212b;--soft:#5d6b79;--line:#dfe4ea;--plus:#ffb02e;
--minus:#78aaf0}
@media(prefers-color-scheme:dark){:root{--bg:#0e141b;--card:#161f29;--ink:#e6ecf2;--soft:#93a1af;--line:#2a3642;
--plus:#a86a00;--minus:#2f62ad}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,"Segoe UI","PingFang SC",
"Noto Sans CJK SC","Microsoft YaHei",sans-serif}
main{max-width:1080px;margin:auto;padding:40px 24px}
h1{font-size:34px;line-height:1.25;margin:0;letter-spacing:-.01em}
h2{font-size:12px;letter-spacing:.08em;text-transform:uppercase;margin:20px 0 6px}h2:first-child{margin-top:0}
.facts,footer{color:var(--soft);font-size:13px;margin:8px 0}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px;margin:20px 0}
.score{display:flex;gap:28px;align-items:center}.score>b{font-size:44px;font-weight:300;line-height:1}
.score>div{flex:1}.bar{display:flex;gap:3px;height:12px}.bar i{border-radius:3px;min-width:3px}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:4px 22px;padding:0;margin:10px 0 0;font-size:14px}
.key i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:7px}
.two{display:grid;grid-template-columns:1.15fr 1fr;gap:20px;align-items:start}.two section{margin:0}
@media(max-width:760px){.two{grid-template-columns:1fr}}
figure{position:relative;margin:0;line-height:0;border-radius:8px;overflow:hidden;border:1px solid var(--line)}
figure img{width:100%}figure img:first-child{filter:saturate(.4) brightness(1.06)}
.heat{position:absolute;inset:0;height:100%;transition:opacity .2s}
.box{position:absolute;border:2.5px solid #1b2733;outline:2px solid #fff;border-radius:8px;transition:opacity .2s}
figure:hover .heat,figure:hover .box{opacity:0}figure:hover img:first-child{filter:none}
.text{white-space:pre-wrap;overflow-wrap:anywhere}p.text{font-size:18px;line-height:1.75;margin:0}
mark{color:inherit;border-radius:4px;padding:1px 0}
.plus{background:color-mix(in oklab,var(--plus) var(--n),transparent)}
.minus{background:color-mix(in oklab,var(--minus) var(--n),transparent)}
table{border-collapse:collapse;width:100%;table-layout:fixed;font-size:14px;font-variant-numeric:tabular-nums}
td{padding:3px 10px 3px 0;border-top:1px solid var(--line)}td:last-child{text-align:right;padding:0}
.meter{width:34%}td:last-child{width:24%}.less i{opacity:.35}.meter i{display:block;height:8px;border-radius:3px}
code{font:13px ui-monospace,Menlo,Consolas,monospace}
"""
