from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_compact import SPEC, clustered

from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.forms.compact import Form, apply
from onespace.forms.plan import Plan, Sample, plan, size_of
from onespace.parts import Part, Parts


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Items that aren't alike enough to be found by a few bits."""
    return Sample.of(clustered(150, noise=0.4), spec=SPEC)


@pytest.fixture(scope="module")
def planned(sample: Sample) -> Plan:
    return plan(sample, budget=200)


def test_every_option_fits_and_is_as_large_as_it_says(sample: Sample, planned: Plan) -> None:
    assert len(planned.options) > 50
    assert max(o.bytes_per_item for o in planned.options) <= 200
    for option in planned.options[:: len(planned.options) // 10]:
        assert apply(sample.documents, option.form, spec=SPEC).bytes_per_item == pytest.approx(option.bytes_per_item)


def test_the_measure_is_what_a_search_finds(sample: Sample, planned: Plan) -> None:
    exact = apply(sample.documents, Form.whole(sample.documents)).search(sample.queries, k=11)
    option = planned.best
    found = apply(sample.documents, option.form, spec=SPEC).search(sample.queries, k=11)
    shares = []
    for own, right, got in zip(sample.own.tolist(), exact, found, strict=True):  # type: ignore[union-attr]
        a, b = ([h.item for h in row if h.item != own][:10] for row in (right, got))
        shares.append(len(set(a) & set(b)) / 10)
    assert option.agreement.mean == pytest.approx(np.mean(shares), abs=1e-6)
    assert option.agreement.low < option.agreement.mean < option.agreement.high


def test_the_best_comes_first_and_more_room_finds_more(sample: Sample, planned: Plan) -> None:
    means = [o.measure.mean for o in planned.options]
    assert means == sorted(means, reverse=True)
    front = planned.front
    assert [o.bytes_per_item for o in front] == sorted(o.bytes_per_item for o in front)
    assert [o.measure.mean for o in front] == sorted({o.measure.mean for o in front})
    assert front[-1].measure == planned.best.measure
    assert planned.whole.agreement.mean == 1
    roomy, tight = plan(sample, budget=3000), plan(sample, budget=20)
    assert roomy.best.measure.mean > planned.best.measure.mean > tight.best.measure.mean
    assert roomy.best.measure.mean > 0.95


def test_widths_are_tried_only_when_the_model_was_trained_for_them(sample: Sample, planned: Plan) -> None:
    assert {o.form.dense.width for o in planned.options if o.form.dense} == {None, 8, 16}
    without = plan(replace(sample, spec=None), budget=200)
    assert {o.form.dense.width for o in without.options if o.form.dense} == {None}


def test_what_is_close_is_said_to_be(sample: Sample, planned: Plan) -> None:
    few = replace(sample, queries=sample.queries[:4], own=sample.own[:4])  # type: ignore[index]
    result = plan(few, budget=200)
    assert len(result.close) > 10
    assert "Too close to call" in result.verdict
    assert "on 4 queries; the smallest of them is" in result.verdict
    assert len(planned.close) < len(result.close)
    assert all(o in planned.options and o is not planned.best for o in planned.close)


def test_known_answers_decide_when_there_are_some() -> None:
    documents, queries = clustered(200), clustered(60, seed=5)
    assert documents.dense is not None
    documents = replace(documents, dense=np.random.default_rng(0).permutation(documents.dense))  # dense misleads
    topics = np.random.default_rng(0).integers(0, 40, 200), np.random.default_rng(5).integers(0, 40, 60)
    answers = topics[1][:, None] == topics[0]
    some = np.flatnonzero(answers.any(1) & (np.arange(60) % 7 > 0))
    sample = Sample(documents, queries[some], answers=answers[some])
    result = plan(sample, budget=400, weights=(9, 0.3, 1))
    assert result.best.recall is not None
    assert result.whole.recall is not None
    assert result.best.recall.mean > result.whole.recall.mean
    assert result.best.form.dense is None
    assert result.best.measure is result.best.recall


def test_items_in_parts_count_once() -> None:
    e = clustered(120)
    parts = Parts.of(np.arange(120) // 2, [Part()] * 120)
    sample = Sample.of(replace(e, parts=parts), spec=SPEC)
    assert (len(sample.queries), sample.documents.items) == (60, 60)
    result = plan(sample, budget=500)
    assert result.documents == 60
    assert result.best.bytes_per_item <= 500


def test_too_little_of_anything_is_refused(sample: Sample) -> None:
    with pytest.raises(InputError, match="20 items and 20 queries; recall@10 needs at least 30"):
        plan(Sample.of(clustered(20)), budget=100)
    with pytest.raises(InputError, match=r"no form fits 0\.5 bytes|no form fits 1 bytes"):
        plan(replace(sample, documents=replace(sample.documents, sparse=None, multi=None), spec=None), budget=1)
    with pytest.raises(InputError, match="leave none of the heads"):
        plan(replace(sample, documents=replace(sample.documents, sparse=None)), budget=99, weights=(0, 1, 0))


def test_sizes_in_words() -> None:
    assert [size_of(x) for x in ("1", "2kb", "1 MiB", "0.5KiB")] == [1, 2000, 2**20, 512]
    for text in ("", "KB", "2 TB", "-1", "0", "0.2"):
        with pytest.raises(InputError, match="isn't a size"):
            size_of(text)


def rows(path: Path, lines: list[dict[str, object]]) -> str:
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return str(path)


def test_a_sample_is_read_with_its_queries(tiny_encoder: Encoder, tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [{"text": f"whale {i}", "id": f"w{i}"} for i in range(5)]
    lines[1]["query"], lines[3]["query"] = "the sea", ["the sea", "lake"]
    lines += [{"texte": "no"}, {"image": "gone.png"}]
    sample = Sample.read(tiny_encoder, [rows(tmp_path / "things.jsonl", lines)])
    assert (len(sample.documents), len(sample.queries)) == (5, 2)
    assert sample.answers is not None
    assert sample.answers.tolist() == [[False, True, False, True, False], [False, False, False, True, False]]
    assert sample.own is None
    assert len(sample.notes) == 2
    assert "things.jsonl:6" in sample.notes[0]
    assert "gone.png" in sample.notes[1] or "things.jsonl:7" in sample.notes[1]


def test_a_sample_without_queries_asks_with_its_own_items(tiny_encoder: Encoder, tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [{"text": f"house {i}"} for i in range(40)]
    sample = Sample.read(tiny_encoder, [rows(tmp_path / "a.jsonl", lines)])
    assert sample.answers is None
    assert sample.own is not None
    np.testing.assert_array_equal(sample.queries.dense, sample.documents.dense[sample.own])  # type: ignore[index]
    assert "stand in for them" in sample.notes[-1]
    prefixed = Encoder(replace(tiny_encoder.spec, query_prefix="sea: "), tiny_encoder.tokenizer, tiny_encoder.engine)
    other = Sample.read(prefixed, [str(tmp_path / "a.jsonl")])
    assert np.abs(other.queries.dense - sample.queries.dense).max() > 0.01  # type: ignore[operator]
