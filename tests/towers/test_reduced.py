"""bfloat16 and int8 products: near to float32, and no item changed by its batch mates."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from safetensors.torch import load_file, save_file
from tiny_model import tiny_fused, tiny_spec
from torch import nn

from onespace import contract
from onespace.encoder import Encoder
from onespace.engines.torch_engine import TorchEngine
from onespace.errors import InputError, ModelError
from onespace.families import clip, eva_clip, load, mini, siglip, visualized_bge
from onespace.towers import reduced as towers_reduced
from onespace.towers.reduced import HalfLinear, Int8Linear, reduce
from onespace.types import Pair

REDUCED = {"bfloat16": (torch.bfloat16, 0.999), "int8": (torch.int8, 0.98)}


def reduced(encoder: Encoder, dtype: torch.dtype) -> Encoder:
    engine = encoder.engine
    assert isinstance(engine, TorchEngine)
    return Encoder(encoder.spec, encoder.tokenizer, TorchEngine(deepcopy(engine.module), device="cpu", dtype=dtype))


@pytest.fixture(params=REDUCED)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_reduced_model_is_near_the_exact_one(kind: str, pictures: list[PILImage.Image]) -> None:
    exact = tiny_fused(tiny_spec())
    dtype, least = REDUCED[kind]
    items = ["a red house", "two whales swim beside a boat", *pictures[:2], Pair("a boat", pictures[2])]
    wanted, got = exact.encode(items), reduced(exact, dtype).encode(items)
    assert wanted.dense is not None
    assert got.dense is not None
    assert least < (wanted.dense * got.dense).sum(1).min() < 1
    assert np.allclose(np.linalg.norm(got.dense, axis=1), 1, atol=1e-5)
    assert got.multi is not None
    assert len(got.multi.values) == len(wanted.multi.values)  # type: ignore[union-attr]


def test_the_promises_hold_with_fewer_digits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "TOLERANCE", 0.02)
    contract.check_encoder(reduced(tiny_fused(tiny_spec()), REDUCED[kind][0]))


@pytest.mark.parametrize("family", [visualized_bge, siglip, eva_clip])
def test_every_kind_of_tower_can_be_reduced(kind: str, family: object, pictures: list[PILImage.Image]) -> None:
    exact = family.tiny()  # type: ignore[attr-defined]
    dtype, least = REDUCED[kind]
    wanted, got = (e.encode([pictures[0], "a boat"], on_loss="ignore").dense for e in (exact, reduced(exact, dtype)))
    assert (wanted * got).sum(1).min() > least


def test_int8_is_within_half_a_step_for_each_token() -> None:
    torch.manual_seed(0)
    exact = nn.Linear(64, 48)
    layer = Int8Linear(exact)
    x = torch.randn(5, 64) * torch.tensor([[0.01], [1], [1], [100], [0]])
    with torch.inference_mode():
        error = (layer(x).float() - exact(x)).abs().amax(1) / exact(x).abs().amax(1)
    assert error.max() < 0.03
    assert torch.equal(layer(x[1:2])[0], layer(x)[1])


@pytest.mark.parametrize(("native", "result"), [(True, torch.bfloat16), (False, torch.float32)])
def test_int8_gives_what_the_processor_can_add(
    native: bool, result: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(towers_reduced, "has_bfloat16", lambda: native)
    exact, x = nn.Linear(16, 8), torch.randn(3, 16)
    layer = Int8Linear(exact)
    with torch.inference_mode():
        y = layer(x)
    assert y.dtype == layer.ready(x).scale.dtype == result
    assert (y - exact(x)).abs().max() < 0.03 * exact(x).abs().max()


def test_sums_of_the_largest_numbers_do_not_overflow() -> None:
    exact = nn.Linear(64, 8, bias=False)
    nn.init.ones_(exact.weight)
    with torch.inference_mode():
        y = Int8Linear(exact)(torch.tensor([[1.0], [-1.0]]).expand(2, 64))
    assert torch.allclose(y.float(), torch.tensor([[64.0], [-64.0]]).expand(2, 8), rtol=0.01)


def test_emulated_bfloat16_is_warned_of_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(towers_reduced, "has_bfloat16", lambda: False)
    towers_reduced.warn_of_emulation.cache_clear()
    for dtype in (torch.int8, torch.bfloat16, torch.bfloat16):
        reduce(nn.Sequential(nn.Linear(2, 2)), dtype)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "This processor has no bfloat16 (AMX or AVX-512 would)"
    ]
    monkeypatch.setattr(towers_reduced, "has_bfloat16", lambda: True)
    towers_reduced.warn_of_emulation.cache_clear()
    reduce(nn.Sequential(nn.Linear(2, 2)), torch.bfloat16)
    assert len(caplog.records) == 1


def test_layers_shared_by_an_input_take_it_ready() -> None:
    layer, x = Int8Linear(nn.Linear(16, 8, bias=False)), torch.randn(2, 3, 16)
    assert torch.equal(layer(layer.ready(x)), layer(x))


def test_norms_and_the_small_layers_stay_exact() -> None:
    module = reduce(
        nn.ModuleDict({"a": nn.Linear(8, 8), "one": nn.Linear(8, 1), "norm": nn.LayerNorm(8)}).half(), torch.bfloat16
    )
    kinds = {name: next(part.parameters()).dtype for name, part in module.named_children()}
    assert kinds == {"a": torch.bfloat16, "one": torch.float32, "norm": torch.float32}
    assert isinstance(module.get_submodule("a"), HalfLinear)


def test_a_model_is_loaded_reduced_from_what_its_file_stores(kind: str, tmp_path: Path) -> None:
    encoder = clip.tiny()
    folder = mini.save(encoder, tmp_path)
    file = folder / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file)
    loaded = load(folder, device="cpu", dtype=kind)
    assert isinstance(loaded.engine, TorchEngine)
    norms = [part.weight.dtype for part in loaded.engine.module.modules() if isinstance(part, nn.LayerNorm)]
    assert set(norms) == {torch.float32}
    wanted, got = (e.encode(["a whale", "一条龙"]).dense for e in (encoder, loaded))
    assert wanted is not None
    assert got is not None
    assert (wanted * got).sum(1).min() > REDUCED[kind][1]


def test_int8_is_for_the_cpu() -> None:
    with pytest.raises(ModelError, match=r"int8 runs on a CPU, not on meta. Use dtype='bfloat16'"):
        TorchEngine(nn.Linear(2, 2), device="meta", dtype=torch.int8)


def test_int8_without_the_operator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "onednn", object())
    with pytest.raises(ModelError, match=r"has no int8 products for this CPU. Use dtype='bfloat16'"):
        reduce(nn.Linear(2, 2), torch.int8)


def test_an_int8_model_is_not_exported(tmp_path: Path) -> None:
    from onespace.export import export_onnx

    with pytest.raises(InputError, match=r"is loaded as int8. Load it as float32, and export with precision='int8'"):
        export_onnx(reduced(tiny_fused(tiny_spec()), torch.int8), tmp_path)
