"""The dual model itself, on the families' tiny encoders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import onespace
from onespace.dual import DualModel
from onespace.errors import KindError, ModelError
from onespace.families import chinese_clip, clip, eva_clip, mini, siglip

FAMILIES = (clip, chinese_clip, siglip, eva_clip)
PICTURE = np.arange(24 * 24 * 3, dtype=np.uint8).reshape(24, 24, 3)
ITEMS = ["a whale", PICTURE, "", "x" * 30, PICTURE[::-1].copy()]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_equals_one_by_one(family) -> None:
    encoder = family.tiny()
    together = encoder.encode(ITEMS).dense
    alone = np.concatenate([encoder.encode([item]).dense for item in ITEMS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert len(np.unique(together.round(3), axis=0)) == len(ITEMS)


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_and_loaded_it_is_the_same(family, tmp_path: Path) -> None:
    encoder = family.tiny()
    again = onespace.load(mini.save(encoder, tmp_path))
    assert again.spec == encoder.spec
    np.testing.assert_array_equal(again.encode(ITEMS).dense, encoder.encode(ITEMS).dense)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_stays_close(family, tmp_path: Path) -> None:
    encoder = family.tiny()
    half = onespace.load(mini.save(encoder, tmp_path), dtype="bfloat16")
    assert (half.encode(ITEMS).dense * encoder.encode(ITEMS).dense).sum(1).min() > 0.98


def test_several_pictures_of_one_text_count_as_their_mean() -> None:
    encoder = clip.tiny()
    one, other = PICTURE, PICTURE[::-1].copy()
    module, pixels = encoder.engine.module, torch.randn(1, 2, 3, 24, 24)
    with torch.no_grad():
        parts = [module.image_vectors(pixels[:, k : k + 1]) for k in range(2)]
        torch.testing.assert_close(module.image_vectors(pixels), (parts[0] + parts[1]) / 2)
    pair, twice, both = encoder.encode(
        [onespace.Pair("a", one), onespace.Pair("a", [one, one]), onespace.Pair("a", [one, other])]
    ).dense
    np.testing.assert_allclose(pair, twice, atol=1e-6)
    assert abs(pair - both).max() > 1e-3


def test_only_dense_is_there() -> None:
    module = clip.tiny().engine.module
    assert module(None, None, torch.zeros(1, 1, 3, 24, 24), heads=("sparse",)) == {}


@pytest.mark.parametrize("family", [chinese_clip, siglip, eva_clip])
def test_pairs_are_refused(family) -> None:
    with pytest.raises(KindError, match="pair"):
        family.tiny().encode([onespace.Pair("a", PICTURE)])


def test_one_tower_is_not_enough() -> None:
    with pytest.raises(ModelError, match="two towers"):
        DualModel(replace(clip.tiny().spec, text=None))


def test_a_tower_without_one_vector_is_refused() -> None:
    spec = clip.tiny().spec
    with pytest.raises(ModelError, match="'vit' gives no single vector"):
        DualModel(replace(spec, image=replace(spec.image, tower="vit")))
