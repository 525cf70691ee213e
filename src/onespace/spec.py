"""What a model is, as frozen data: the sizes of its towers, how pixels are prepared, and what each head may claim.

A spec is read from and written to ``onespace.json`` beside the weights. Unknown keys are errors.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from onespace.errors import ModelError
from onespace.types import HEADS, MODALITIES, Fit, Head, Level, Modality

PositionRule = Literal["absolute", "pad-aware"]


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """A text tower. ``position_rule="pad-aware"`` is XLM-R's rule: the first token stands at ``pad + 1``.

    ``tower="clip"`` is causal and read at the first ``eot`` id (-1: at the highest id, OpenAI's rule);
    ``tower="siglip"`` is padded to ``max_positions`` and read at the last position.
    """

    vocab: int
    width: int
    layers: int
    heads: int
    hidden: int
    max_positions: int
    position_rule: PositionRule = "absolute"
    token_types: int = 1
    pad: int = 0
    eps: float = 1e-12
    activation: Literal["gelu", "quick_gelu", "gelu_tanh"] = "gelu"
    tower: Literal["bert", "clip", "siglip"] = "bert"
    eot: int = -1


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """An image tower that turns a square picture into patch tokens."""

    tower: Literal["vit", "eva02", "clip", "siglip"]
    size: int
    patch: int
    width: int
    layers: int
    heads: int
    hidden: int
    eps: float = 1e-6
    stem: Literal["patch", "conv"] = "patch"
    activation: Literal["gelu", "quick_gelu", "gelu_tanh"] = "gelu"
    rotary: Literal["float32", "float16", "bfloat16"] = "float32"
    """The type to which EVA02's rotary tables were rounded, by a file that stores them so."""

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.size // self.patch

    @property
    def tokens(self) -> int:
        """P, the number of patches."""
        return self.grid**2


@dataclass(frozen=True, kw_only=True)
class PixelSpec:
    """How a picture becomes a (3, S, S) float32 tensor.

    ``order="resize-first"`` resizes and crops in the picture's own mode and converts to RGB afterwards, as the
    Visualized-BGE reference does; ``"rgb-first"`` converts before anything else. ``alpha="white"`` lays transparent
    pictures over white, ``"drop"`` ignores the alpha channel. ``exif`` turns the picture upright.
    """

    size: int
    fit: Fit = "pad"
    resample: Literal["bicubic", "bilinear", "lanczos"] = "bicubic"
    order: Literal["rgb-first", "resize-first"] = "rgb-first"
    alpha: Literal["white", "drop"] = "white"
    exif: bool = True
    centre: Literal["round", "floor"] = "round"
    """Where an odd border is halved by ``fit="crop"``: as torchvision does, or as transformers does."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    fill: tuple[int, int, int] = (255, 255, 255)
    """Colour of the border that ``fit="pad"`` adds."""
    margin: float = 0.0
    """Share of the square that ``fit="pad"`` leaves free on every side, from 0 to less than 0.5.

    With a margin, all that is free takes the colour of the picture's border, where most of that is of one colour;
    around a transparent picture that was laid over white it is white."""

    def __post_init__(self) -> None:
        if not (isinstance(self.margin, (int, float)) and 0 <= self.margin < 0.5):
            raise ModelError(f"pixels.margin is {self.margin!r}. It must be a number from 0 to less than 0.5.")


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """Sizes and rules of the three heads; ``None`` or 0 where a head is missing.

    ``sparse="tokens"`` weighs the text's own tokens (BGE-M3); ``"tokens+terms"`` also lets image patches name
    vocabulary terms. ``sparse_skip`` are token ids that never get a weight.
    """

    dense: int
    pooling: Literal["cls", "mean", "last"] = "cls"
    sparse: Literal["none", "tokens", "tokens+terms"] = "none"
    sparse_skip: tuple[int, ...] = ()
    multi: int = 0
    unit: bool = True
    """Whether a fused model scales its dense and multi rows to length 1; cosine and MaxSim expect it."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One model, whole. ``levels`` says, per modality and head, whether that output was trained or grafted."""

    name: str
    family: str
    text: TextSpec | None
    image: ImageSpec | None
    pixels: PixelSpec | None
    heads: HeadSpec
    max_tokens: int
    """Longest text alone, special tokens included."""
    fused: bool = True
    """Pictures join the text's sequence (`onespace.model`); False: the two towers never meet (`onespace.dual`)."""
    languages: str = "unknown"
    licence: str = "unknown"
    trained: tuple[str, ...] = ()
    """Entries such as ``"text/dense"`` that training has shaped."""
    grafted: tuple[str, ...] = ()
    """Entries that run, but that no training has shaped."""
    truncatable: tuple[int, ...] = ()
    """Widths to which the dense vector may be cut, when it was trained for that."""
    query_prefix: str = ""
    document_prefix: str = ""
    notes: str = ""

    def level(self, modality: Modality, head: Head) -> Level:
        """``trained``, ``grafted`` or ``unsupported``."""
        entry = f"{modality}/{head}"
        return "trained" if entry in self.trained else "grafted" if entry in self.grafted else "unsupported"

    @property
    def head_names(self) -> tuple[Head, ...]:
        """The heads that exist for at least one modality, in canonical order."""
        return tuple(h for h in HEADS if any(self.level(m, h) != "unsupported" for m in MODALITIES))

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The kinds of item that the model takes."""
        return tuple(m for m in MODALITIES if any(self.level(m, h) != "unsupported" for h in HEADS))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values; the inverse of `from_dict`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Spec:
        """Reads a spec. Raises `ModelError` for an unknown or missing key, naming it."""
        values = dict(values)
        for key, kind in (("text", TextSpec), ("image", ImageSpec), ("pixels", PixelSpec), ("heads", HeadSpec)):
            if isinstance(values.get(key), dict):
                values[key] = _build(kind, values[key], where=key)
        return _build(cls, values, where="spec")


_T = TypeVar("_T")


def _build(kind: type[_T], values: dict[str, Any], *, where: str) -> _T:
    fields = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - fields)
    if unknown:
        raise ModelError(f"{where}: unknown key {', '.join(unknown)}. Known keys: {', '.join(sorted(fields))}.")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ModelError(f"{where}: {error}. Known keys: {', '.join(sorted(fields))}.") from error
