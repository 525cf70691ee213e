"""Visualized-BGE against the reference's recorded outputs, and the heads of BGE-M3 on it."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onespace.checkpoint import convert, read, write
from onespace.encoder import Encoder
from onespace.engines import Batch
from onespace.engines.torch_engine import TorchEngine
from onespace.errors import CheckpointError, ModelError
from onespace.families import load
from onespace.families.mini import save
from onespace.train.losses import contrastive, dense_scores
from onespace.types import Pair

GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = 2e-5
FOLDERS = {
    "visualized-base-tiny": ("bge-base-en-v1.5", "Visualized_base_en_v1.5.pth"),
    "visualized-m3-tiny": ("bge-m3", "Visualized_m3.pth"),
}
SPECIAL = 20
"""The text with names of special tokens in it, which the reference parses and we don't."""
TRAINED_ON = ("rgb_landscape.png", "rgb_portrait.jpg", "rgba.png")
"""The pictures of mm_batch; its texts are 0, 2 and 3."""

pytestmark = pytest.mark.parametrize("name", FOLDERS)


@lru_cache
def model(name: str) -> Encoder:
    folder, file = FOLDERS[name]
    return load(GOLDEN / name / "model" / folder, weights=GOLDEN / name / "model" / file, device="cpu")


@lru_cache
def expected(name: str) -> dict[str, Any]:
    return dict(np.load(GOLDEN / name / "expected.npz"))


@lru_cache
def texts(name: str) -> list[str]:
    found: list[str] = json.loads((GOLDEN / name / "meta.json").read_text("utf-8"))["texts"]
    return found


def image(name: str, file: str) -> Path:
    return GOLDEN / name / "images" / file


def module(name: str) -> torch.nn.Module:
    engine = model(name).engine
    assert isinstance(engine, TorchEngine)
    return engine.module


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_every_text(name: str) -> None:
    plain = [i for i in range(len(texts(name))) if i != SPECIAL]
    found = model(name).encode([texts(name)[i] for i in plain]).dense
    close(found, np.concatenate([expected(name)[f"text/{i}"] for i in plain]))


def test_the_text_with_special_tokens_as_the_reference_reads_it(name: str) -> None:
    tokens = model(name).tokenizer.encode(texts(name)[SPECIAL], parse_special=True)
    assert tokens.ids == expected(name)[f"ids/{SPECIAL}"].tolist()
    ids = np.array([tokens.ids])
    found = model(name).engine.run(Batch(ids, np.ones_like(ids, dtype=bool)), ("dense",))["dense"]
    close(found, expected(name)[f"text/{SPECIAL}"])
    assert not np.allclose(model(name).encode(texts(name)[SPECIAL]).dense, found)


def test_every_image(name: str) -> None:
    files = [key.removeprefix("image/") for key in expected(name) if key.startswith("image/")]
    assert len(files) == 13
    found = model(name).encode([image(name, file) for file in files]).dense
    close(found, np.concatenate([expected(name)[f"image/{file}"] for file in files]))


def test_every_pair(name: str) -> None:
    keys = [key for key in expected(name) if key.startswith("mm/") and not key.endswith(f"/{SPECIAL}")]
    pairs = [Pair(texts(name)[int(key.split("/")[2])], image(name, key.split("/")[1])) for key in keys]
    close(model(name).encode(pairs).dense, np.concatenate([expected(name)[key] for key in keys]))


def test_batches(name: str) -> None:
    close(model(name).encode(texts(name)[:8], batch_size=8).dense, expected(name)["text_batch/0-7"])
    pairs = [Pair(texts(name)[i], image(name, file)) for i, file in zip((0, 2, 3), TRAINED_ON, strict=True)]
    close(model(name).encode(pairs, batch_size=3).dense, expected(name)["mm_batch"])


def test_the_towers_apart(name: str) -> None:
    fused, want = module(name), expected(name)
    pixels = torch.from_numpy(expected("visualized-base-tiny")["preprocess/rgb_landscape.png"])[None]
    ids = {kind: torch.from_numpy(want[f"ids/{i}"])[None] for kind, i in (("text", 0), ("image", 16), ("mm", 0))}
    with torch.inference_mode():
        close(fused.image.encode(pixels), want["mid/eva_tokens"])
        for kind, tokens in ids.items():
            seen = torch.ones_like(tokens, dtype=torch.bool)
            hidden, _, _ = fused.hidden(tokens, seen, None if kind == "text" else pixels[None])
            close(hidden, want[f"mid/{kind}_encoder_out"])


@pytest.mark.parametrize("task", ["edit_image", "t2it"])
def test_training_losses_and_gradient(name: str, task: str) -> None:
    fused, want, where = module(name), expected(name), f"train/{task}"
    ids, mask = torch.from_numpy(want["mm_batch_ids"]), torch.from_numpy(want["mm_batch_mask"]).bool()
    pictures = [expected("visualized-base-tiny")[f"preprocess/{file}"] for file in TRAINED_ON]
    pixels = torch.from_numpy(np.stack(pictures))[:, None]
    empty = torch.from_numpy(want["ids/16"]).expand(3, -1)
    if task == "edit_image":
        queries = fused(ids, mask, pixels)["dense"]
        candidates = fused(empty, torch.ones_like(empty, dtype=torch.bool), pixels.flip(0))["dense"]
    else:
        queries, candidates = fused(ids, mask)["dense"], fused(ids, mask, pixels.flip(0))["dense"]
    scores = dense_scores(queries, candidates)
    loss = contrastive(scores)
    (gradient,) = torch.autograd.grad(loss, fused.project.weight)
    close(queries.detach(), want[f"{where}/q"])
    close(candidates.detach(), want[f"{where}/c"])
    close(scores.detach(), want[f"{where}/scores"])
    close(loss.detach(), want[f"{where}/loss"])
    close(gradient, want[f"{where}/grad.visual_proj.weight"])


def test_what_the_spec_says(name: str) -> None:
    spec = model(name).spec
    assert spec.name == FOLDERS[name][1].removesuffix(".pth")
    assert spec.trained == ("text/dense", "image/dense", "pair/dense")
    assert spec.max_tokens == 512
    assert spec.licence == "unknown", "the card of the official model isn't for another one of that name"


def test_the_weights_alone_find_the_text_model_beside_them(name: str, tmp_path: Path) -> None:
    file = FOLDERS[name][1]
    for source in (GOLDEN / name / "model", GOLDEN / name / "model" / file):
        assert load(source, device="cpu").spec == model(name).spec
    shutil.copy(GOLDEN / name / "model" / file, tmp_path)
    with pytest.raises(ModelError, match="text model's config"):
        load(tmp_path)


def test_the_names_of_the_text_model_decide_nothing(name: str, tmp_path: Path) -> None:
    folder, file = FOLDERS[name]
    shutil.copytree(GOLDEN / name / "model" / folder, tmp_path / "another")
    found = load(tmp_path / "another", weights=GOLDEN / name / "model" / file, device="cpu")
    assert replace(found.spec, name="") == replace(model(name).spec, name="")


def test_position_ids_and_rotary_tables_may_be_present_or_absent(name: str, tmp_path: Path) -> None:
    folder, file = FOLDERS[name]
    tensors = {k: t for k, t in read(GOLDEN / name / "model" / file).items() if "blocks.0.attn.rope" not in k}
    tensors["bge_embeddings.position_ids"] = torch.arange(512)[None]
    write(tensors, tmp_path / "w.safetensors")
    found = load(GOLDEN / name / "model" / folder, weights=tmp_path / "w.safetensors", device="cpu")
    close(found.encode("a whale").dense, model(name).encode("a whale").dense)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_rotary_tables_are_as_precise_as_in_the_file(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    folder, file = FOLDERS[name]
    tensors = {k: t.to(dtype) for k, t in read(GOLDEN / name / "model" / file).items()}
    write(tensors, tmp_path / "w.safetensors")
    found = load(GOLDEN / name / "model" / folder, weights=tmp_path / "w.safetensors", device="cpu")
    again = load(save(found, tmp_path / "saved"), device="cpu")
    for encoder in (found, again):
        assert isinstance(encoder.engine, TorchEngine)
        stored = tensors["model_visual.visual.rope.freqs_cos"].float()
        ours = encoder.engine.module.image.cos
        assert ours.dtype == torch.float32
        assert (ours - stored).abs().mean() < 2e-6, "a few entries may round the other way, not all"


def test_converted_weights_may_stand_in_the_folder_of_the_text_model(name: str, tmp_path: Path) -> None:
    folder, file = FOLDERS[name]
    shutil.copytree(GOLDEN / name / "model" / folder, tmp_path / folder)
    convert(GOLDEN / name / "model" / file, tmp_path / folder / "model.safetensors")
    found = load(tmp_path / folder, device="cpu")
    close(found.encode("a whale").dense, model(name).encode("a whale").dense)


def test_a_wrong_text_model_and_missing_weights_are_one_error(name: str, tmp_path: Path) -> None:
    folder, file = FOLDERS[name]
    other = next(n for n in FOLDERS if n != name)
    with pytest.raises(CheckpointError, match=r"shape: bge_encoder.*more$"):
        load(GOLDEN / other / "model" / FOLDERS[other][0], weights=GOLDEN / name / "model" / file)
    tensors = {k: t for k, t in read(GOLDEN / name / "model" / file).items() if "mlp.w2" not in k}
    write(tensors, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"missing: image\.blocks\.0\.mlp\.up\.weight"):
        load(GOLDEN / name / "model" / folder, weights=tmp_path / "w.safetensors")
    write({"visual_proj.weight": torch.ones(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="isn't an EVA02"):
        load(GOLDEN / name / "model" / folder, weights=tmp_path / "w.safetensors")


def m3_with(tensors: dict[str, torch.Tensor], folder: Path) -> Path:
    """A BGE-M3 folder whose text tower is that of a Visualized-BGE, or nearly."""
    folder.mkdir()
    for file in ("sparse_linear.pt", "colbert_linear.pt"):
        shutil.copy(GOLDEN / "bge-m3-tiny" / "model" / "bge-m3" / file, folder)
    text = {k.removeprefix("bge_"): t for k, t in tensors.items() if k.startswith("bge_")}
    write(text, folder / "model.safetensors")
    return folder


def test_borrowed_heads_say_whether_the_text_towers_are_equal(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, file = FOLDERS[name]
    source, weights = GOLDEN / name / "model" / folder, GOLDEN / name / "model" / file
    if name == "visualized-base-tiny":
        with pytest.raises(ModelError, match="another shape"):
            load(source, weights=weights, heads_from=GOLDEN / "bge-m3-tiny" / "model" / "bge-m3")
        return
    tensors = read(weights)
    with caplog.at_level(logging.INFO, "onespace"):
        same = load(source, weights=weights, heads_from=m3_with(tensors, tmp_path / "same"), device="cpu")
    assert "text towers are equal" in caplog.text
    assert same.spec.head_names == ("dense", "sparse", "multi")
    assert {h: same.spec.level("text", h) for h in ("sparse", "multi")} == {"sparse": "trained", "multi": "trained"}
    assert same.spec.level("image", "multi") == same.spec.level("pair", "sparse") == "grafted"
    assert same.spec.level("image", "sparse") == "unsupported"
    found = same.encode(["a whale", Pair("a whale", image(name, "rgba.png")), image(name, "rgba.png")])
    close(found.dense[:1], model(name).encode("a whale").dense)
    assert len(found.multi[2]) == 256 + 1

    halves = {k: t.half() for k, t in tensors.items()}
    rounded = load(source, weights=weights, heads_from=m3_with(halves, tmp_path / "halves"), device="cpu")
    assert "text towers are equal" in rounded.spec.notes  # one file in float16, the other in float32
    assert rounded.spec.level("text", "sparse") == "trained"

    changed = tensors | {
        "bge_encoder.layer.0.output.dense.bias": tensors["bge_encoder.layer.0.output.dense.bias"] + 0.5
    }
    other = load(source, weights=weights, heads_from=m3_with(changed, tmp_path / "other"), device="cpu")
    assert "differ by up to 0.5" in other.spec.notes
    assert other.spec.level("text", "sparse") == "grafted"
    assert other.spec.level("text", "dense") == "trained"
    with pytest.raises(ModelError, match="sparse_linear"):
        load(source, weights=weights, heads_from=source)
