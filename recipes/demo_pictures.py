"""Draws the pictures of `onespace demo`: two whale logos, a Chinese dragon, a realistic whale, a bicycle.

    python -m recipes.demo_pictures [FOLDER]

Each drawing is our own, written here as SVG, and rendered with resvg. The model never saw any of them.
"""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path

import resvg_py
from PIL import Image

FOLDER = Path(__file__).parents[1] / "src" / "onespace" / "assets" / "demo"
SIDE = 512

LOGO = """
<rect width="512" height="512" fill="#ffffff"/>
<g fill="none" stroke="#5cc3f0" stroke-width="17" stroke-linecap="round">
  <path d="M196 158 C196 112 176 88 136 88 C118 88 108 98 106 112"/>
  <path d="M196 158 C196 112 216 88 256 88 C274 88 284 98 286 112"/>
</g>
<path id="body" fill="#1f6fd6" d="M40 322 C40 226 126 184 212 190 C304 196 336 264 378 260 C402 257 408 232 404 206
  C372 202 346 178 342 138 C374 136 402 150 418 176 C430 148 456 130 490 128 C492 172 470 200 440 206
  C452 316 396 428 228 428 C112 428 40 396 40 322 Z"/>
<path fill="#cfeafb" d="M41 336 C92 352 150 350 204 340 C262 329 330 338 396 344 C362 398 306 428 228 428
  C116 428 46 398 41 336 Z"/>
<g fill="none" stroke="#8fcbee" stroke-width="7" stroke-linecap="round">
  <path d="M92 372 C140 384 190 380 232 370"/><path d="M128 400 C170 408 214 402 252 390"/>
</g>
<path fill="#1557ad" d="M206 338 C214 380 246 404 290 402 C292 366 268 338 232 328 Z"/>
<circle cx="116" cy="298" r="17" fill="#0d2547"/><circle cx="122" cy="292" r="6" fill="#ffffff"/>
"""

LOGO_WITH_WORD = """
<defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1">
  <stop offset="0" stop-color="#7df0ff"/><stop offset="1" stop-color="#2f8cff"/></linearGradient></defs>
<rect width="512" height="512" fill="#0b1736"/>
<g transform="translate(532 -24) scale(-1 1)">
  <path fill="url(#g)" d="M70 262 C70 190 136 152 214 152 C300 152 330 222 378 218 C400 216 406 194 402 170
    C372 166 350 146 346 110 C376 110 400 122 414 146 C426 122 448 108 480 106 C482 144 462 168 434 174
    C446 276 384 366 236 366 C128 366 70 330 70 262 Z"/>
  <g fill="none" stroke="#0b1736" stroke-width="9" stroke-linecap="round">
    <path d="M74 284 C130 306 196 300 246 288"/>
    <path d="M104 322 C152 334 204 330 250 318"/>
    <path d="M150 350 C186 354 222 350 256 342"/>
  </g>
  <circle cx="142" cy="244" r="13" fill="#0b1736"/>
  <g fill="#7df0ff"><circle cx="196" cy="112" r="11"/><circle cx="170" cy="82" r="8"/>
    <circle cx="226" cy="80" r="8"/></g>
</g>
<text x="256" y="446" text-anchor="middle" font-family="Liberation Sans" font-weight="700" font-size="74"
  letter-spacing="1" fill="#ffffff">bluewhale</text>
"""

WHALE = """
<defs>
  <linearGradient id="sea" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#bfeaf2"/>
    <stop offset="0.22" stop-color="#5fb8d4"/><stop offset="0.6" stop-color="#1d6f9f"/>
    <stop offset="1" stop-color="#0a2f58"/></linearGradient>
  <linearGradient id="back" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#86a3b8"/>
    <stop offset="0.45" stop-color="#4b6a85"/><stop offset="1" stop-color="#24415e"/></linearGradient>
  <linearGradient id="belly" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#7f9cb1"/>
    <stop offset="1" stop-color="#c9d8df"/></linearGradient>
  <linearGradient id="ray" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#ffffff" stop-opacity="0.45"/>
    <stop offset="1" stop-color="#ffffff" stop-opacity="0"/></linearGradient>
  <clipPath id="cut"><path d="{body}"/></clipPath>
</defs>
<rect width="512" height="512" fill="url(#sea)"/>
<g fill="url(#ray)"><path d="M70 0 L124 0 L60 420 L-40 420 Z"/><path d="M210 0 L246 0 L250 380 L168 380 Z"/>
  <path d="M340 0 L410 0 L520 430 L396 430 Z"/></g>
<path fill="#35556f" d="M398 230 C412 200 440 172 494 158 C494 184 478 212 450 230 C476 230 498 246 506 276
  C466 276 424 262 398 244 Z"/>
<path d="{body}" fill="url(#back)"/>
<g clip-path="url(#cut)">
  <path fill="url(#belly)" d="M14 272 C70 284 130 288 178 286 C236 284 300 276 356 262 C300 330 190 372 100 356
    C46 346 14 312 14 272 Z"/>
  <g fill="none" stroke="#5f7e96" stroke-width="3.4" stroke-linecap="round">
    <path d="M26 296 C80 306 140 308 204 302"/><path d="M34 308 C88 319 146 320 214 311"/>
    <path d="M46 320 C96 331 150 331 214 321"/><path d="M62 331 C106 341 154 341 208 331"/>
    <path d="M82 342 C118 349 152 349 192 342"/></g>
  <g fill="#b9cdd8" opacity="0.45"><circle cx="210" cy="222" r="4"/><circle cx="238" cy="238" r="5"/>
    <circle cx="262" cy="216" r="3.4"/><circle cx="286" cy="240" r="4.4"/><circle cx="312" cy="226" r="3.4"/>
    <circle cx="334" cy="242" r="3.6"/><circle cx="190" cy="246" r="3.6"/><circle cx="164" cy="226" r="3"/>
    <circle cx="360" cy="232" r="2.6"/><circle cx="254" cy="258" r="3"/><circle cx="300" cy="258" r="2.6"/></g>
  <path d="M18 262 C64 240 130 204 214 200 C290 198 350 220 400 228" fill="none" stroke="#b6cfdd"
    stroke-width="5" opacity="0.6"/>
</g>
<path fill="#3b5b77" d="M322 208 C334 192 346 186 358 186 C354 198 356 208 362 216 Z"/>
<path d="M14 272 C66 270 110 268 142 276" fill="none" stroke="#1d364f" stroke-width="4.5" stroke-linecap="round"/>
<circle cx="146" cy="262" r="6.5" fill="#10202f"/><circle cx="148" cy="260" r="2" fill="#dfeaf0"/>
<path fill="#2f4f6b" stroke="#24415e" stroke-width="2" d="M186 292 C196 340 226 386 276 408
  C280 376 262 326 232 290 C218 282 196 282 186 292 Z"/>
<g fill="#ffffff" opacity="0.6"><circle cx="40" cy="196" r="5"/><circle cx="58" cy="164" r="7"/>
  <circle cx="48" cy="126" r="4"/><circle cx="74" cy="102" r="6"/></g>
""".replace(
    "{body}",
    "M12 272 C18 244 82 196 196 192 C290 190 340 214 402 226 C414 228 424 232 430 236 C420 246 408 250 396 250 "
    "C330 286 300 330 200 352 C90 372 8 326 12 272 Z",
)

BICYCLE = """
<rect width="512" height="512" fill="#fdf6e6"/>
<g fill="none" stroke="#26303a" stroke-width="16"><circle cx="128" cy="336" r="92"/>
  <circle cx="384" cy="336" r="92"/></g>
<g stroke="#9aa5ae" stroke-width="4"><path d="{spokes}"/></g>
<g fill="none" stroke="#e2542f" stroke-width="17" stroke-linecap="round" stroke-linejoin="round">
  <path d="M128 336 L200 196 L334 196 L250 336 Z"/><path d="M250 336 L192 168"/><path d="M384 336 L322 146"/></g>
<g fill="none" stroke="#26303a" stroke-width="17" stroke-linecap="round" stroke-linejoin="round">
  <path d="M322 146 L312 116 L366 112 C386 112 390 134 376 142"/><path d="M158 164 L226 164"/></g>
<circle cx="250" cy="336" r="25" fill="#26303a"/>
<path d="M250 336 L276 382" stroke="#26303a" stroke-width="11"/>
<path d="M260 384 L296 384" stroke="#26303a" stroke-width="12" stroke-linecap="round"/>
""".replace(
    "{spokes}",
    " ".join(
        f"M{x} 336 L{x + 84 * math.cos(a):.1f} {336 + 84 * math.sin(a):.1f}"
        for x in (128, 384)
        for a in (k * math.pi / 6 for k in range(12))
    ),
)


def spine(t: float) -> tuple[float, float]:
    """The dragon's centre line, from the neck (t = 0) to the tip of the tail (t = 1)."""
    points = [
        (300, 150),
        (210, 120),
        (110, 170),
        (150, 265),
        (280, 262),
        (408, 268),
        (432, 366),
        (330, 424),
        (200, 392),
        (96, 400),
        (62, 462),
    ]
    s = min(max(t, 0.0), 0.99999) * (len(points) - 1)
    i, u = int(s), s - int(s)
    p = [points[min(max(k, 0), len(points) - 1)] for k in range(i - 1, i + 3)]  # Catmull-Rom

    def along(axis: int) -> float:
        a, b, c, d = (q[axis] for q in p)
        return 0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3)

    return along(0), along(1)


def frame(t: float) -> tuple[float, float, float, float, float]:
    """Point, unit normal (towards the dragon's back) and half width of the body at t."""
    (x, y), (x0, y0), (x1, y1) = spine(t), spine(t - 0.004), spine(t + 0.004)
    dx, dy = x1 - x0, y1 - y0
    length = math.hypot(dx, dy)
    thick = 33 * (0.72 + 0.28 * math.sin(math.pi * min(1, t * 2))) * (1 - max(0, t - 0.45) / 0.55) ** 0.8 + 2
    return x, y, dy / length, -dx / length, thick


def ribbon(low: float, high: float, *, until: float = 1.0, steps: int = 160) -> str:
    """The closed outline between two offsets (in half widths) from the centre line."""
    edges = []
    for offset, order in ((low, range(steps + 1)), (high, range(steps, -1, -1))):
        for k in order:
            x, y, nx, ny, thick = frame(until * k / steps)
            edges.append(f"{x + nx * thick * offset:.1f} {y + ny * thick * offset:.1f}")
    return "M" + " L".join(edges) + "Z"


def spikes(count: int) -> str:
    """The ridge along the back."""
    out = []
    for k in range(count):
        (x0, y0, nx0, ny0, w0), (x1, y1, nx1, ny1, w1) = frame(k / count), frame((k + 0.95) / count)
        xm, ym, nxm, nym, wm = frame((k + 0.9) / count)
        out.append(
            f"M{x0 + nx0 * w0 * 0.8:.1f} {y0 + ny0 * w0 * 0.8:.1f} L{xm + nxm * (wm * 1.25 + 9):.1f} "
            f"{ym + nym * (wm * 1.25 + 9):.1f} L{x1 + nx1 * w1 * 0.8:.1f} {y1 + ny1 * w1 * 0.8:.1f}Z"
        )
    return " ".join(out)


def scales(count: int) -> str:
    """Small arcs in rows on the flank."""
    out = []
    for k in range(2, count):
        for row, offset in enumerate((-0.1, 0.3, 0.66)):
            x, y, nx, ny, thick = frame((k + 0.5 * (row % 2)) / count)
            r, tx, ty = thick * 0.22, -ny, nx
            cx, cy = x + nx * thick * offset, y + ny * thick * offset
            out.append(
                f"M{cx + nx * r:.1f} {cy + ny * r:.1f} Q{cx + tx * r * 1.6:.1f} {cy + ty * r * 1.6:.1f} "
                f"{cx - nx * r:.1f} {cy - ny * r:.1f}"
            )
    return " ".join(out)


def bands(count: int) -> str:
    """Stripes across the belly."""
    out = []
    for k in range(1, count):
        x, y, nx, ny, thick = frame(k / count)
        out.append(
            f"M{x - nx * thick * 0.42:.1f} {y - ny * thick * 0.42:.1f} L{x - nx * thick:.1f} {y - ny * thick:.1f}"
        )
    return " ".join(out)


def leg(x: float, y: float, turn: float) -> str:
    """A short leg with three claws."""
    return f"""<g transform="translate({x} {y}) rotate({turn})">
  <path fill="#d63a24" stroke="#8c1c13" stroke-width="4"
    d="M-20 -14 C-22 18 -18 36 -8 50 L12 50 C14 34 20 12 20 -14 Z"/>
  <g fill="#ffe9a8" stroke="#8c1c13" stroke-width="3" stroke-linejoin="round"><path d="M-10 46 L-32 68 L-4 62 Z"/>
  <path d="M-6 48 L0 80 L10 50 Z"/><path d="M6 46 L32 64 L14 40 Z"/></g></g>"""


def dragon() -> str:
    """A long body in three bends, a ridge, four-legged, with horns, mane and whiskers."""
    return f"""
<rect width="512" height="512" fill="#fff7e0"/>
<g transform="translate(12 10) scale(0.94)">
<path fill="#f2a21b" stroke="#8c1c13" stroke-width="3" stroke-linejoin="round" d="{spikes(40)}"/>
{leg(168, 284, 28)}{leg(392, 300, -42)}{leg(300, 436, 4)}
<path fill="#d63a24" stroke="#8c1c13" stroke-width="5" stroke-linejoin="round" d="{ribbon(-1, 1)}"/>
<path fill="#ffd772" d="{ribbon(-0.96, -0.42)}"/>
<path fill="none" stroke="#c98a1c" stroke-width="3" d="{bands(64)}"/>
<path fill="none" stroke="#f0845c" stroke-width="3" stroke-linecap="round" d="{scales(46)}"/>
<path fill="#f2a21b" stroke="#8c1c13" stroke-width="3" d="M66 440 C30 450 18 480 30 504 C44 486 52 488 58 500
  C66 482 78 484 92 494 C98 472 90 450 66 440 Z"/>
<g stroke="#8c1c13" stroke-width="4" stroke-linejoin="round">
  <path fill="#f2a21b" d="M318 84 C284 84 256 100 240 128 C262 126 266 132 268 140 C254 150 250 168 254 190
    C268 176 276 176 284 182 C282 200 290 216 304 226 C306 208 314 200 326 200 Z"/>
  <path fill="#ffe9a8" d="M334 92 C314 74 292 56 254 54 C258 44 274 38 292 42 C288 32 292 24 302 20
    C306 42 330 64 358 82 Z"/>
  <path fill="#ffe9a8" d="M362 84 C356 60 362 36 388 20 C388 30 386 36 384 42 C394 38 402 38 408 42
    C394 52 386 66 386 86 Z"/>
  <path fill="#d63a24" d="M304 176 C296 118 330 80 380 84 C402 86 414 100 436 104 C462 108 482 116 486 136
    C488 150 476 156 462 156 C440 156 418 152 400 160 L404 168 L394 164 C388 170 386 176 390 180
    C414 176 442 176 462 184 C464 204 440 216 412 216 C360 216 314 214 304 176 Z"/>
  <path fill="#ffffff" d="M410 157 L416 172 L424 156 Z M440 157 L446 170 L454 157 Z M418 178 L424 166 L432 178 Z"/>
  <path fill="#d63a24" d="M320 132 C310 112 296 106 280 106 C288 122 292 138 308 152 Z"/>
</g>
<path fill="#ffffff" stroke="#8c1c13" stroke-width="4"
  d="M358 118 C372 106 392 108 402 124 C390 134 368 134 358 118 Z"/>
<circle cx="384" cy="121" r="8" fill="#1c1210"/>
<path fill="none" stroke="#f2a21b" stroke-width="9" stroke-linecap="round" d="M350 108 C366 94 390 94 408 108"/>
<circle cx="466" cy="130" r="5" fill="#8c1c13"/>
<g fill="none" stroke="#f2a21b" stroke-width="7" stroke-linecap="round">
  <path d="M478 146 C506 160 488 196 498 222 C502 232 508 234 510 230"/>
  <path d="M448 152 C470 190 432 236 466 262"/>
  <path d="M404 214 C402 232 392 240 380 244"/><path d="M384 212 C380 226 370 232 360 234"/></g>
</g>
"""


def render(body: str) -> Image.Image:
    """The SVG body as a picture of SIDE x SIDE pixels."""
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512" width="{SIDE}" height="{SIDE}">{body}</svg>'
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGB")


def mirrored(body: str) -> str:
    """The drawing looking the other way, so that all whales look to the right."""
    return f'<g transform="translate({SIDE} 0) scale(-1 1)">{body}</g>'


PICTURES = {
    "logo.png": mirrored(LOGO),
    "logo-word.png": LOGO_WITH_WORD,
    "dragon.png": dragon(),
    "whale.png": mirrored(WHALE),
    "bicycle.png": BICYCLE,
}


def main(folder: Path = FOLDER) -> None:
    """Writes every picture as a small PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in PICTURES.items():
        picture = render(body)
        if name != "whale.png":  # the flat drawings need few colours; the sea needs all of them
            picture = picture.quantize(128, dither=Image.Dither.NONE)
        picture.save(folder / name, optimize=True)
        print(f"{(folder / name).stat().st_size / 1e3:6.1f} kB  {folder / name}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
