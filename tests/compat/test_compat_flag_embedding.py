"""The drop-in for BGE-M3 against the original's own numbers, and where the original fails."""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onespace.compat import flag_embedding
from onespace.compat.flag_embedding import BGEM3FlagModel, Vectors
from onespace.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden" / "bge-m3-tiny"
FOLDER = GOLDEN / "model" / "bge-m3"
META: dict[str, Any] = json.loads((GOLDEN / "meta.json").read_text("utf-8"))
TEXTS: list[str] = META["texts"]
SHORT = TEXTS[:4]


@pytest.fixture(scope="module")
def model() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(FOLDER), use_fp16=False)


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "expected.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def out(model: BGEM3FlagModel) -> Vectors:
    """All the texts, of which the last is longer than the default length, with all heads."""
    return model.encode(TEXTS, max_length=8192, return_dense=True, return_sparse=True, return_colbert_vecs=True)


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=0)


# -- the original's numbers --------------------------------------------------------------------------------------------


def test_dense(out: Vectors, expected: dict[str, np.ndarray]) -> None:
    assert isinstance(out["dense_vecs"], np.ndarray)
    assert out["dense_vecs"].dtype == np.float32
    same(out["dense_vecs"], expected["dense"])


def test_colbert(out: Vectors, expected: dict[str, np.ndarray]) -> None:
    assert len(out["colbert_vecs"]) == len(TEXTS)
    for i, rows in enumerate(out["colbert_vecs"]):
        same(rows, expected[f"colbert/{i}"])


def test_lexical_weights(out: Vectors) -> None:
    for found, wanted in zip(out["lexical_weights"], META["lexical_weights"], strict=True):
        assert found.keys() == wanted.keys()
        same([found[key] for key in wanted], [*wanted.values()])
        assert all(type(key) is str and type(value) is np.float32 for key, value in found.items())
    assert out["lexical_weights"][0].copy()["77777"] == 0


def test_the_weights_stand_in_the_order_of_the_text(model: BGEM3FlagModel, out: Vectors) -> None:
    assert list(out["lexical_weights"][0]) == list(META["lexical_weights"][0])
    assert list(model.convert_id_to_token(out["lexical_weights"][0])) == [
        "A",
        "red",
        "car",
        "be",
        "old",
        "harbour",
        "l",
    ]


def test_one_text_comes_back_unbatched(model: BGEM3FlagModel, expected: dict[str, np.ndarray]) -> None:
    one = model.encode(TEXTS[0], return_sparse=True, return_colbert_vecs=True)
    same(one["dense_vecs"], expected["single/dense"])
    same(one["colbert_vecs"], expected["single/colbert"])
    assert one["lexical_weights"].keys() == META["lexical_weights"][0].keys()


def test_what_is_not_asked_for_is_none(model: BGEM3FlagModel) -> None:
    assert model.encode(TEXTS[0])["lexical_weights"] is None
    only = model.encode(SHORT, return_dense=False, return_colbert_vecs=True)
    assert only["dense_vecs"] is None
    assert only["lexical_weights"] is None
    assert len(only["colbert_vecs"]) == 4


def test_max_length(model: BGEM3FlagModel, expected: dict[str, np.ndarray], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        same(model.encode(TEXTS, max_length=16)["dense_vecs"], expected["dense_maxlen16"])
    (record,) = caplog.records
    assert record.getMessage() == "17 x text cut; the first is text 1: 16 of its 29 tokens."


def test_tokens(model: BGEM3FlagModel, out: Vectors) -> None:
    found = model.convert_id_to_token(out["lexical_weights"])
    assert isinstance(found, list)
    assert len(found) == len(TEXTS)
    wanted = META["convert_id_to_token_0"]
    for form in (found[0], model.convert_id_to_token(out["lexical_weights"][:1])):
        assert isinstance(form, dict)
        assert form.keys() == wanted.keys()
        same([form[key] for key in wanted], [*wanted.values()])


@pytest.mark.parametrize(("name", "weights"), [("default", None), ("w_0.4_0.2_0.4", [0.4, 0.2, 0.4])])
def test_scores_of_pairs(model, expected, name: str, weights: list[float] | None) -> None:
    scores = model.compute_score(META["pairs"], max_passage_length=128, weights_for_different_modes=weights)
    assert list(scores) == ["colbert", "sparse", "dense", "sparse+dense", "colbert+sparse+dense"]
    for key, values in scores.items():
        assert all(type(value) is float for value in values)
        same(values, expected[f"score/{name}/{key}"])


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_scores_of_one_pair_are_numbers(model: BGEM3FlagModel, expected, kind: type) -> None:
    for key, value in model.compute_score(kind(META["pairs"][0])).items():
        assert type(value) is float
        same(value, expected[f"score/default/{key}"][0])


def test_lexical_matching(model: BGEM3FlagModel, out: Vectors, expected: dict[str, np.ndarray]) -> None:
    rows = out["lexical_weights"][:6]
    matrix = model.compute_lexical_matching_score(rows, rows)
    same(matrix, expected["lexical_matrix"])
    same(model.compute_lexical_matching_score(rows[0], rows[2]), expected["lexical_matrix"][0, 2])
    assert isinstance(matrix, np.ndarray)
    assert np.shape(model.compute_lexical_matching_score(rows, [])) == (6, 0)


def test_colbert_score(model: BGEM3FlagModel, out: Vectors, expected: dict[str, np.ndarray]) -> None:
    score = model.colbert_score(out["colbert_vecs"][0], out["colbert_vecs"][2])
    assert isinstance(score, torch.Tensor)
    same(score.item(), expected["colbert_pair_0_2"])


# -- the rest of its behaviour -----------------------------------------------------------------------------------------


def test_queries_and_passages_have_lengths_and_instructions_of_their_own(expected: dict[str, np.ndarray]) -> None:
    model = BGEM3FlagModel(
        FOLDER,
        query_max_length=16,
        passage_max_length=8192,
        query_instruction_for_retrieval="Find: ",
        passage_instruction_for_retrieval="text",
        passage_instruction_format="{}: {}",
    )
    plain = BGEM3FlagModel(FOLDER, query_max_length=16, passage_max_length=8192)
    same(plain.encode_queries(TEXTS)["dense_vecs"], expected["dense_maxlen16"])
    same(plain.encode_corpus(TEXTS)["dense_vecs"], expected["dense"])
    for one in ("red", ["red", "car"]):
        several = [one] if isinstance(one, str) else one
        found = model.encode_queries(one)["dense_vecs"], model.encode_corpus(one)["dense_vecs"]
        for vectors, prefix in zip(found, ("Find: ", "text: "), strict=True):
            wanted = plain.encode([prefix + text for text in several])["dense_vecs"]
            assert wanted is not None
            same(vectors, wanted[0] if isinstance(one, str) else wanted)


def test_the_constructor_says_what_is_returned() -> None:
    model = BGEM3FlagModel(FOLDER, return_dense=False, return_sparse=True, return_colbert_vecs=True)
    found = model.encode_corpus(SHORT)
    assert found["dense_vecs"] is None
    assert [len(found["lexical_weights"]), len(found["colbert_vecs"])] == [4, 4]


def test_an_empty_list_gives_nothing(model: BGEM3FlagModel) -> None:
    found = model.encode([], return_sparse=True, return_colbert_vecs=True)
    assert found["dense_vecs"] is not None
    assert found["dense_vecs"].shape == (0, 96)
    assert found["lexical_weights"] == found["colbert_vecs"] == []
    assert model.compute_score([])["colbert+sparse+dense"] == []


def test_longer_than_the_model_is_no_error(model: BGEM3FlagModel) -> None:
    long = "bridge " * 9000
    assert model._longest(9000) == 8192
    assert model.encode(long, max_length=40, return_colbert_vecs=True)["colbert_vecs"].shape == (39, 96)


def test_the_size_of_a_batch_changes_nothing(model: BGEM3FlagModel, out: Vectors) -> None:
    assert out["dense_vecs"] is not None
    same(model.encode(SHORT, batch_size=1)["dense_vecs"], out["dense_vecs"][:4])


def test_without_normalisation(model: BGEM3FlagModel) -> None:
    raw = BGEM3FlagModel(FOLDER, normalize_embeddings=False).encode(SHORT, return_colbert_vecs=True)
    unit = model.encode(SHORT, return_colbert_vecs=True)
    for rows, wanted in [(raw["dense_vecs"], unit["dense_vecs"]), (raw["colbert_vecs"][0], unit["colbert_vecs"][0])]:
        assert rows is not None
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        assert abs(lengths - 1).min() > 0.01
        same(rows / lengths, wanted)


@pytest.mark.parametrize("normalised", [True, False])
def test_fewer_dimensions(normalised: bool) -> None:
    cut = BGEM3FlagModel(FOLDER, normalized := normalised, truncate_dim=32).encode(SHORT, return_colbert_vecs=True)
    whole = BGEM3FlagModel(FOLDER, normalized).encode(SHORT, return_colbert_vecs=True)
    for rows, full in [(cut["dense_vecs"], whole["dense_vecs"]), (cut["colbert_vecs"][2], whole["colbert_vecs"][2])]:
        assert rows is not None
        assert full is not None
        assert rows.shape[1] == 32
        length = np.linalg.norm(full[:, :32], axis=1, keepdims=True) if normalised else 1
        same(rows, full[:, :32] / length)


def test_weights_of_which_some_are_zero(model: BGEM3FlagModel) -> None:
    pair = ("a red car", "a red house")
    only = model.compute_score(pair, weights_for_different_modes=[0, 0, 2])
    assert only["colbert+sparse+dense"] == pytest.approx(only["colbert"])
    assert math.isnan(only["sparse+dense"])


@pytest.mark.parametrize(
    ("devices", "device"), [("cpu", "cpu"), ("cuda:1", "cuda:1"), (1, "cuda:1"), (["cpu"], "cpu"), ([2], "cuda:2")]
)
def test_devices(devices: Any, device: str) -> None:
    assert flag_embedding._device(devices) == device


def test_of_several_devices_the_first_is_used_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert flag_embedding._device(["cpu", "cuda:0"]) == "cpu"
        BGEM3FlagModel(FOLDER, cache_dir="/elsewhere")
    assert ["only 'cpu' is used" in caplog.text, "HF_HOME" in caplog.text] == [True, True]


# -- errors ------------------------------------------------------------------------------------------------------------


def test_a_missing_head_is_left_out_and_never_made_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "bge-m3", ignore=shutil.ignore_patterns("sparse_linear.pt"))
    model = BGEM3FlagModel(folder)
    assert "sparse_linear.pt missing" in caplog.text
    assert model.encode(SHORT)["dense_vecs"] is not None
    for ask in (lambda: model.encode(SHORT, return_sparse=True), lambda: model.compute_score(("a", "b"))):
        with pytest.raises(InputError, match=r"has dense, multi\."):
            ask()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.encode(["a", None]), "text 1 is a NoneType"),
        (lambda m: m.encode([Path("a.png")]), "BGE-M3 takes texts only"),
        (lambda m: m.encode("a", return_dense=False), "Ask for some of these"),
        (lambda m: m.encode("a", max_length=1), "no room for the 2 special tokens"),
        (lambda m: m.compute_score([("a", "b"), ("a", "b", "c")]), "pair 1 has 3 parts"),
        (lambda m: m.compute_score([("a", "b")], weights_for_different_modes=[1, 2]), "three numbers"),
        (lambda m: m.compute_score([("a", "b")], weights_for_different_modes=[0, 0, 0]), "not all 0"),
        (lambda m: m.compute_score([("a", "b")], weights_for_different_modes=[1, -1, 1]), "none below 0"),
        (lambda m: m.compute_lexical_matching_score({"1": 1.0}, [{"1": 1.0}]), "one is a dict and the other a list"),
    ],
)
def test_what_cannot_be_done(model: BGEM3FlagModel, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(model)


def test_a_width_must_be_positive() -> None:
    with pytest.raises(InputError, match="truncate_dim=0 must be at least 1"):
        BGEM3FlagModel(FOLDER, truncate_dim=0)
