"""Without padding, a batch gives what it gives with padding."""

from __future__ import annotations

import torch
from tiny_model import tiny_spec
from torch import Tensor

from onespace.towers.attention import Attention, runs
from onespace.towers.text import TextTower


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


def test_a_packed_batch_equals_a_padded_one() -> None:
    model = tower()
    ids, mask = batch(9, 9, 7, 3, 1, vocab=model.embed.spec.vocab)
    with torch.no_grad():
        padded = model(ids, mask)
    with torch.inference_mode():
        packed = model(ids, mask)
    torch.testing.assert_close(packed[mask], padded[mask], atol=1e-6, rtol=1e-5)
    assert not packed[~mask].any()


def test_sequences_in_a_pack_do_not_see_each_other() -> None:
    layer = Attention(16, 4).eval()
    with torch.inference_mode():
        x = torch.randn(9, 16)
        together = layer(x, ((2, 3), (1, 3)))
        apart = torch.cat([layer(some[None])[0] for some in x.split(3)])
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=1e-5)


def test_a_row_without_tokens_takes_no_part() -> None:
    model = tower()
    ids, mask = batch(4, 2, vocab=model.embed.spec.vocab)
    mask[1] = False
    with torch.inference_mode():
        out = model(ids, mask)
        alone = model(ids[:1], mask[:1])
    torch.testing.assert_close(out[:1], alone)
    assert not out[1].any()


def test_runs_keep_the_order_of_any_batch() -> None:
    _, mask = batch(2, 5, 5, 2, vocab=9)
    assert runs(mask) == ((1, 2), (2, 5), (1, 2))
