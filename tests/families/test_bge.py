"""Text embedders against transformers and sentence-transformers' layout, on small random weights."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from onespace.errors import CheckpointError, ModelError
from onespace.families import load

transformers = pytest.importorskip("transformers")

GOLDEN = Path(__file__).parents[1] / "golden"
TEXTS = ["A red car parked beside the old harbour wall.", "", "一条龙", "bridge " * 20]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
TOKENIZERS = {
    "bert": GOLDEN / "visualized-base-tiny" / "model" / "bge-base-en-v1.5",
    "xlm-roberta": GOLDEN / "visualized-m3-tiny" / "model" / "bge-m3",
}


def reference(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "bert":
        config = transformers.BertConfig(vocab_size=646, max_position_embeddings=64, **SIZES)
        return transformers.BertModel(config).eval()
    config = transformers.XLMRobertaConfig(
        vocab_size=441, max_position_embeddings=66, type_vocab_size=1, layer_norm_eps=1e-5, **SIZES
    )
    return transformers.XLMRobertaModel(config).eval()


def folder(tmp_path: Path, kind: str, steps: dict[str, Any] | None = None) -> Path:
    """A model folder of transformers, with sentence-transformers' steps where given."""
    path = tmp_path / "model"
    reference(kind).save_pretrained(path)
    for file in TOKENIZERS[kind].iterdir():
        if file.name != "config.json":
            shutil.copy(file, path)
    if steps is not None:
        modules = [{"idx": i, "name": str(i), "path": p, "type": f"st.{t}"} for i, (t, p) in enumerate(steps.items())]
        (path / "modules.json").write_text(json.dumps(modules))
    return path


def pooling(path: Path, **config: Any) -> Path:
    (path / "1_Pooling").mkdir(exist_ok=True)
    (path / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return path


STEPS = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}


def wanted(kind: str, model: Any, mode: str) -> np.ndarray:
    rows = []
    for text in TEXTS:
        ids = torch.tensor([model.tokenizer.encode(text, 64).ids])
        with torch.inference_mode():
            hidden = reference(kind)(ids).last_hidden_state[0]
        rows.append({"cls": hidden[0], "mean": hidden.mean(0), "last": hidden[-1]}[mode])
    return F.normalize(torch.stack(rows), dim=-1).numpy()


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "word_embedding_dimension": 32}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "mean", "embedding_dimension": 32, "include_prompt": True}, "mean"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ],
)
def test_agrees_with_transformers(tmp_path: Path, kind: str, config: dict[str, Any], mode: str) -> None:
    model = load(pooling(folder(tmp_path, kind, STEPS), **config), device="cpu")
    assert model.spec.max_tokens == 64
    np.testing.assert_allclose(model.encode(TEXTS).dense, wanted(kind, model, mode), rtol=0, atol=2e-5)


def test_a_bare_folder_pools_by_cls_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = folder(tmp_path, "bert")
    with caplog.at_level(logging.WARNING, "onespace"):
        model = load(path, device="cpu")
    assert "says how to pool" in caplog.text
    np.testing.assert_allclose(model.encode(TEXTS).dense, wanted("bert", model, "cls"), rtol=0, atol=2e-5)


def test_length_and_prompts_are_read(tmp_path: Path) -> None:
    path = pooling(folder(tmp_path, "bert", STEPS), pooling_mode="mean")
    (path / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    prompts = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": None}
    (path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    model = load(path, device="cpu")
    assert (model.spec.query_prefix, model.spec.document_prefix) == ("query: ", "passage: ")
    assert model.encode("bridge " * 40).receipts[0].tokens_used == 16
    as_query, plain = model.encode("a", role="query"), model.encode("a")
    assert not np.allclose(as_query.dense, plain.dense)


def test_old_files_with_a_prefix_gamma_and_beta(tmp_path: Path) -> None:
    path = pooling(folder(tmp_path, "bert", STEPS), pooling_mode="mean")
    before = load(path, device="cpu").encode(TEXTS).dense
    (path / "model.safetensors").unlink()
    old = {
        f"bert.{k}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
        for k, t in reference("bert").state_dict().items()
    }
    torch.save(old | {"cls.predictions.bias": torch.ones(3)}, path / "pytorch_model.bin")
    np.testing.assert_array_equal(load(path, device="cpu").encode(TEXTS).dense, before)


def test_half_precision_is_asked_for_by_name(tmp_path: Path) -> None:
    path = pooling(folder(tmp_path, "bert", STEPS), pooling_mode="mean")
    exact, half = (load(path, device="cpu", dtype=d).encode(TEXTS).dense for d in (None, "bfloat16"))
    assert half.dtype == np.float32
    assert 0 < np.abs(exact - half).max() < 0.05
    with pytest.raises(ModelError, match="float64"):
        load(path, dtype="float64")


@pytest.mark.parametrize(
    ("steps", "config", "message"),
    [
        (STEPS | {"Dense": "2_Dense"}, {"pooling_mode": "mean"}, "step Dense isn't supported"),
        (STEPS, {"pooling_mode": "max"}, "max"),
        (STEPS, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "pooling by"),
    ],
)
def test_steps_that_we_lack_are_named(
    tmp_path: Path, steps: dict[str, str], config: dict[str, Any], message: str
) -> None:
    path = pooling(folder(tmp_path, "bert", steps), **config)
    with pytest.raises(ModelError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mpnet"}, "mpnet"),
        ({"hidden_act": "relu"}, "hidden_act = 'relu'"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"architectures": ["BertForSequenceClassification"]}, "reranker"),
        ({"hidden_size": None}, "hidden_size is missing"),
    ],
)
def test_architectures_that_we_lack_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = pooling(folder(tmp_path, "bert", STEPS), pooling_mode="mean")
    config = json.loads((path / "config.json").read_text()) | change
    (path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    with pytest.raises(ModelError, match=message):
        load(path)


def test_sizes_that_disagree_with_the_weights_are_listed(tmp_path: Path) -> None:
    path = pooling(folder(tmp_path, "bert", STEPS), pooling_mode="mean")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"vocab_size": 700, "num_hidden_layers": 3}))
    with pytest.raises(
        CheckpointError, match=r"embeddings\.word_embeddings\.weight is \(646, 32\) in place of \(700, 32\)"
    ):
        load(path)
