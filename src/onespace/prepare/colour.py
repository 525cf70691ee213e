"""Pictures of any mode as RGB with 8 bits a channel, without saturation, and saying what was decided."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image as PILImage

from onespace.errors import ImageError

Alpha = Literal["white", "drop"]
OVER_WHITE = "alpha over white"
"""The note on a transparent picture that was laid over white."""


def to_rgb(picture: PILImage.Image, *, alpha: Alpha, where: str) -> tuple[PILImage.Image, tuple[str, ...]]:
    """RGB, with deep greys scaled to 8 bits and transparency laid over white or ignored; and notes on both.

    Raises:
        ImageError: when the mode can't be shown as RGB.
    """
    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture, ()
    if picture.mode[0] in "IF":  # I, I;16, I;16B, F
        grey, note = _eight_bits(np.asarray(picture), picture, where=where)
        return PILImage.fromarray(grey).convert("RGB"), (note,)
    if not picture.has_transparency_data:
        return _convert(picture, "RGB", where=where), ()
    if picture.mode == "La":
        picture = picture.convert("LA")
    layered = picture if picture.mode == "RGBA" else _convert(picture, "RGBA", where=where)
    opacity = layered.getchannel("A")
    if opacity.getextrema()[0] == 255:
        return layered.convert("RGB"), ()
    if alpha == "drop":
        return layered.convert("RGB"), ("transparency ignored",)
    white = PILImage.new("RGB", layered.size, (255, 255, 255))
    white.paste(layered, mask=opacity)
    return white, (OVER_WHITE,)


def plain_rgb(picture: PILImage.Image, *, where: str) -> PILImage.Image:
    """Pillow's own ``convert("RGB")`` and nothing else: no scaling, transparency ignored."""
    if picture.mode == "RGB":
        return picture
    if "transparency" in picture.info:  # changes no pixel of the result, but Pillow would warn about it
        picture = picture.copy()
        del picture.info["transparency"]
    return _convert(picture, "RGB", where=where)


def _convert(picture: PILImage.Image, mode: str, *, where: str) -> PILImage.Image:
    try:
        return picture.convert(mode)
    except (ValueError, OSError) as error:
        raise ImageError(
            f"{where} has the colour mode {picture.mode}, which can't be shown as {mode} ({error}). Save it as RGB."
        ) from error


def _eight_bits(values: np.ndarray, picture: PILImage.Image, *, where: str) -> tuple[np.ndarray, str]:
    """Grey values of more than 8 bits as uint8, and a note on the scale: the type's own range where it is known."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError(f"{where} holds values that aren't numbers (NaN or infinite). Replace them.")
    sixteen = picture.mode.startswith("I;16") or (picture.format == "PNG" and picture.mode == "I")
    if sixteen or (picture.mode == "I" and low >= 0 and 255 < high <= 65535):
        low, high, note = 0.0, 65535.0, "16 bits scaled to 8"
    elif picture.mode == "F" and low >= 0 and high <= 1:
        low, high, note = 0.0, 1.0, "values from 0 to 1 scaled to 8 bits"
    elif low >= 0 and high <= 255:
        low, high, note = 0.0, 255.0, "values from 0 to 255 taken as 8 bits"
    else:
        note = f"values from {low:g} to {high:g} stretched to 8 bits"
    precise = values.astype("float32" if low == 0 else "float64")
    scaled = (precise - low) * (255.0 / ((high - low) or 1.0))
    return np.rint(scaled).astype(np.uint8), note
