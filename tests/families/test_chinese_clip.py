"""Chinese-CLIP against transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from dual_oracle import TEXT, TEXTS, VISION, image_features, model, pictures, save, text_features
from transformers import ChineseCLIPConfig, ChineseCLIPModel
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil

import onespace
from onespace.families import chinese_clip, tiny

SQUASH = {"size": {"height": 24, "width": 24}, "do_center_crop": False}


def folder(path: Path) -> tuple[ChineseCLIPModel, Path]:
    text = TEXT | {"vocab_size": tiny.bert_tokenizer().vocab_size, "max_position_embeddings": 40}
    made = model(ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=20), ChineseCLIPModel)
    save(made, path)
    tiny.bert_tokenizer().save(path)
    (path / "preprocessor_config.json").write_text(json.dumps(SQUASH))
    return made, path


def test_equals_transformers(tmp_path: Path) -> None:
    made, path = folder(tmp_path)
    encoder = onespace.load(path)
    assert encoder.spec.level("pair", "dense") == "unsupported"
    want = text_features(made, encoder, TEXTS, length=40)
    np.testing.assert_allclose(encoder.encode(TEXTS).dense, want, atol=2e-5)  # a batch, against one by one
    want = image_features(made, ChineseCLIPImageProcessorPil(**SQUASH), pictures())
    np.testing.assert_allclose(encoder.encode(pictures()).dense, want, atol=2e-5)


def test_an_unused_pooler_is_left_out(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    _, path = folder(tmp_path)
    before = onespace.load(path).encode(TEXTS).dense
    extra = {f"text_model.pooler.dense.{kind}": torch.ones(32) for kind in ("weight", "bias")}
    save_file(load_file(path / "model.safetensors") | extra, path / "model.safetensors")
    np.testing.assert_array_equal(onespace.load(path).encode(TEXTS).dense, before)


def test_tiny_reads_chinese() -> None:
    found = chinese_clip.tiny().encode(["一条龙", "一条虫"]).dense
    assert abs(found[0] - found[1]).max() > 1e-3
