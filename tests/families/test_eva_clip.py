"""EVA02-CLIP against what EVA-CLIP's own code gave for the weights in tests/golden/eva-clip-tiny."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import onespace
from onespace.engines import Batch
from onespace.errors import CheckpointError, ModelError
from onespace.families import eva_clip
from onespace.families.tiny_dual import byte_tokenizer

GOLDEN = Path(__file__).parent.parent / "golden" / "eva-clip-tiny"
WEIGHTS = GOLDEN / "EVA02_CLIP_tiny.pt"


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    byte_tokenizer().save(tmp_path)
    return tmp_path


@pytest.fixture
def expected() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "expected.npz") as file:
        return dict(file)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_pictures_equal_the_reference(vocabulary: Path, expected: dict[str, np.ndarray]) -> None:
    encoder = onespace.load(vocabulary, weights=WEIGHTS)
    found = encoder.engine.run(Batch(None, None, expected["pixels"][:, None]), ["dense"])["dense"]
    np.testing.assert_allclose(found, unit(expected["image"]), atol=2e-5)


def test_texts_equal_the_reference(vocabulary: Path, expected: dict[str, np.ndarray]) -> None:
    encoder = onespace.load(vocabulary, weights=WEIGHTS)
    ids = expected["ids"]  # padded with 0 to 77
    mask = np.arange(ids.shape[1]) <= ids.argmax(1)[:, None]
    found = encoder.engine.run(Batch(ids, mask), ["dense"])["dense"]
    np.testing.assert_allclose(found, unit(expected["text"]), atol=2e-5)
    short = encoder.engine.run(Batch(ids[:1, :2], mask[:1, :2]), ["dense"])["dense"]
    np.testing.assert_allclose(short, unit(expected["text"][:1]), atol=2e-5)


def test_sizes_are_read_from_the_shapes(vocabulary: Path) -> None:
    spec = onespace.load(vocabulary, weights=WEIGHTS).spec
    assert (spec.image.size, spec.image.patch, spec.image.heads, spec.heads.dense) == (24, 8, 2, 24)
    assert (spec.text.heads, spec.max_tokens, spec.modalities) == (1, 77, ("text", "image"))


def test_an_eva_of_another_kind_is_refused(vocabulary: Path) -> None:
    tensors = {"visual.cls_token": torch.zeros(1, 1, 8), "visual.pos_embed": torch.zeros(1, 5, 8)}
    torch.save(tensors, vocabulary / "EVA01.pt")
    with pytest.raises(ModelError, match="EVA01"):
        onespace.load(vocabulary)


def test_every_key_counts(vocabulary: Path) -> None:
    tensors = torch.load(WEIGHTS, weights_only=True)
    del tensors["visual.norm.weight"]
    torch.save(tensors, vocabulary / "cut.pt")
    with pytest.raises(CheckpointError, match=r"missing: image\.norm\.weight"):
        onespace.load(vocabulary)


def test_tiny_encodes() -> None:
    assert eva_clip.tiny().encode(["a whale"]).dense.shape == (1, 32)
