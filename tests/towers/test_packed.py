"""Without padding, a batch gives what it gives with padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast, get_args

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from tiny_model import TEXTS, tiny_spec
from torch import Tensor
from torch.nn import functional as F

from onespace.encoder import Encoder
from onespace.model import FusedModel
from onespace.towers import packing, text
from onespace.towers.attention import Attention
from onespace.towers.packing import Packing, Way, runs, way_for
from onespace.towers.text import TextTower
from onespace.types import HEADS, Item, Pair


def reference(
    query: Tensor, key: Tensor, value: Tensor, ends: Tensor, others: Tensor, longest: int, most: int, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """The kernel in plain steps: (tokens, h, d) each, ends (N + 1,) int32."""
    assert ends.dtype == others.dtype == torch.int32
    assert torch.equal(ends, others)
    assert longest == most == int(ends.diff().max())
    assert rest[0] is False, "a text sees what follows"
    assert query.shape == key.shape == value.shape
    out = torch.zeros_like(query)
    for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        q, k, v = (t[start:stop].transpose(0, 1) for t in (query, key, value))  # (h, T, d) each
        out[start:stop] = F.scaled_dot_product_attention(q, k, v).transpose(0, 1)
    return out, query.new_empty(0), query.new_empty(0, dtype=torch.uint64)


@pytest.fixture(params=get_args(Way))
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """Each way to attend; torch's kernel, which runs on GPUs alone, gets a plain one for the CPU."""
    if request.param != "kernel":
        yield request.param
        return
    pytest.importorskip("torch.nn.attention.varlen", reason="torch before 2.10 has no such kernel")
    library = torch.library.Library("torch_attn", "FRAGMENT")
    torch.library.register_kernel("torch_attn::_varlen_attn", "cpu", reference, lib=library)
    yield "kernel"
    library._destroy()


def batch(*lengths: int, vocab: int) -> tuple[Tensor, Tensor]:
    """Random ids, right-padded, and their mask."""
    torch.manual_seed(1)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.where(mask, torch.randint(4, vocab, mask.shape), 1), mask


def tower() -> TextTower:
    torch.manual_seed(0)
    spec = tiny_spec().text
    assert spec is not None
    return TextTower(spec).eval()


def force(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    """Lets the CPU attend as another device would."""
    monkeypatch.setattr(text, "way_for", lambda *_: way if torch.is_inference_mode_enabled() else None)


def test_a_packed_batch_equals_a_padded_one(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, way)
    model = tower()
    lengths = (9, 9, 7, 3, 1)
    ids, mask = batch(*lengths, vocab=model.embed.spec.vocab)
    with torch.no_grad():
        padded = model(ids, mask)
    with torch.inference_mode():
        packed = model(ids, mask)
        known = model(ids, mask, lengths)
    torch.testing.assert_close(packed[mask], padded[mask], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(packed[:, 0], padded[:, 0], atol=1e-6, rtol=1e-5)
    assert not packed[~mask].any()
    assert torch.equal(known, packed)


def test_a_whole_model_gives_the_same_however_it_attends(
    way: Way, monkeypatch: pytest.MonkeyPatch, tiny_encoder: Encoder, pictures: list[PILImage.Image]
) -> None:
    items: list[Item] = [
        *TEXTS,
        *pictures,
        Pair(TEXTS[1], pictures[0]),
        Pair("a sea", pictures[:2]),
        Pair("", pictures[3]),
    ]
    force(monkeypatch, cast(Way, None))
    wanted = tiny_encoder.encode(items)
    force(monkeypatch, way)
    got = tiny_encoder.encode(items)
    assert np.allclose(got.dense, wanted.dense, atol=1e-5)  # type: ignore[arg-type]
    assert np.allclose(got.multi.values, wanted.multi.values, atol=1e-5)  # type: ignore[union-attr]
    assert np.allclose(got.sparse.values, wanted.sparse.values, atol=1e-5)  # type: ignore[union-attr]


@pytest.mark.parametrize("way", ["kernel", "padded"])
@pytest.mark.parametrize("lengths", [(5, 3, 2), (3, 3, 3)])
@pytest.mark.parametrize("pictures", [0, 2])
def test_no_device_is_asked_for_numbers_on_the_way(
    way: Way, lengths: tuple[int, ...], pictures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the meta device, which has none to give, whatever would wait for a GPU fails."""
    if way == "kernel":
        pytest.importorskip("torch.nn.attention.varlen", reason="torch before 2.10 has no such kernel")
    force(monkeypatch, way)
    with torch.device("meta"):
        model = FusedModel(tiny_spec()).eval().to(torch.bfloat16)
        ids, mask = torch.zeros(3, max(lengths), dtype=torch.long), torch.ones(3, max(lengths), dtype=torch.bool)
        pixels = torch.zeros(3, pictures, 3, 32, 32, dtype=torch.bfloat16) if pictures else None
    with torch.inference_mode():
        out = model(ids, mask, pixels, heads=HEADS, lengths=lengths)
        assert out["multi"].shape == (3, max(lengths) - 1 + 16 * pictures, 16)
        with pytest.raises(NotImplementedError):
            model(ids, mask, pixels, heads=HEADS)


def test_sequences_in_a_pack_do_not_see_each_other(way: Way) -> None:
    layer = Attention(16, 4).eval()
    mask = torch.ones(3, 3, dtype=torch.bool)
    with torch.inference_mode():
        x = torch.randn(9, 16)
        together = layer(x, Packing.of(mask, [3, 3, 3], way))
        apart = torch.cat([layer(some[None])[0] for some in x.split(3)])
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=1e-5)


def test_a_row_without_tokens_takes_no_part(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, way)
    model = tower()
    ids, mask = batch(4, 2, vocab=model.embed.spec.vocab)
    mask[1] = False
    with torch.inference_mode():
        out = model(ids, mask)
        alone = model(ids[:1], mask[:1])
    torch.testing.assert_close(out[:1], alone)
    assert not out[1].any()


def test_runs_keep_the_order_of_any_batch() -> None:
    assert runs([2, 5, 5, 2]) == ((1, 2), (2, 5), (1, 2))


def test_a_pack_knows_where_its_tokens_lie() -> None:
    _, mask = batch(2, 3, 1, vocab=9)
    pack = Packing.of(mask, [2, 3, 1], "runs")
    assert pack.rows.tolist() == [0, 1, 3, 4, 5, 6]
    assert pack.ends.tolist() == [0, 2, 5, 6]
    x = torch.arange(18.0).view(3, 3, 2)
    assert torch.equal(pack.pad(pack.pack(x)), x * mask[:, :, None])


def tokens(device: str, dtype: torch.dtype) -> Tensor:
    """What `way_for` asks of a tensor, of a device that isn't here."""
    return cast(Tensor, SimpleNamespace(device=torch.device(device), dtype=dtype))


@pytest.mark.parametrize(
    ("device", "dtype", "width", "capability", "wanted"),
    [
        ("cpu", torch.float32, 64, (0, 0), "runs"),
        ("cuda", torch.bfloat16, 64, (9, 0), "kernel"),
        ("cuda", torch.float16, 32, (8, 0), "kernel"),
        ("cuda", torch.float32, 64, (9, 0), "padded"),
        ("cuda", torch.bfloat16, 63, (9, 0), "padded"),
        ("cuda", torch.bfloat16, 512, (9, 0), "padded"),
        ("cuda", torch.float16, 64, (7, 5), "padded"),
        ("mps", torch.float16, 64, (0, 0), None),
    ],
)
def test_the_way_depends_on_the_device(
    device: str,
    dtype: torch.dtype,
    width: int,
    capability: tuple[int, int],
    wanted: Way | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    packing.has_kernel.cache_clear()
    with torch.inference_mode():
        assert way_for(tokens(device, dtype), width) == wanted
    packing.has_kernel.cache_clear()


def missing() -> None:
    raise ImportError


@pytest.mark.parametrize(("kernel", "built"), [(missing, True), (lambda: None, False)], ids=["old", "built without"])
def test_a_torch_without_the_kernel_pads(
    kernel: Callable[[], None], built: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "kernel", kernel)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: built)
    packing.has_kernel.cache_clear()
    with torch.inference_mode():
        assert way_for(tokens("cuda", torch.bfloat16), 64) == "padded"
    packing.has_kernel.cache_clear()


def test_nothing_is_packed_while_training() -> None:
    assert way_for(tokens("cuda", torch.bfloat16), 64) is None
