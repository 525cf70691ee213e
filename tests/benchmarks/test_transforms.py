"""The stand-in for torchvision makes the same pixels as ours, and is gone when it isn't needed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image as PILImage

from benchmarks import transforms
from benchmarks.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor, stand_in
from onespace.prepare.pixels import to_pixels
from onespace.spec import PixelSpec


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (33, 100), (20, 20), (16, 16)])
def test_pixels_are_those_of_the_reference(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    picture = PILImage.fromarray(noise)
    spec = PixelSpec(size=16, fit="crop", order="resize-first", alpha="drop", exif=False)
    steps = Compose([Resize(16, InterpolationMode.BICUBIC), CenterCrop(16), ToTensor(), Normalize(spec.mean, spec.std)])
    wanted = to_pixels(picture, spec)
    wanted = wanted[0] if isinstance(wanted, tuple) else wanted
    assert np.allclose(steps(picture).numpy(), wanted, atol=1e-5)


def test_it_is_there_for_a_while_and_refuses_what_it_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "installed", lambda: False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    with stand_in():
        from torchvision.datasets import CIFAR10
        from torchvision.transforms import Resize as theirs
        from torchvision.transforms import functional
    assert theirs is Resize
    assert functional.InterpolationMode is InterpolationMode
    assert "torchvision" not in sys.modules
    with pytest.raises(NotImplementedError, match="no CIFAR10"):
        CIFAR10()


def test_a_real_one_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "installed", lambda: True)
    before = sys.modules.get("torchvision")
    with stand_in():
        assert sys.modules.get("torchvision") is before
