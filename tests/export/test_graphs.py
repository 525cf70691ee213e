from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage
from tiny_model import TEXTS, tiny_fused, tiny_spec, tiny_tokenizer

from onespace.contract import check_encoder
from onespace.encoder import Encoder
from onespace.engines import onnx_engine
from onespace.engines.onnx_engine import OnnxEngine, cores
from onespace.errors import InputError, ModelError
from onespace.export.graphs import Exported, Precision, export_onnx, finish, trace
from onespace.exported import open_exported
from onespace.passages import Chunking
from onespace.spec import TextSpec
from onespace.types import Item, Pair


@pytest.fixture(scope="module")
def models(tiny_encoder: Encoder) -> dict[str, Any]:
    return trace(tiny_encoder)  # takes seconds, so it is done once


@pytest.fixture(scope="module")
def exported(tiny_encoder: Encoder, models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return finish(tiny_encoder, models, tmp_path_factory.mktemp("export") / "fp32", precision="fp32")


@pytest.fixture
def items(pictures: list[PILImage.Image]) -> list[Item]:
    return [*TEXTS[:5], *pictures, Pair(TEXTS[0], pictures[0]), Pair(TEXTS[1], pictures[:2])]


def copy(exported: Exported, to: Path) -> Path:
    return Path(shutil.copytree(exported.folder, to / "copy"))


def test_the_exported_model_gives_the_numbers_of_torch(
    tiny_encoder: Encoder, exported: Exported, items: list[Item]
) -> None:
    assert exported.difference < 1e-5
    wanted, got = tiny_encoder.encode(items), open_exported(exported.folder).encode(items)
    np.testing.assert_allclose(got.dense, wanted.dense, atol=1e-5)
    assert wanted.multi is not None
    assert got.multi is not None
    np.testing.assert_allclose(got.multi.values, wanted.multi.values, atol=1e-5)
    np.testing.assert_array_equal(got.multi.places, wanted.multi.places)
    assert wanted.sparse is not None
    assert got.sparse is not None
    for a, b in zip(wanted.sparse.to_dicts(), got.sparse.to_dicts(), strict=True):
        assert {k: pytest.approx(v, abs=1e-4) for k, v in a.items() if v > 1e-3} == {
            k: v for k, v in b.items() if v > 1e-3 or k in a
        }
    assert got.receipts == wanted.receipts


def test_the_contract_holds_without_torch(exported: Exported) -> None:
    check_encoder(open_exported(exported.folder))


def test_the_folder_is_whole_and_says_nothing_of_where_it_was_made(exported: Exported, tiny_encoder: Encoder) -> None:
    names = {path.name for path in exported.folder.iterdir()}
    assert names >= {"onespace.json", "tokenizer.json", "text.onnx", "image.onnx", "weights.bin"}
    parameters = sum(p.numel() for p in tiny_encoder.engine.module.parameters())  # type: ignore[attr-defined]
    assert (exported.folder / "weights.bin").stat().st_size < 4 * parameters * 1.1  # the two graphs share it
    for path in exported.folder.glob("*.onnx"):
        assert b"site-packages" not in path.read_bytes()
        assert b".py" not in path.read_bytes()
    assert open_exported(exported.folder).spec == tiny_encoder.spec


@pytest.mark.parametrize(("precision", "share"), [("fp16", 0.55), ("int8", 0.5)])
def test_smaller_weights_stay_near(
    tiny_encoder: Encoder,
    models: dict[str, Any],
    exported: Exported,
    items: list[Item],
    tmp_path: Path,
    precision: Precision,
    share: float,
) -> None:
    small = finish(tiny_encoder, models, tmp_path, precision=precision)
    size = (tmp_path / "weights.bin").stat().st_size
    assert size < share * (exported.folder / "weights.bin").stat().st_size
    assert small.size < exported.size
    assert small.cosine > 0.99
    opened = open_exported(tmp_path)
    assert (np.asarray(opened.encode(items).dense) * tiny_encoder.encode(items).dense).sum(1).min() > 0.99
    check_encoder(opened)


def test_float16_equals_the_rounded_model(
    tiny_encoder: Encoder, models: dict[str, Any], items: list[Item], tmp_path: Path
) -> None:
    import torch

    finish(tiny_encoder, models, tmp_path, precision="fp16")
    rounded = tiny_fused(tiny_encoder.spec)
    with torch.no_grad():
        for parameter in rounded.engine.module.parameters():  # type: ignore[attr-defined]
            if parameter.ndim > 1 and parameter.numel() >= 256:
                parameter.copy_(parameter.half().float())
    np.testing.assert_allclose(open_exported(tmp_path).encode(items).dense, rounded.encode(items).dense, atol=1e-5)


def test_a_graph_that_differs_from_torch_is_not_let_out(
    tiny_encoder: Encoder, models: dict[str, Any], tmp_path: Path
) -> None:
    from onnx import numpy_helper

    wrong = deepcopy(models)
    tensor = next(t for t in wrong["text"].graph.initializer if t.name.endswith("blocks.1.down.weight"))
    tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    with pytest.raises(ModelError, match="differ from torch"):
        finish(tiny_encoder, wrong, tmp_path, precision="fp32")


def test_a_text_model_with_the_positions_of_xlm_roberta(tmp_path: Path) -> None:
    text = TextSpec(
        vocab=tiny_tokenizer().vocab_size, width=16, layers=1, heads=2, hidden=24, max_positions=42,
        position_rule="pad-aware", pad=1,
    )  # fmt: skip
    heads = replace(tiny_spec().heads, dense=16, pooling="mean", sparse="tokens", multi=0)
    trained = ("text/dense", "text/sparse")
    model = tiny_fused(tiny_spec(text=text, image=None, pixels=None, heads=heads, trained=trained))
    assert export_onnx(model, tmp_path).difference < 1e-5
    assert not (tmp_path / "image.onnx").exists()
    check_encoder(open_exported(tmp_path))
    np.testing.assert_allclose(open_exported(tmp_path).encode(TEXTS).dense, model.encode(TEXTS).dense, atol=1e-5)


def test_attention_is_left_to_the_operator_that_goes_in_tiles(models: dict[str, Any]) -> None:
    for graph, choices, bare in (("text", 2, 0), ("image", 2, 2)):
        nodes = [node.op_type for node in models[graph].graph.node]
        assert (nodes.count("If"), nodes.count("MultiHeadAttention"), nodes.count("Softmax")) == (choices, bare, 0)


def test_only_what_the_asked_heads_need_is_run(exported: Exported, tiny_encoder: Encoder) -> None:
    engine = open_exported(exported.folder).engine
    from onespace.engines import Batch

    ids = np.array([[0, 5, 2]])
    batch = Batch(ids, np.ones_like(ids, dtype=bool))
    assert set(engine.run(batch, ("dense",))) == {"dense"}
    assert set(engine.run(batch, ("sparse", "multi"))) == {"weights", "multi", "multi_mask"}


def test_graphs_are_opened_when_they_are_needed(exported: Exported) -> None:
    model = open_exported(exported.folder)
    assert isinstance(model.engine, OnnxEngine)
    assert model.engine._sessions == {}
    model.encode("a")
    assert set(model.engine._sessions) == {"text"}


def test_damaged_folders_are_refused(exported: Exported, tmp_path: Path) -> None:
    folder = copy(exported, tmp_path)
    (folder / "weights.bin").write_bytes((folder / "weights.bin").read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"text\.onnx can't be read"):
        open_exported(folder).encode("a")
    (folder / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"weights\.bin isn't there"):
        open_exported(folder).encode("a")
    (folder / "text.onnx").write_bytes(b"nonsense")
    (folder / "weights.bin").touch()
    with pytest.raises(ModelError, match=r"text\.onnx can't be read"):
        open_exported(folder).encode("a")
    for name in ("text", "image"):
        (folder / f"{name}.onnx").unlink()
    with pytest.raises(ModelError, match=r"has none of text\.onnx"):
        open_exported(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "isn't there"),
        ("{", "isn't JSON"),
        ("[]", "holds list"),
        (json.dumps({"colour": 1}), "unknown key colour"),
    ],
)
def test_a_wrong_spec_is_named(exported: Exported, tmp_path: Path, content: str | None, message: str) -> None:
    folder = copy(exported, tmp_path)
    (folder / "onespace.json").unlink()
    if content is not None:
        (folder / "onespace.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        open_exported(folder)


def test_another_layout_is_refused(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_engine, "VERSION", "2")
    with pytest.raises(ModelError, match="has layout 1; this onespace reads 2"):
        open_exported(exported.folder).encode("a")


def test_a_graph_that_is_not_ours_is_refused(exported: Exported, tmp_path: Path) -> None:
    import onnx

    folder = copy(exported, tmp_path)
    model = onnx.load(str(folder / "text.onnx"), load_external_data=False)
    del model.metadata_props[:]
    onnx.save_model(model, str(folder / "text.onnx"))
    with pytest.raises(ModelError, match="has layout None"):
        open_exported(folder).encode("a")


def test_what_cannot_be_exported_is_refused(exported: Exported, tiny_encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="precision='int4'"):
        export_onnx(tiny_encoder, tmp_path, precision="int4")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tiny runs on OnnxEngine; export needs the torch model"):
        export_onnx(open_exported(exported.folder), tmp_path)


def test_threads_are_at_least_one() -> None:
    assert cores() >= 1


def test_late_passages_come_out_of_the_graph_too(tiny_encoder: Encoder, exported: Exported) -> None:
    chunking = Chunking("tokens", 5, late=True)
    wanted, got = (m.encode_passages(TEXTS, chunking=chunking) for m in (tiny_encoder, open_exported(exported.folder)))
    np.testing.assert_allclose(got.dense, wanted.dense, atol=1e-5)
    assert wanted.multi is not None
    assert got.multi is not None
    np.testing.assert_allclose(got.multi.values, wanted.multi.values, atol=1e-5)
