"""Threads, budgets and compiled towers of the torch engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo
from PIL import Image as PILImage
from tiny_model import TEXTS
from torch import Tensor, fx, nn

from onespace.encoder import Encoder
from onespace.engines import Batch, torch_engine
from onespace.engines.torch_engine import TorchEngine
from onespace.errors import ModelError
from onespace.families import load, mini, siglip
from onespace.types import Item, Pair


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch on two threads, in a container that allows one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(torch_engine, "cores", lambda: 1)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_threads_are_no_more_than_the_quota_allows() -> None:
    engine = TorchEngine(nn.Linear(2, 2), device="cpu")
    assert torch.get_num_threads() == 1
    assert engine.tokens == 1024


@pytest.mark.usefixtures("two_threads")
def test_threads_that_someone_set_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    TorchEngine(nn.Linear(2, 2), device="cpu")
    assert torch.get_num_threads() == 2


@pytest.fixture
def shapes() -> Iterator[list[tuple[int, ...]]]:
    """Of the pictures for which a tower was compiled, by a compiler that changes nothing."""
    seen: list[tuple[int, ...]] = []

    def watching(graph: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        seen.extend(tuple(x.shape) for x in inputs if x.ndim == 4 and x.shape[1:] == (3, 32, 32))
        return graph.forward

    torch._dynamo.reset()
    torch._dynamo.register_backend(watching, name="watching")
    yield seen
    torch._dynamo.reset()


def again(encoder: Encoder, *, compiler: str | None = None, dtype: torch.dtype = torch.float32) -> Encoder:
    """The same model in an engine of its own."""
    module = deepcopy(encoder.engine.module)  # type: ignore[attr-defined]
    return Encoder(encoder.spec, encoder.tokenizer, TorchEngine(module, device="cpu", dtype=dtype, compiler=compiler))


def test_a_compiled_tower_gives_the_same_whatever_fills_its_batches(
    shapes: list[tuple[int, ...]], tiny_encoder: Encoder, pictures: list[PILImage.Image]
) -> None:
    model = again(tiny_encoder, compiler="watching")
    for count in (1, 3):
        items: list[Item] = [*TEXTS[:count], *pictures[:count], *[Pair(TEXTS[k], pictures[k]) for k in range(count)]]
        wanted, got = tiny_encoder.encode(items), model.encode(items)
        assert np.allclose(got.dense, wanted.dense, atol=1e-5)  # type: ignore[arg-type]
        assert np.allclose(got.multi.values, wanted.multi.values, atol=1e-5)  # type: ignore[union-attr]
        assert np.allclose(got.sparse.values, wanted.sparse.values, atol=1e-5)  # type: ignore[union-attr]
        assert got.receipts == wanted.receipts
    assert [shape[0] for shape in shapes] == [2, 8]  # a picture and a pair; three of each, which run as eight


def test_a_dual_encoder_can_be_compiled(pictures: list[PILImage.Image]) -> None:
    exact = siglip.tiny()
    got = again(exact, compiler="aot_eager").encode([*pictures[:3], "a boat"], on_loss="ignore").dense
    wanted = exact.encode([*pictures[:3], "a boat"], on_loss="ignore").dense
    assert np.allclose(got, wanted, atol=1e-5)  # type: ignore[arg-type]


def test_a_compiled_model_is_saved_as_any_other(
    tmp_path: Path, tiny_encoder: Encoder, pictures: list[PILImage.Image]
) -> None:
    model = again(tiny_encoder, compiler="eager")
    loaded = load(mini.save(model, tmp_path), device="cpu")
    assert np.allclose(loaded.encode(pictures).dense, model.encode(pictures).dense, atol=1e-5)  # type: ignore[arg-type]


def test_only_models_that_take_pictures_are_compiled() -> None:
    with pytest.raises(ModelError, match=r"has no image tower. Leave it out"):
        TorchEngine(nn.Linear(2, 2), device="cpu", compiler="eager")


def test_a_batch_that_was_begun_gives_what_a_run_gives(tiny_encoder: Encoder) -> None:
    engine = tiny_encoder.engine
    assert isinstance(engine, TorchEngine)
    one = Batch(np.array([[0, 5, 2]]), np.ones((1, 3), bool))
    two = Batch(np.array([[0, 5, 2], [0, 2, 1]]), np.array([[True] * 3, [True, True, False]]))
    first, second = engine.begin(one, ("dense",)), engine.begin(two, ("dense",))
    assert np.array_equal(second()["dense"], engine.run(two, ("dense",))["dense"])
    assert np.array_equal(first()["dense"], engine.run(one, ("dense",))["dense"])


def test_a_model_in_float16_sees_what_it_sees_in_float32(tiny_encoder: Encoder, pictures: list[PILImage.Image]) -> None:
    half = again(tiny_encoder, dtype=torch.float16)
    items: list[Item] = [*TEXTS, *pictures, Pair(TEXTS[1], pictures[0])]
    got, wanted = np.asarray(half.encode(items).dense), np.asarray(tiny_encoder.encode(items).dense)
    assert (got * wanted).sum(1).min() > 0.999


@pytest.mark.parametrize(
    ("name", "wanted"), [(None, "cuda:1"), ("cuda", "cuda:1"), ("cuda:0", "cuda:0"), ("cpu", "cpu")]
)
def test_a_gpu_has_its_number(name: str | None, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert str(torch_engine.place(name)) == wanted


def test_a_compiled_export_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Leave out device, dtype, compile"):
        load(compile=True)
