"""Turns clean drawings into what users have: other grounds, sizes, angles, colours, neighbours, words.

Pillow does it picture by picture in 8 bits, which is several times faster on one core than float tensors.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


def ground(size: int, rng: np.random.Generator) -> tuple[Image.Image, bool]:
    """A background, a third of the time white, else of one colour or a gradient; and whether it is dark."""
    kind = rng.random()
    if kind < 0.35:
        return Image.new("RGB", (size, size), "white"), False
    base = rng.uniform(0, 0.35, 3) if rng.random() < 0.5 else rng.uniform(0.3, 1, 3)
    picture = Image.new("RGB", (size, size), _colour(base))
    if kind > 0.7:
        other = np.clip(base + rng.normal(0, 0.25, 3), 0, 1)
        ramp = _ramp(size) if rng.random() < 0.5 else _ramp(size).transpose(Image.Transpose.ROTATE_90)
        picture.paste(_colour(other), mask=ramp)
        base = (base + other) / 2
    return picture, bool(base.mean() < 0.45)


def lay(
    picture: Image.Image, drawing: np.ndarray, mono: bool, dark: bool, rng: np.random.Generator,
    *, scale: tuple[float, float], shift: np.ndarray,
) -> None:  # fmt: skip
    """Lays an RGBA drawing on a picture in place, scaled and turned at random about ``shift`` (2,) in -1..1."""
    size = picture.width
    layer = Image.fromarray(drawing)
    zoom = float(np.exp(rng.uniform(*np.log(scale))))
    angle = rng.normal(0, 0.2) if rng.random() < 0.5 else rng.normal(0, 0.03)
    stretch = float(np.exp(rng.normal(0, 0.08)))
    mirror = -1 if rng.random() < 0.15 else 1
    centre = np.clip(shift + rng.uniform(-1, 1, 2) * max(0.0, 1 - zoom), -0.9, 0.9)
    inner = 1.0
    if zoom < 0.6:
        layer, inner = layer.reduce(2), 0.5
    c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
    turn = np.array([[c * mirror, s * mirror], [-s * stretch, c * stretch]])
    half = size / 2
    target = half + centre * half
    offset = half - turn @ target
    matrix = np.concatenate([turn, offset[:, None]], 1) * inner
    layer = layer.transform((size, size), Image.Transform.AFFINE, matrix.ravel().tolist(), Image.Resampling.BILINEAR)
    alpha = layer.getchannel("A")
    if mono:
        level = rng.uniform(0.65, 1) if dark else rng.uniform(0, 0.35)
        picture.paste(_colour(np.clip(level + rng.normal(0, 0.18, 3), 0, 1)), mask=alpha)
    else:
        picture.paste(_tinted(layer, rng), mask=alpha)


def _tinted(layer: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The colours as they are, or a little off, or none: every hand has its own paints."""
    kind = rng.random()
    if kind < 0.06:
        return layer.convert("L").convert("RGB")
    if kind < 0.5:
        return layer.convert("RGB")
    mix = np.eye(3) + rng.normal(0, 0.06, (3, 3))
    shift = rng.normal(0, 12, (3, 1))
    return layer.convert("RGB").convert("RGB", np.concatenate([mix, shift], 1).ravel().tolist())


def write_word(picture: Image.Image, word: str, dark: bool, rng: np.random.Generator) -> None:
    """Writes a short word near the top or the bottom of a picture, in place."""
    size = picture.width
    y = int((rng.uniform(0, 0.15) if rng.random() < 0.5 else rng.uniform(0.7, 0.85)) * size)
    ink = _colour(rng.uniform(0.6, 1, 3) if dark else rng.uniform(0, 0.4, 3))
    font = _font(int(rng.integers(12, 24)), bool(rng.random() < 0.5))
    ImageDraw.Draw(picture).text((int(rng.uniform(0, 0.3) * size), y), word[:14], fill=ink, font=font)


def soften(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture scaled down and up again."""
    size = picture.width
    small = int(size * rng.uniform(0.35, 0.8))
    return picture.resize((small, small), Image.Resampling.BOX).resize((size, size), Image.Resampling.BILINEAR)


def to_tensor(pictures: list[Image.Image], rng: np.random.Generator | None = None) -> Tensor:
    """RGB pictures to normalised (N, 3, S, S) channels-last, some with a change of tone where ``rng`` is given."""
    x = torch.from_numpy(np.stack([np.asarray(p) for p in pictures]))  # (N, S, S, 3) uint8
    gain, bias = 1 / (255 * STD), -MEAN / STD
    if rng is None:
        return (x * gain + bias).permute(0, 3, 1, 2)
    change = rng.normal(0, 0.15, (len(x), 1, 1, 3)) * (rng.random((len(x), 1, 1, 1)) < 0.4)
    tone = torch.from_numpy(np.exp(change)).float()
    return torch.addcmul(bias, x.float(), gain * tone).permute(0, 3, 1, 2)


def _colour(values: np.ndarray) -> tuple[int, int, int]:
    r, g, b = (round(255 * float(v)) for v in values)
    return r, g, b


@cache
def _ramp(size: int) -> Image.Image:
    return Image.linear_gradient("L").resize((size, size))


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    from matplotlib import font_manager

    weight = "bold" if bold else "normal"
    return ImageFont.truetype(
        font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight)), size
    )
