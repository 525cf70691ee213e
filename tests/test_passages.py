from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import tiny_spec, tiny_tokenizer

import onespace
from onespace.embeddings import Embeddings
from onespace.encoder import Encoder
from onespace.engines import Batch, Output
from onespace.errors import InputError, MissingExtra, ModelError
from onespace.passages import Chunking
from onespace.search import rank
from onespace.types import Head, Pair

SHIPPED = Path(onespace.__file__).parent / "assets" / "mini"
PICTURE = np.full((20, 30, 3), 90, np.uint8)
WORDS = ["whale", "sea", "red", "dragon", "house", "lake", "snow", "mountain", "long", "about"]
texts = st.one_of(
    st.lists(st.sampled_from([*WORDS, ",", "\n\n", "  ", "# lake", "鲸", "é", "\ud800"]), max_size=150).map(" ".join),
    st.text(max_size=300),
)
chunkings = st.builds(
    lambda unit, size, overlap, late: Chunking(unit, size, min(overlap, size - 1), late),
    st.sampled_from(["sentence", "markdown", "tokens"]),
    st.integers(1, 38),
    st.integers(0, 20),
    st.booleans(),
)


def total(text: str) -> int:
    return len(tiny_tokenizer().encode(text).ids)


def together(e: Embeddings, item: int, text: str) -> None:
    """The spans of an item rise and leave no gap."""
    assert e.parts is not None
    rows = e.rows(item)
    spans = e.parts.spans[rows]
    assert spans[0, 0] == 0
    assert spans[:, 1].max() == len(text)
    assert (spans[1:, 0] <= spans[:-1, 1]).all()
    assert (np.diff(spans[:, 0]) >= 0).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(texts, min_size=1, max_size=3), st.sampled_from(["", "sea lake "]))
def test_windows_hold_every_token(tiny_encoder: Encoder, several: list[str], prefix: str) -> None:
    model = Encoder(replace(tiny_encoder.spec, document_prefix=prefix), tiny_encoder.tokenizer, tiny_encoder.engine)
    e = model.encode(several, on_loss="chunk", heads="dense")
    assert e.items == len(several)
    for i, text in enumerate(several):
        receipts = [e.receipts[r] for r in e.rows(i)]
        assert all(r.tokens_used <= 40 and r.tokens_dropped == 0 for r in receipts)
        assert sum(r.tokens_used - r.tokens_shared for r in receipts) == total(prefix + text)
        together(e, i, text)


@settings(deadline=None, max_examples=80)
@given(texts, chunkings)
def test_passages_hold_every_character(tiny_encoder: Encoder, text: str, chunking: Chunking) -> None:
    e = tiny_encoder.encode_passages([text], chunking=chunking)
    assert e.items == 1
    together(e, 0, text)
    assert e.dense is not None
    np.testing.assert_allclose(np.linalg.norm(e.dense, axis=1), 1, atol=1e-5)
    receipts = e.receipts
    assert all(r.tokens_used <= 40 and r.tokens_dropped == 0 for r in receipts)
    if chunking.late:
        assert sum(r.tokens_used - r.tokens_shared for r in receipts) == total(text)
    if chunking.unit != "tokens" and chunking.late and e.multi is not None and total(text) > 2:
        assert e.multi.counts.sum() >= total(text) - 2


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 38), st.integers(0, 20))
def test_whole_passages_of_tokens_have_their_size(tiny_encoder: Encoder, n: int, size: int, overlap: int) -> None:
    text = " ".join(["whale"] * n)
    chunking = Chunking("tokens", size, min(overlap, size - 1))
    used = [r.tokens_used - 2 for r in tiny_encoder.encode_passages(text, chunking=chunking, heads="dense").receipts]
    assert used[:-1] == [size] * (len(used) - 1)
    assert 0 < used[-1] <= size
    assert sum(used) - (len(used) - 1) * chunking.overlap == n


def test_a_window_is_encoded_as_its_text_is(tiny_encoder: Encoder) -> None:
    text = " ".join(WORDS[i % 10] for i in range(80))
    e = tiny_encoder.encode([text, "sea"], on_loss="chunk")
    assert e.parts is not None
    assert e.parts.kind == ("window", "window", "window", "whole")
    assert [(r.tokens_used, r.tokens_shared) for r in e.receipts] == [(40, 0), (40, 6), (40, 32), (3, 0)]
    alone = tiny_encoder.encode([text[a:b].strip() for a, b in e.parts.spans[:3]])
    np.testing.assert_allclose(np.asarray(e.dense)[:3], alone.dense, atol=1e-5)
    assert e.sparse is not None
    assert alone.sparse is not None
    np.testing.assert_array_equal(e.sparse[:3].indices, alone.sparse.indices)


def test_the_pictures_of_a_pair_stay_with_its_first_window(tiny_encoder: Encoder) -> None:
    text = " ".join(WORDS[i % 10] for i in range(50))
    e = tiny_encoder.encode([Pair(text, PICTURE), PICTURE], on_loss="chunk")
    assert e.modalities == ("pair", "text", "image")
    assert e.items == 2
    assert sum(r.tokens_used - r.tokens_shared for r in e.receipts) == total(text)
    assert e.parts is not None
    assert e.parts.box(0) == e.parts.box(2) == (0, 0, 30, 20)
    assert e.parts.span(2) is None


def test_late_passages_are_pooled_from_one_reading(tiny_encoder: Encoder) -> None:
    said = ["a whale swims in the sea", "house by the lake", "the red dragon flies"]
    text = "\n\n".join(said)
    chunking = Chunking("sentence", 8, late=True)
    e = tiny_encoder.encode_passages(text, chunking=chunking)
    assert e.parts is not None
    assert e.multi is not None
    assert e.sparse is not None
    assert e.dense is not None
    assert [text[a:b].strip() for a, b in e.parts.spans] == said
    whole = tiny_encoder.encode(text)
    assert whole.multi is not None
    np.testing.assert_allclose(e.multi.values, whole.multi[0][:-1], atol=1e-5)  # all but the closing token
    best: dict[int, float] = {}
    for row in e.sparse.to_dicts():
        best |= {t: max(w, best.get(t, 0)) for t, w in row.items()}
    assert whole.sparse is not None
    assert best == pytest.approx(whole.sparse.to_dicts()[0], abs=1e-5)
    ids = np.array([tiny_tokenizer().encode(text).ids])
    states = tiny_encoder.engine.run(Batch(ids, np.ones_like(ids, bool)), ("states",))["states"][0]
    first = states[1 : 1 + e.multi.counts[0]].mean(0)
    np.testing.assert_allclose(e.dense[0], first / np.linalg.norm(first), atol=1e-5)
    plain = tiny_encoder.encode_passages(text, chunking=replace(chunking, late=False))
    assert plain.dense is not None
    assert np.abs(plain.dense - e.dense).max() > 0.01


def test_long_documents_are_read_late_in_as_many_readings_as_they_need(tiny_encoder: Encoder) -> None:
    text = " ".join(WORDS[i % 10] for i in range(200))
    e = tiny_encoder.encode_passages([text, "", "sea"], chunking=Chunking("tokens", 10, 3, late=True))
    assert e.items == 3
    assert e.multi is not None
    assert set(e.multi.counts[:-2].tolist()) <= {10, 4}
    assert sum(e.receipts[r].tokens_used - e.receipts[r].tokens_shared for r in e.rows(0)) == 202


class Counting:
    """Weighs every token the same."""

    def run(self, batch: Batch, heads: Collection[Output]) -> dict[str, np.ndarray]:
        assert batch.ids is not None
        return {"weights": (batch.ids > 3).astype(np.float32)}


@pytest.mark.parametrize("late", [False, True])
def test_a_word_is_found_with_its_passage(late: bool) -> None:
    filler = "a house by the lake in the sea. " * 40
    text = f"{filler}The red dragon flies. {filler}"
    model = Encoder(tiny_spec(), tiny_tokenizer(), Counting())
    heads: tuple[Head, ...] = ("sparse",)
    e = model.encode_passages([filler, text], chunking=Chunking("sentence", 12, late=late), heads=heads)
    ((hit, *_),) = rank(model.encode("dragon", heads=heads), e, metric="lexical")
    assert hit.item == 1
    assert hit.span is not None
    assert "dragon" in text[slice(*hit.span)]
    assert hit.where == f"characters {hit.span[0]} to {hit.span[1]}"


def test_nothing_gives_no_rows(tiny_encoder: Encoder) -> None:
    for e in (tiny_encoder.encode_passages([]), tiny_encoder.encode([], on_loss="chunk")):
        assert (len(e), e.items) == (0, 0)
        assert e.parts is not None


def test_what_cannot_be_split_is_refused(tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="size=39 is more than the 38 tokens"):
        tiny_encoder.encode_passages("a", chunking=Chunking("tokens", 39))
    dual = Encoder(tiny_spec(fused=False, trained=("text/dense",)), tiny_encoder.tokenizer, tiny_encoder.engine)
    with pytest.raises(InputError, match="late=False"):
        dual.encode_passages("a", chunking=Chunking("tokens", 9, late=True))

    class Stateless:
        def run(self, batch: object, heads: object) -> dict[str, np.ndarray]:
            return {}

    older = Encoder(tiny_spec(), tiny_encoder.tokenizer, Stateless())
    with pytest.raises(ModelError, match="without token states"):
        older.encode_passages("a", chunking=Chunking("tokens", 9, late=True), heads="dense")
    crowded = replace(tiny_encoder.spec, document_prefix="sea " * 40)
    with pytest.raises(InputError, match=r"the prefix 'sea sea.*leaves no room in 40 tokens"):
        Encoder(crowded, tiny_encoder.tokenizer, tiny_encoder.engine).encode("a", on_loss="chunk")
    monkeypatch.setitem(sys.modules, "semantic_text_splitter", None)
    with pytest.raises(MissingExtra, match=r"pip install 'onespace\[text\]'"):
        tiny_encoder.encode_passages("a whale", chunking=Chunking("sentence", 9))
    assert len(tiny_encoder.encode_passages("a whale", chunking=Chunking("tokens", 9))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": "page"}, "unit='page'.*sentence, markdown, tokens"),
        ({"size": 0}, "size=0"),
        ({"size": 5, "overlap": 5}, "overlap=5"),
    ],
)
def test_a_chunking_that_makes_no_sense_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Chunking(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("at", [200, 3000, 7500])
def test_the_shipped_model_finds_a_fact_with_its_passage(at: int, late: bool) -> None:
    model = onespace.load()
    filler = "The meeting was moved to another day, and nobody could say why. "
    each = len(model.tokenizer.encode(filler).ids) - 2
    fact = "A red dragon and a whale. "
    text = filler * (at // each) + fact + filler * ((8100 - at) // each)
    assert 7900 < len(model.tokenizer.encode(text).ids) <= 8192
    documents = model.encode_passages([filler * 20, text], chunking=Chunking("sentence", 40, late=late))
    for metric in ("lexical",) if late else ("lexical", "blend"):  # its dense head never read sentences
        ((hit, *_),) = rank(model.encode("a whale", role="query"), documents, metric=metric)  # type: ignore[arg-type]
        assert hit.item == 1, metric
        assert hit.span is not None
        assert "whale" in text[slice(*hit.span)], metric
