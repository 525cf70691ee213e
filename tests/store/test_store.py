"""One suite for every home: what a store promises doesn't depend on where it lives."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from store_cases import IDS, ITEMS, METADATA, fill
from tiny_model import tiny_fused, tiny_spec

import onespace
from onespace.encoder import Encoder
from onespace.errors import InputError, PassportError
from onespace.store import Reference, SearchOptions

ENGINE = SearchOptions(exact_below=0)
"""Asks the engine, however few items there are."""
COSINE = SearchOptions(exact_below=0, metric="cosine")


def expected(model: Encoder, query: object, items: list, metric: str = "blend") -> np.ndarray:  # type: ignore[type-arg]
    asked, found = model.encode([query], role="query"), model.encode(items)  # type: ignore[list-item]
    return onespace.similarity(asked, found, metric=metric)[0]  # type: ignore[arg-type]


def test_search_gives_what_similarity_gives(home, open_store, tiny_encoder):
    store = fill(open_store(home))
    for query, metric in product(["whale sea", ITEMS[4], ITEMS[5]], ["blend", "cosine", "lexical", "maxsim"]):
        scores = expected(tiny_encoder, query, ITEMS, metric)
        found = store.search(query, k=6, options=SearchOptions(metric=metric, exact_below=0))
        assert {hit.id for hit in found} <= set(IDS)
        assert metric == "lexical" or len(found) == 6
        assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
        for hit in found:
            assert hit.score == pytest.approx(scores[IDS.index(hit.id)], abs=1e-3)
        positive = {IDS[i] for i in np.flatnonzero(scores > 1e-6)}
        assert metric != "lexical" or positive == {hit.id for hit in found if hit.score > 0}


def test_the_engine_finds_what_exact_search_finds(home, open_store):
    store = fill(open_store(home))
    queries = ["whale", "red mountain", ITEMS[4]]
    exact = store.search(queries, k=4, options=SearchOptions(exact=True))
    asked = store.search(queries, k=4, options=ENGINE)
    assert [[h.id for h in hits] for hits in asked] == [[h.id for h in hits] for hits in exact]
    pages = store.search(queries, k=2, options=ENGINE), store.search(queries, k=2, offset=2, options=ENGINE)
    assert [[h.id for h in a + b] for a, b in zip(*pages, strict=True)] == [[h.id for h in hits] for hits in exact]


FILTERS = [
    ({"kind": "text"}, {"whale", "dragon", "house"}),
    ({"kind": ["image", "te\"xt' --"]}, {"grey", 4}),
    ({"year": 2021}, {"dragon"}),
    ({"year": 2021.0}, {"dragon"}),
    ({"year": {"gte": 2021}}, {"dragon", "house", 4}),
    ({"year": {"gt": 2019, "lt": 2022}}, {"dragon"}),
    ({"year": [1990, 2019]}, {"whale", 4}),
    ({"tags": "animal"}, {"whale", "dragon"}),
    ({"tags": ["sea", "other"]}, {"whale"}),
    ({"tags": "animal", "year": {"lte": 2019}}, {"whale"}),
    ({"day": {"gte": "2026-01-10"}}, {"dragon"}),
    ({"fine": True}, {"house"}),
    ({"fine": "true"}, {"grey"}),
    ({"a.b": 1}, {"grey"}),
    ({"year": "2021"}, set()),
    ({"nothing": 1}, set()),
    ({}, set(IDS)),
]


def test_filters(home, open_store):
    store = fill(open_store(home))
    for filter, ids in FILTERS:
        assert store.count(filter) == len(ids), filter
        assert {item.id for item in store.iterate(filter)} == ids, filter
        for options in (ENGINE, SearchOptions()):
            assert {hit.id for hit in store.search("red whale", filter=filter, options=options)} == ids, filter


def test_a_filter_that_few_fit_is_answered_in_full_by_the_engine(home, open_store):
    store = open_store(home)
    store.add([f"whale {i}" for i in range(60)], ids=list(range(60)), metadata=[{"n": i} for i in range(60)])
    found = store.search("sea", k=3, filter={"n": {"gte": 57}}, options=SearchOptions(exact_below=0, fetch=3))
    assert {hit.id for hit in found} == {57, 58, 59}
    texts = store.search("sea", k=60, options=SearchOptions(exact_below=0, fetch=1))
    assert len({hit.id for hit in texts}) == 60


def test_adding_again_replaces_and_deleting_removes(home, open_store, tiny_encoder):
    store = fill(open_store(home))
    store.add(["the snow mountain"], ids=["whale"], metadata=[{"kind": "new"}])
    assert len(store) == 6
    assert store.get(["whale", "none", 4])[1] is None
    (whale,) = store.get(["whale"])
    assert whale is not None
    assert (whale.reference.text, whale.metadata) == ("the snow mountain", {"kind": "new"})
    assert store.count({"tags": "sea"}) == 0
    best = store.search("the snow mountain", k=1, options=COSINE)[0]
    assert best.id == "whale"
    assert store.delete(["whale", "none"]) == 1
    assert store.delete(4) == 1
    assert len(store) == 4
    assert "whale" not in {hit.id for hit in store.search("the snow mountain", options=ENGINE)}
    assert store._keeper is not None
    assert store._keeper.engine.count() == 4


def test_what_was_kept_is_there_after_opening_again(home, open_store, tiny_encoder):
    store = fill(open_store(home))
    before = store.search("red whale", k=6, options=ENGINE)
    store.delete("house")
    store.close()
    again = open_store(home)
    assert [item.id for item in again.iterate()] == [id for id in IDS if id != "house"]
    assert [item.metadata for item in again.iterate()] == [m for m in METADATA if m is not METADATA[2]]
    after = again.search("red whale", k=6, options=ENGINE)
    assert [(h.id, h.score) for h in after] == [(h.id, h.score) for h in before if h.id != "house"]
    kept, fresh = again.vectors(["grey", "pair"]), tiny_encoder.encode([ITEMS[4], ITEMS[5]])
    assert np.array_equal(kept.dense, fresh.dense)
    assert kept.sparse.to_dicts() == fresh.sparse.to_dicts()
    assert kept.multi.values == pytest.approx(fresh.multi.values, abs=1e-3)
    assert np.array_equal(kept.multi.boxes(0), fresh.multi.boxes(0), equal_nan=True)


def test_compacting_changes_no_answer(home, open_store):
    store = fill(open_store(home))
    before = store.search("red whale", options=ENGINE)
    store.compact()
    assert [(h.id, h.score) for h in store.search("red whale", options=ENGINE)] == [(h.id, h.score) for h in before]
    store.add(["a mountain"], ids=["late"])
    assert store.search("a mountain", k=1, options=COSINE)[0].id == "late"


def test_an_explained_hit_adds_up(home, open_store):
    store = fill(open_store(home))
    for hit in store.search("red house", k=6, explain=True, options=ENGINE):
        assert hit.why is not None
        assert sum(part.score for part in hit.why.parts) == pytest.approx(hit.score, abs=1e-5)
        assert sum(hit.parts.values()) == pytest.approx(hit.score, abs=1e-5)
    assert store.search("red house", k=1)[0].parts == {}


def test_parts_are_found_by_themselves(home, open_store, tiny_encoder):
    store = open_store(home, on_loss="chunk")
    items = ["house by the lake " * 30 + "the red dragon flies", "a whale"]
    store.add(items, ids=["long", "short"])
    assert len(store) == 2
    asked, parts = tiny_encoder.encode(["the red dragon"]), tiny_encoder.encode(items, on_loss="chunk")
    (ranked,) = onespace.rank(asked, parts, metric="cosine")
    hits = store.search("the red dragon", k=5, options=COSINE)
    assert [(h.id, h.span) for h in hits] == [(["long", "short"][r.item], r.span) for r in ranked]
    long = next(hit for hit in hits if hit.id == "long")
    assert long.text == items[0][slice(*long.span)]
    assert len(long.text) < len(items[0])
    assert long.where.startswith("characters")


def test_rrf_adds_reciprocal_ranks(open_store):
    store = fill(open_store())
    options = SearchOptions(fusion="rrf", weights=(1, 1, 0))
    by_head = [store.search("sea whale", options=SearchOptions(metric=m)) for m in ("cosine", "lexical")]
    told = dict.fromkeys(IDS, 0.0)
    for hits, least in zip(by_head, (-2, 0), strict=True):
        for rank, hit in enumerate((h for h in hits if h.score > least), 1):
            told[hit.id] += 1 / (60 + rank)
    for hit in store.search("sea whale", options=options):
        assert hit.score == pytest.approx(told[hit.id])


def test_fair_scores_need_a_calibration_and_take_one(open_store, tiny_encoder):
    store = fill(open_store())
    with pytest.raises(InputError, match="no calibration comes with 'tiny'"):
        store.search("whale", options=SearchOptions(fair=True))
    sample = [*ITEMS, "another whale", ITEMS[4][:10], onespace.Pair("sea", ITEMS[4])]
    fair = onespace.Calibration.measure(tiny_encoder, sample)
    hits = store.search("red house", k=6, explain=True, options=SearchOptions(fair=fair))
    scores = onespace.similarity(
        tiny_encoder.encode(["red house"], role="query"), tiny_encoder.encode(ITEMS), metric="blend", fair=fair
    )[0]
    for hit in hits:
        assert hit.score == pytest.approx(scores[IDS.index(hit.id)], rel=1e-2, abs=5e-2)
        assert sum(hit.parts.values()) == pytest.approx(hit.score, abs=1e-4)


def test_ids_are_by_default_the_content(open_store, tmp_path, pictures):
    path = tmp_path / "a.png"
    pictures[0].save(path)
    store = open_store()
    ids = store.add(["a whale", path, "a whale", onespace.Image(path)])
    assert ids[0] == ids[2]
    assert ids[1] == ids[3]
    assert len(store) == 2
    (hit,) = store.search(path, k=1, options=COSINE)
    assert hit.path == str(path)
    assert hit.reference.thumbnail is not None
    assert len(hit.reference.thumbnail) <= 4096
    assert hit.reference.thumbnail[:3] == b"\xff\xd8\xff"


def test_encoded_elsewhere(open_store, tiny_encoder):
    store = open_store()
    references = [Reference("text", "a whale"), Reference("text", "a house")]
    e = tiny_encoder.encode(["a whale", "a house"])
    ids = store.add_encoded(e, references=references, metadata=[{"n": 1}, {"n": 2}])
    assert store.search("a house", k=1, options=COSINE)[0].id == ids[1]
    assert store.add(["a whale"]) == ids[:1]
    with pytest.raises(InputError, match="1 references to 2 items"):
        store.add_encoded(e, references=references[:1])
    with pytest.raises(InputError, match="Encode them anew"):
        store.add_encoded(onespace.Embeddings((), model="other"), references=[])


def test_only_the_heads_asked_for_are_kept(open_store):
    store = fill(open_store(heads=("dense",)))
    assert store.vectors(["whale"]).heads == ("dense",)
    assert len(store.search("whale", options=ENGINE)) == 6
    with pytest.raises(InputError, match="metric='maxsim' needs multi; this store keeps dense"):
        store.search("whale", options=SearchOptions(metric="maxsim"))


def test_an_empty_store_and_empty_calls(home, open_store):
    store = open_store(home)
    assert store.search("whale") == []
    assert store.search([]) == []
    assert store.add([]) == []
    assert (len(store), list(store.iterate()), store.get([]), store.delete([])) == (0, [], [], 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"ids": ["a"]}, "2 items and 1 ids"),
        ({"ids": "ab"}, "2 items and 1 ids"),
        ({"ids": ["a", "a"]}, "items 0 and 1 both have the id 'a'"),
        ({"ids": ["a", 1.5]}, "item 1: the id is float 1.5"),
        ({"metadata": {"kind": "x"}}, "2 items and one dict"),
        ({"metadata": [{}]}, "2 items and 1 dicts"),
        ({"metadata": [{}, {"a": {"b": 1}}]}, "item 1: metadata 'a' is dict"),
        ({"metadata": [{}, {"a": float("nan")}]}, "item 1: metadata 'a' is nan"),
        ({"metadata": [{}, {"a": 2**60}]}, "beyond 2\\*\\*53"),
        ({"metadata": [{}, {'a"b': 1}]}, "can't name metadata"),
        ({"metadata": [{}, "x"]}, "item 1: metadata is str"),
    ],
)
def test_what_cannot_be_added(open_store, arguments, said):
    store = open_store()
    with pytest.raises(InputError, match=said):
        store.add(["a", "b"], **arguments)
    assert len(store) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"k": 0}, "k=0 must be"),
        ({"offset": -1}, "offset=-1 must be"),
        ({"filter": "kind"}, "filter is str"),
        ({"filter": {"a": {"above": 1}}}, "filter 'a': unknown above"),
        ({"filter": {"a": {}}}, "there is no bound"),
        ({"filter": {"a": {"gte": 1, "lt": "x"}}}, "all numbers or all texts"),
        ({"filter": {"a": {"gte": True}}}, "all numbers or all texts"),
        ({"filter": {"a": []}}, "an empty list"),
        ({"filter": {"a": None}}, "filter 'a' is NoneType"),
        ({"options": SearchOptions(metric="euclidean")}, "a store is searched by"),
        ({"options": SearchOptions(fusion="best")}, "fusion='best'"),
        ({"options": SearchOptions(fusion="rrf"), "explain": True}, "neither explain nor fair"),
        ({"options": SearchOptions(weights=(0, 0, 0))}, "three numbers"),
        ({"options": SearchOptions(weights=(1, 1))}, "three numbers"),
    ],
)
def test_what_cannot_be_searched(open_store, arguments, said):
    store = fill(open_store())
    with pytest.raises(InputError, match=said):
        store.search("whale", **arguments)


def test_a_broken_item_is_named_by_its_position(open_store, tmp_path):
    store = open_store()
    with pytest.raises(InputError, match="item 1"):
        store.add(["a", Path(tmp_path / "none.png")])
    assert len(store) == 0


def test_queries_that_were_encoded_elsewhere_find_the_same(home, open_store, tiny_encoder):
    store = fill(open_store(home))
    asked = tiny_encoder.encode(["whale", ITEMS[4]], role="query")
    found = store.search_encoded(asked, k=3, filter={"year": {"gte": 2000}}, explain=True)
    want = store.search(["whale", ITEMS[4]], k=3, filter={"year": {"gte": 2000}})
    assert [[hit.id for hit in hits] for hits in found] == [[hit.id for hit in hits] for hits in want]
    assert all(hit.why is not None for hits in found for hit in hits)


def test_walking_goes_on_behind_a_number(home, open_store):
    store = fill(open_store(home))
    everything = list(store.iterate())
    assert list(store.iterate(after=everything[1].number)) == everything[2:]
    assert list(store.iterate(after=everything[-1].number)) == []


def test_a_model_is_adopted_only_if_it_makes_the_same_vectors(open_store, tiny_encoder):
    store = fill(open_store())
    again = tiny_fused(tiny_spec())
    store.adopt(again)
    assert store.model is again
    with pytest.raises(PassportError, match="doesn't make"):
        store.adopt(tiny_fused(tiny_spec(query_prefix="find: ")))
    assert store.model is again
    assert store.search("whale", k=1)
