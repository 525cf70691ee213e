"""Batches are shared fairly, bounded, and one request's fault is its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass, field

import numpy as np
import pytest

from onespace.encoder import Encoder
from onespace.errors import ImageError
from onespace.serve.batcher import Ask, Batcher, Job, Load
from onespace.serve.metrics import Metrics
from onespace.serve.options import Limits
from onespace.serve.refusals import Refused

SOON = 60.0
ALL = Ask()


@dataclass
class Held:
    """An encoder that waits until it may go on, and remembers what it was given."""

    inner: Encoder
    go: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    batches: list[list[object]] = field(default_factory=list)

    def encode(self, items, **options):
        self.batches.append(list(items))
        self.entered.set()
        assert self.go.wait(20)
        return self.inner.encode(items, **options)


@pytest.fixture
def held(tiny_encoder) -> Held:
    return Held(tiny_encoder)


@pytest.fixture
def made() -> Iterator[list[Batcher]]:
    several: list[Batcher] = []
    yield several
    for batcher in several:
        batcher.encoder.go.set()
        batcher.close()


def queue(held: Held, made: list[Batcher], **limits: float) -> Batcher:
    batcher = Batcher(held, Limits(**limits), Metrics())  # type: ignore[arg-type]
    made.append(batcher)
    return batcher


def submit(batcher: Batcher, *items: object, ask: Ask = ALL, weight: int = 1, seconds: float = SOON) -> Job:
    loads = [Load(weight, 0)] * len(items)
    return batcher.submit(items, loads, ask, deadline=time.monotonic() + seconds)  # type: ignore[arg-type]


def occupy(batcher: Batcher, held: Held) -> Job:
    job = submit(batcher, "sea")
    assert held.entered.wait(20)
    return job


def test_what_waits_goes_together_and_each_gets_its_own(held, made, tiny_encoder):
    batcher = queue(held, made)
    first = occupy(batcher, held)
    jobs = [submit(batcher, "a whale", "house"), submit(batcher, "lake"), submit(batcher, "sea", ask=Ask(("dense",)))]
    held.go.set()
    wait([job.future for job in (first, *jobs)], timeout=20)
    assert held.batches == [["sea"], ["a whale", "house", "lake"], ["sea"]]
    np.testing.assert_allclose(
        jobs[0].future.result().dense, tiny_encoder.encode(["a whale", "house"]).dense, atol=1e-6
    )
    np.testing.assert_allclose(jobs[1].future.result().dense, tiny_encoder.encode(["lake"]).dense, atol=1e-6)
    assert jobs[2].future.result().heads == ("dense",)


def test_a_long_request_does_not_hold_up_the_short_ones(held, made):
    batcher = queue(held, made, batch_tokens=4)
    first = occupy(batcher, held)
    long, short = submit(batcher, *["sea"] * 10), submit(batcher, "lake")
    held.go.set()
    wait([first.future, long.future, short.future], timeout=20)
    assert held.batches[1] == ["sea", "sea", "sea", "lake"]
    assert [len(batch) for batch in held.batches[2:]] == [4, 3]
    assert len(long.future.result()) == 10


def test_an_item_larger_than_a_batch_goes_alone(held, made):
    batcher = queue(held, made, batch_tokens=4)
    occupy(batcher, held)
    big, small = submit(batcher, "sea", "lake", weight=9), submit(batcher, "house")
    held.go.set()
    wait([big.future, small.future], timeout=20)
    assert held.batches[1:] == [["sea"], ["lake"], ["house"]]


def test_beyond_the_queue_it_is_429_with_a_time_and_beyond_reason_413(held, made):
    batcher = queue(held, made, queue_tokens=10)
    occupy(batcher, held)
    kept = submit(batcher, "sea", weight=8)
    with pytest.raises(Refused, match="queue is full") as full:
        submit(batcher, "sea", weight=3)
    assert full.value.refusal.status == 429
    assert full.value.refusal.retry_after >= 1
    with pytest.raises(Refused, match="at most 10") as large:
        submit(batcher, "sea", weight=11)
    assert large.value.refusal.status == 413
    held.go.set()
    kept.future.result(20)
    assert len(submit(batcher, "sea", weight=10).future.result(20)) == 1  # there is room again


def test_a_deadline_that_passes_while_waiting_gives_up_the_place(held, made):
    batcher = queue(held, made, queue_tokens=10)
    occupy(batcher, held)
    late, cancelled = submit(batcher, "sea", weight=5, seconds=0.01), submit(batcher, "lake", weight=5)
    cancelled.future.cancel()
    time.sleep(0.05)
    held.go.set()
    with pytest.raises(Refused, match="deadline") as told:
        late.future.result(20)
    assert told.value.refusal.status == 429
    assert len(submit(batcher, "house", weight=10).future.result(20)) == 1
    assert held.batches == [["sea"], ["house"]]


def test_one_requests_fault_is_not_anothers(held, made):
    batcher = queue(held, made)
    occupy(batcher, held)
    bad, good = submit(batcher, b"no picture", "a"), submit(batcher, "sea", "lake")
    held.go.set()
    assert len(good.future.result(20)) == 2
    with pytest.raises(ImageError, match=r"^item 0 "):
        bad.future.result(20)
    assert [len(batch) for batch in held.batches] == [1, 4, 2, 2]


def test_a_fault_is_told_by_the_number_in_its_own_request(held, made):
    batcher = queue(held, made, batch_tokens=3)
    occupy(batcher, held)
    bad = submit(batcher, "a", "b", "c", "d", b"no picture", "e")
    held.go.set()
    with pytest.raises(ImageError, match=r"^item 4 "):
        bad.future.result(20)


def test_requests_stay_with_the_model_that_they_came_to(held, made, tiny_encoder):
    batcher = queue(held, made)
    occupy(batcher, held)
    before = submit(batcher, "lake")
    other = Held(tiny_encoder)
    other.go.set()
    batcher.encoder = other  # type: ignore[assignment]
    after = submit(batcher, "house")
    held.go.set()
    wait([before.future, after.future], timeout=20)
    assert held.batches == [["sea"], ["lake"]]
    assert other.batches == [["house"]]


def test_closing_finishes_what_was_accepted_and_takes_no_more(held, made):
    batcher = queue(held, made)
    jobs = [occupy(batcher, held), submit(batcher, "lake"), submit(batcher, "house", ask=Ask(("dense",)))]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    time.sleep(0.05)
    with pytest.raises(Refused, match="stopping"):
        submit(batcher, "late")
    assert not any(job.future.done() for job in jobs)
    held.go.set()
    closing.join(20)
    assert all(job.future.done() and not job.future.exception() for job in jobs)


def test_nothing_is_encoded_for_an_empty_request_and_calls_go_between(held, made, tiny_encoder):
    batcher = queue(held, made)
    held.go.set()
    assert len(submit(batcher).future.result(5)) == 0
    ran: list[int] = []
    batcher.call(lambda: ran.append(1)).result(5)
    assert ran == [1]
    with pytest.raises(ZeroDivisionError):
        batcher.call(lambda: ran.append(1 // 0)).result(5)
    assert len(submit(batcher, "sea").future.result(5)) == 1
