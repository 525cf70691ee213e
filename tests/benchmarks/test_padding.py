"""What padding costs by each way to make batches, and the texts that it is told of."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.padding import batch_bytes, free_bytes, in_order, padded
from benchmarks.workload import BGE_M3, lengths, mixed


def test_batches_are_as_long_as_their_longest() -> None:
    assert padded([3, 3, 3, 3], batch=2) == 1
    assert padded([8, 1, 1, 8], batch=2) == 1
    assert padded([8, 1, 1, 8], batch=4) == pytest.approx(32 / 18)
    assert in_order([8, 1, 1, 8], batch=2) == pytest.approx(32 / 18)


def test_what_runs_twice_counts_twice() -> None:
    assert padded([8, 8, 1, 1], batch=2, probe=True) == pytest.approx((16 + 18) / 18)


def test_another_order_is_worse_than_that_of_the_lengths() -> None:
    assert padded([8, 1, 8, 1], batch=2, order=[4, 3, 2, 1]) == pytest.approx(32 / 18)


def test_memory_grows_with_the_square_of_the_longest() -> None:
    assert batch_bytes(32, 8192, BGE_M3) > 2 * batch_bytes(32, 4096, BGE_M3)
    assert batch_bytes(32, 8192, BGE_M3) == 2 * batch_bytes(16, 8192, BGE_M3)
    assert free_bytes() > 0


def test_two_in_a_hundred_texts_are_long() -> None:
    sizes, short = mixed(400), lengths(400)
    assert (sizes > 512).sum() == 8
    assert sizes[sizes > 512].min() >= 1800
    assert sizes.max() <= 2200
    assert np.array_equal(sizes[sizes <= 512], short[sizes <= 512])
    assert (short.min(), short.max()) == (5, 512)
    assert (mixed(10, long=1000) > 512).sum() == 1
