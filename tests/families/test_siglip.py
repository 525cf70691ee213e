"""SigLIP 1 and 2 (fixed resolution) against transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dual_oracle import TEXT, TEXTS, VISION, image_features, model, pictures, save, text_features
from transformers import SiglipConfig, SiglipModel
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import onespace
from onespace.errors import ModelError
from onespace.families import siglip
from onespace.families.siglip import tokenizer
from onespace.families.source import Source
from onespace.prepare.pixels import to_pixels

SIDE = {"size": {"height": 24, "width": 24}}


@pytest.fixture(scope="module")
def oracle() -> SiglipModel:
    return model(SiglipConfig(text_config=TEXT, vision_config=VISION), SiglipModel)


@pytest.fixture
def folder(oracle: SiglipModel, tmp_path: Path) -> Path:
    return save(oracle, tmp_path / "siglip", opened=False)


def change(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_equals_transformers(folder: Path, oracle: SiglipModel) -> None:
    encoder = onespace.load(folder)
    want = text_features(oracle, encoder, TEXTS, length=64, padded=True)
    np.testing.assert_allclose(encoder.encode(TEXTS).dense, want, atol=2e-5)  # a batch, against one by one
    want = image_features(oracle, SiglipImageProcessorPil(**SIDE), pictures())
    np.testing.assert_allclose(encoder.encode(pictures()).dense, want, atol=2e-5)


def test_a_picture_that_patches_do_not_fill(tmp_path: Path) -> None:
    made = model(SiglipConfig(text_config=TEXT, vision_config=VISION | {"image_size": 29}), SiglipModel)
    encoder = onespace.load(save(made, tmp_path, opened=False))
    assert encoder.spec.image.grid == 3
    want = image_features(made, SiglipImageProcessorPil(size={"height": 29, "width": 29}), pictures())
    np.testing.assert_allclose(encoder.encode(pictures()).dense, want, atol=2e-5)


def test_pixels_equal_transformers(folder: Path) -> None:
    spec = onespace.load(folder).spec.pixels
    for picture in pictures():
        want = SiglipImageProcessorPil(**SIDE)(images=[picture], return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(to_pixels(picture, spec)[0], want, atol=2e-6)


def test_naflex_is_refused(folder: Path) -> None:
    change(folder, "config.json", model_type="siglip2")
    with pytest.raises(ModelError, match="NaFlex"):
        onespace.load(folder)


def test_without_a_pooling_head_is_refused(folder: Path) -> None:
    change(folder, "config.json", vision_config={"vision_use_head": False})
    with pytest.raises(ModelError, match="vision_use_head"):
        onespace.load(folder)


def test_spaces_of_two_widths_are_refused(folder: Path) -> None:
    change(folder, "config.json", text_config=TEXT | {"projection_size": 16})
    with pytest.raises(ModelError, match="texts give 16 numbers and pictures 32"):
        onespace.load(folder)


@pytest.mark.parametrize(
    ("kind", "same"), [("SiglipTokenizer", "a whale, its tail"), ("GemmaTokenizer", "a whale"), ("Other", "A Whale")]
)
def test_texts_are_cleaned_as_in_training(kind: str, same: str, folder: Path) -> None:
    change(folder, "tokenizer_config.json", tokenizer_class=kind, eos_token="<end>")
    ids = tokenizer(Source("x", folder)).encode
    messy = {"SiglipTokenizer": "  A Whale!,  its\n'TAIL' ", "GemmaTokenizer": "A Whale", "Other": "A Whale"}[kind]
    clean = {"SiglipTokenizer": "a whale its tail"}.get(kind, same)
    assert ids(messy).ids == ids(clean).ids
    assert (ids("A").ids == ids("a").ids) == (kind != "Other")
    assert (ids("a,").ids == ids("a").ids) == (kind == "SiglipTokenizer")


def test_a_text_is_closed_and_never_opened(folder: Path) -> None:
    from onespace.families.tiny_dual import byte_tokenizer

    byte_tokenizer(opened=True).save(folder)
    change(folder, "tokenizer_config.json", tokenizer_class="GemmaTokenizer", eos_token="<end>")
    found = tokenizer(Source("x", folder)).encode("").ids
    assert found == [258]


def test_a_missing_end_token_is_named(folder: Path) -> None:
    change(folder, "tokenizer_config.json", tokenizer_class="GemmaTokenizer", eos_token="<eos>")
    with pytest.raises(ModelError, match="no eos_token '<eos>'"):
        onespace.load(folder)


def test_padding_counts_but_not_what_the_batch_put_there() -> None:
    encoder = siglip.tiny()
    tower = encoder.engine.module.text
    ids = torch.tensor([[5, 6, 258, 77, 78]])
    seen = torch.tensor([[True, True, True, False, False]])
    with torch.no_grad():
        torch.testing.assert_close(tower(ids, seen), tower(ids[:, :3], seen[:, :3]))
        assert (tower(ids, seen) - tower(ids, torch.ones_like(seen))).abs().max() > 1e-4
