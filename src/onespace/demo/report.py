"""Writes what the experiment found: a heat map (PNG), the numbers (JSON), and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import io
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onespace.demo.experiment import GROUPS, IDS, METRICS, PICTURES, THINGS, Result, Thing
from onespace.demo.findings import Finding, findings, geometry
from onespace.plot import Mark, heat_map
from onespace.types import Metric

if TYPE_CHECKING:
    import numpy as np

TITLE = "onespace: texts, pictures and pairs in one space"


def told(result: Result) -> list[Finding]:
    """The findings on this result's numbers."""
    return findings(lambda a, b: result.value("cosine", a, b))


def about_metrics(result: Result) -> str:
    """The sentence on cosine, dot product and Euclidean distance."""
    cosine, dot, euclidean = (lambda a, b, m=m: result.value(m, a, b) for m in METRICS)
    return geometry(cosine, dot, euclidean)


def to_dict(result: Result) -> dict[str, Any]:
    """Everything as plain values for JSON."""
    return {
        "model": result.model.capabilities(),
        "things": [{"id": t.id, "modality": t.modality, "text": t.text, "picture": t.picture} for t in THINGS],
        "groups": [
            {
                "title": group.title,
                "rows": [
                    {"a": a, "b": b} | {m: round(result.value(m, a, b), 6) for m in METRICS} for a, b in group.rows
                ],
            }
            for group in GROUPS
        ],
        "dimensions": len(result.vector(IDS[0])),
        "first_values": {i: [round(float(x), 6) for x in result.vector(i)[:10]] for i in ("pair/logo", "image/logo")},
        "findings": [{"expected": f.expected, "agrees": f.agrees, "words": f.words} for f in told(result)],
        "metrics": about_metrics(result),
        "matrices": {m: [[round(float(x), 6) for x in row] for row in result.matrices[m]] for m in METRICS},
    }


def save(result: Result, folder: str | Path) -> dict[str, Path]:
    """Writes ``heat-map.png``, ``report.html`` and ``numbers.json`` into the folder; returns where they are."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    marks = [Mark(t.id.partition("/")[2], _pixels(t), text=bool(t.text)) for t in THINGS]
    title = f"Cosine similarity, {result.model.spec.name}"
    paths = {
        "heat map": heat_map(result.matrices["cosine"], marks, folder / "heat-map.png", title=title),
        "report": folder / "report.html",
        "numbers": folder / "numbers.json",
    }
    paths["report"].write_text(page(result), encoding="utf-8")
    paths["numbers"].write_text(json.dumps(to_dict(result), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return paths


def _pixels(thing: Thing, side: int = 128) -> np.ndarray | None:
    import numpy as np
    from PIL import Image

    if not thing.picture:
        return None
    with Image.open(PICTURES / thing.picture) as picture:
        return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))


def page(result: Result) -> str:
    """The report as one HTML document: no script, no request, light and dark."""
    spec = result.model.spec
    pictures = dict.fromkeys(t.picture for t in THINGS if t.picture)
    classes = {name: f"p{i}" for i, name in enumerate(pictures)}
    images = "".join(f".{classes[name]}{{background-image:url({_data_uri(name)})}}" for name in pictures)
    verdicts = "".join(_finding(f) for f in told(result))
    groups = "".join(_group(result, title=g.title, rows=g.rows, classes=classes) for g in GROUPS)
    matrices = "".join(_details(result, metric=m, classes=classes) for m in METRICS)
    values = "".join(_values(result, i) for i in ("pair/logo", "image/logo"))
    size = len(result.vector(IDS[0]))
    facts = (
        f"{spec.name} · {size} dimensions · up to {spec.max_tokens} tokens · licence {spec.licence} · {spec.languages}"
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title><style>{STYLE}{images}</style>
<main>
<header><h1>Texts, pictures and pairs <em>in one space</em></h1>
<p class="facts">{escape(facts)}</p></header>
<section><h2>What was compared</h2><div class="things">{"".join(_card(t, classes) for t in THINGS)}</div></section>
<section><h2>What the numbers show</h2><ol class="findings">{verdicts}</ol>
<p>{escape(about_metrics(result))}</p></section>
<section><h2>The comparisons</h2><div class="groups">{groups}</div></section>
<section><h2>Each with each</h2>{matrices}</section>
<section class="values"><h2>What a vector looks like</h2><p>{size} dimensions; the first ten:</p>{values}</section>
<footer>Every sentence above is computed from the numbers. Made by <code>onespace demo</code>.</footer>
</main></html>
"""


def _data_uri(name: str, side: int = 160) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(PICTURES / name) as picture:
        small = picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    small.quantize(96).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _icon(thing: Thing, classes: dict[str, str]) -> str:
    """A thumbnail: the picture, a sheet of paper for a text, or both."""
    picture = f'<i class="pic {classes[thing.picture]}"></i>' if thing.picture else ""
    sheet = f'<i class="sheet{" corner" if picture else ""}">T</i>' if thing.text else ""
    return f'<span class="icon" title="{escape(thing.id)}">{picture}{sheet}</span>'


def _card(thing: Thing, classes: dict[str, str]) -> str:
    text = f"<q>{escape(thing.text)}</q>" if thing.text else ""
    return f"<figure>{_icon(thing, classes)}<figcaption><b>{thing.id}</b>{text}</figcaption></figure>"


def _finding(finding: Finding) -> str:
    kind, mark = ("yes", "as expected") if finding.agrees else ("no", "not here")
    return f'<li class="{kind}"><b>{escape(finding.expected)}</b> <mark>{mark}</mark><br>{escape(finding.words)}</li>'


def _group(result: Result, *, title: str, rows: tuple[tuple[str, str], ...], classes: dict[str, str]) -> str:
    by_id = {t.id: t for t in THINGS}
    body = "".join(
        f"<tr><td>{_icon(by_id[a], classes)}{a}</td><td>{_icon(by_id[b], classes)}{b}</td>"
        + "".join(f"<td>{result.value(m, a, b):.4f}</td>" for m in METRICS)
        + "</tr>"
        for a, b in rows
    )
    head = "".join(f"<th>{m}</th>" for m in METRICS)
    letter, _, rest = title.partition("  ")
    return f"<h3><span>{letter}</span>{escape(rest)}</h3><table><tr><th></th><th></th>{head}</tr>{body}</table>"


def _details(result: Result, *, metric: Metric, classes: dict[str, str]) -> str:
    table = _matrix(result.matrices[metric], classes, far=metric == "euclidean")
    return f"<details{' open' if metric == 'cosine' else ''}><summary>{metric}</summary>{table}</details>"


def _values(result: Result, thing: str) -> str:
    return f"<p><code>{thing}</code> {', '.join(f'{x:+.4f}' for x in result.vector(thing)[:10])}, …</p>"


def _matrix(matrix: np.ndarray, classes: dict[str, str], *, far: bool) -> str:
    """A table whose cells are tinted by nearness; with `far`, small numbers are near."""
    low, high = float(matrix.min()), float(matrix.max())
    span = (high - low) or 1.0
    head = "".join(f"<th>{_icon(t, classes)}</th>" for t in THINGS)
    body = ""
    for thing, row in zip(THINGS, matrix, strict=True):
        cells = ""
        for value in row:
            near = (high - value) / span if far else (value - low) / span
            cells += f'<td class="{"hot" if near > 0.55 else ""}" style="--n:{100 * near:.0f}%">{value:.2f}</td>'
        body += f'<tr><th class="row"><code>{thing.id}</code>{_icon(thing, classes)}</th>{cells}</tr>'
    return f'<div class="scroll"><table class="matrix"><tr><th></th>{head}</tr>{body}</table></div>'


STYLE = """
:root{color-scheme:light dark;--bg:#f7f8fa;--card:#fff;--ink:#17212b;--soft:#5d6b79;--line:#dfe4ea;--accent:#1f6fd6;
--yes:#11795a;--no:#b3541e}
@media(prefers-color-scheme:dark){:root{--bg:#0e141b;--card:#161f29;--ink:#e6ecf2;--soft:#93a1af;--line:#2a3642;
--accent:#5aa5ff;--yes:#4fcf9f;--no:#f0a070}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,"Segoe UI","PingFang SC",
"Noto Sans CJK SC","Microsoft YaHei",sans-serif}
main{max-width:1180px;margin:auto;padding:48px 24px}
h1{font-size:40px;line-height:1.1;margin:0 0 8px;letter-spacing:-.02em}h1 em{font-style:normal;color:var(--accent)}
h2{font-size:22px;margin:0 0 16px}h3{font-size:16px;margin:26px 0 8px}
h3 span{display:inline-block;width:24px;height:24px;border-radius:50%;background:var(--accent);color:#fff;
text-align:center;line-height:24px;font-size:13px;margin-right:8px}
.facts,footer,figcaption q,.values{color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:24px;margin:24px 0}
.things{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:12px}
figure{margin:0;display:flex;gap:12px;align-items:center}figcaption b{display:block;font-size:14px}
figcaption q{font-size:13px}
.icon{position:relative;display:inline-block;width:30px;height:30px;vertical-align:middle;flex:none;margin-right:8px}
figure .icon{width:64px;height:64px}
.pic,.sheet{position:absolute;inset:0;border-radius:6px;border:1px solid var(--line);background:center/cover}
.sheet{background:#fffdf5;color:#17212b;font:600 13px/28px Georgia,serif;text-align:center;font-style:normal}
figure .sheet{font-size:26px;line-height:62px}
.sheet.corner{inset:auto -3px -3px auto;width:15px;height:15px;font-size:9px;line-height:13px;border-radius:4px}
figure .sheet.corner{width:26px;height:26px;font-size:15px;line-height:24px}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
td,th{padding:5px 14px 5px 0;text-align:left;font-weight:400}
th{color:var(--soft);font-size:12px}.groups td:nth-child(n+3),.groups th:nth-child(n+3){text-align:right}
.groups td{border-top:1px solid var(--line)}.groups table{width:100%}
.groups td:nth-child(-n+2){width:32%}
.findings{padding-left:22px;margin:0}.findings li{margin:0 0 12px}
mark{background:none;font-size:12px;border:1px solid;border-radius:99px;padding:1px 9px;margin-left:4px}
.yes mark{color:var(--yes)}.no mark{color:var(--no)}
summary{cursor:pointer;font-weight:600;margin:10px 0}.scroll{overflow-x:auto}
.matrix td{padding:0;min-width:44px;height:34px;text-align:center;font-size:12px;border:1px solid var(--card);
background:color-mix(in oklab,var(--accent) var(--n),transparent)}
.matrix .hot{color:#fff}.matrix th{padding:2px;text-align:center}.matrix th .icon{margin:0}
.matrix .row{text-align:right;white-space:nowrap;padding-right:8px}.matrix .row .icon{margin-left:8px}
code{font:13px ui-monospace,Menlo,Consolas,monospace}.values p{overflow-wrap:anywhere}
"""
