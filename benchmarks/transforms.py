"""A stand-in for torchvision, where it isn't installed: the transforms that the reference applies to a picture.

They are written with Pillow and numpy, to the same pixels up to rounding. Everything else that a library imports from
torchvision is a class that raises when it is used. Only the reference's own timings need it; it is in place while the
reference is imported, and gone afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

Picture = PILImage.Image
MODULES = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.models.feature_extraction",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torchvision.transforms.v2",
    "torchvision.transforms.v2.functional",
    "torchvision.utils",
)


class InterpolationMode(Enum):
    """Names of Pillow's filters."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


class Resize:
    """The shorter side to ``size``, the longer in proportion, rounded down."""

    def __init__(self, size: int, interpolation: InterpolationMode = InterpolationMode.BILINEAR) -> None:
        self.size = size
        self.filter = PILImage.Resampling[interpolation.name]

    def __call__(self, picture: Picture) -> Picture:
        short, long = sorted(picture.size)
        if short == self.size:
            return picture
        other = int(self.size * long / short)
        wide = picture.width > picture.height
        return picture.resize((other, self.size) if wide else (self.size, other), self.filter)


class CenterCrop:
    """The middle square; the picture is no smaller."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, picture: Picture) -> Picture:
        left, top = (round((side - self.size) / 2) for side in picture.size)
        return picture.crop((left, top, left + self.size, top + self.size))


class ToTensor:
    """(H, W, 3) from 0 to 255 -> (3, H, W) from 0 to 1."""

    def __call__(self, picture: Picture) -> Tensor:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)


class Normalize:
    """Less a mean and over a deviation, for each of the three channels."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = (torch.tensor(some).view(3, 1, 1) for some in (mean, std))

    def __call__(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std


class Compose:
    """One after another."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, given: Any) -> Any:
        for transform in self.transforms:
            given = transform(given)
        return given


class RandomResizedCrop:
    """For training; the reference makes one, and never uses it here."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, _: object) -> object:
        raise NotImplementedError("This stand-in for torchvision has no transforms for training.")


HERE = (InterpolationMode, Resize, CenterCrop, ToTensor, Normalize, Compose, RandomResizedCrop)


class _StandIn(ModuleType):
    """A module with the transforms, in which every other name is a class that can't be used."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        for known in HERE:
            setattr(self, known.__name__, known)

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*_: object, **__: object) -> None:
            raise NotImplementedError(f"This stand-in for torchvision has no {name}.")

        made = type(name, (), {"__init__": refuse})
        setattr(self, name, made)
        return made


def installed() -> bool:
    """Whether there is a real torchvision."""
    return find_spec("torchvision") is not None


@contextmanager
def stand_in() -> Iterator[None]:
    """Puts the stand-in where imports find it, unless there is a real one."""
    if installed():
        yield
        return
    made = {name: _StandIn(name) for name in MODULES}
    for name, module in made.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(made[parent], child, module)
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)
