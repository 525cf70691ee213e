"""BGE-M3 against the reference's recorded outputs: three heads, scores, and what happens when a head is missing."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import XLMRobertaModel

from onespace.encoder import Encoder
from onespace.engines import Batch
from onespace.errors import CheckpointError, InputError, ModelError
from onespace.families import load
from onespace.score import similarity

GOLDEN = Path(__file__).parents[1] / "golden" / "bge-m3-tiny"
FOLDER = GOLDEN / "model" / "bge-m3"
TOLERANCE = 2e-5
SPECIAL = 20
"""The text with names of special tokens in it, which the reference parses and we don't."""


@lru_cache
def model() -> Encoder:
    return load(FOLDER, device="cpu")


@lru_cache
def expected() -> dict[str, Any]:
    return dict(np.load(GOLDEN / "expected.npz"))


@lru_cache
def meta() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / "meta.json").read_text("utf-8"))
    return found


PLAIN = [i for i in range(22) if i != SPECIAL]


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_every_text_with_every_head() -> None:
    found = model().encode([meta()["texts"][i] for i in PLAIN])
    close(found.dense, expected()["dense"][PLAIN])
    for row, i in enumerate(PLAIN):
        close(found.multi[row], expected()[f"colbert/{i}"])
        want = {int(token): weight for token, weight in meta()["lexical_weights"][i].items()}
        got = found.sparse.to_dicts()[row]
        assert got.keys() == want.keys()
        close(list(got.values()), [want[token] for token in got])


def test_the_text_with_special_tokens_as_the_reference_reads_it() -> None:
    tokens = model().tokenizer.encode(meta()["texts"][SPECIAL], parse_special=True)
    assert tokens.ids == expected()[f"ids/{SPECIAL}"].tolist()
    ids = np.array([tokens.ids])
    found = model().engine.run(Batch(ids, np.ones_like(ids, dtype=bool)), ("dense", "sparse", "multi"))
    close(found["dense"][0], expected()["dense"][SPECIAL])
    close(found["multi"][0], expected()[f"colbert/{SPECIAL}"])
    weights: dict[int, float] = {}
    for token, weight in zip(tokens.ids, found["weights"][0].tolist(), strict=True):
        weights[token] = max(weight, weights.get(token, 0.0))
    want = meta()["lexical_weights"][SPECIAL]
    assert "440" in want, "<mask> keeps its weight"
    close([weights.pop(int(token)) for token in want], list(want.values()))
    assert not any(weights.values())


def test_a_pad_token_that_a_text_spells_takes_no_place_as_in_the_reference() -> None:
    reference = XLMRobertaModel.from_pretrained(FOLDER)
    ids, mask = np.array([[0, 9, 1, 8, 1, 1, 7, 2, 1]]), np.array([[True] * 8 + [False]])
    with torch.no_grad():
        hidden = reference(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask).long()).last_hidden_state
    found = model().engine.run(Batch(ids, mask), ("dense",))
    close(found["dense"], torch.nn.functional.normalize(hidden[:, 0], dim=-1).numpy())


def test_a_padded_batch_and_one_text_alone() -> None:
    ids, mask = np.ones((8, 29), dtype=np.int64), expected()["attention_mask/0-7"].astype(bool)
    for row in range(8):
        ids[row, : mask[row].sum()] = expected()[f"ids/{row}"]
    found = model().engine.run(Batch(ids, mask), ("dense", "sparse", "multi"))
    close(found["dense"], expected()["dense"][:8])
    close(found["multi"] * found["multi_mask"][..., None], expected()["colbert_padded/0-7"])
    vocabulary = np.zeros((8, 441))
    np.maximum.at(vocabulary, (np.arange(8)[:, None], ids), found["weights"])
    close(vocabulary, expected()["sparse_vocab/0-7"])
    alone = model().encode(meta()["texts"][0])
    close(alone.dense[0], expected()["single/dense"])
    close(alone.multi[0], expected()["single/colbert"])


def test_a_text_cut_to_sixteen_tokens() -> None:
    rows = [model().tokenizer.encode(text, 16, parse_special=True).ids for text in meta()["texts"]]
    for i, row in enumerate(rows):
        ids = np.array([row])
        found = model().engine.run(Batch(ids, np.ones_like(ids, dtype=bool)), ("dense",))["dense"]
        close(found[0], expected()["dense_maxlen16"][i])


def test_scores() -> None:
    whole = model()
    short = Encoder(replace(whole.spec, max_tokens=128), whole.tokenizer, whole.engine)  # as the scores were made
    left, right = (short.encode([pair[side] for pair in meta()["pairs"]]) for side in (0, 1))
    for metric, name in (("dot", "dense"), ("lexical", "sparse"), ("maxsim", "colbert")):
        close(np.diag(similarity(left, right, metric=metric)), expected()[f"score/default/{name}"])
    for name, weights in (("default", (1, 1, 1)), ("w_0.4_0.2_0.4", (0.4, 0.2, 0.4))):
        blend = similarity(left, right, metric="blend", weights=weights)
        close(np.diag(blend), expected()[f"score/{name}/colbert+sparse+dense"])
    six = model().encode(meta()["texts"][:6], heads="sparse")
    close(similarity(six, six, metric="lexical"), expected()["lexical_matrix"])


def test_what_the_spec_says() -> None:
    spec = model().spec
    assert spec.max_tokens == 8192
    assert spec.head_names == ("dense", "sparse", "multi")
    assert spec.modalities == ("text",)
    assert spec.grafted == ()


@pytest.mark.parametrize(("gone", "head"), [("sparse_linear.pt", "sparse"), ("colbert_linear.pt", "multi")])
def test_a_missing_head_is_said_and_never_made_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gone: str, head: str
) -> None:
    shutil.copytree(FOLDER, tmp_path / "m", ignore=shutil.ignore_patterns(gone))
    with caplog.at_level(logging.WARNING, "onespace"):
        found = load(tmp_path / "m", device="cpu")
    assert gone in caplog.text
    assert found.spec.level("text", head) == "unsupported"
    assert len(found.spec.head_names) == 2
    close(found.encode("a whale").dense, model().encode("a whale").dense)
    with pytest.raises(InputError, match=head):
        found.encode("a whale", heads=head)


def test_without_both_heads_it_is_a_dense_embedder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(FOLDER, tmp_path / "m", ignore=shutil.ignore_patterns("*_linear.pt"))
    with caplog.at_level(logging.WARNING, "onespace"):
        found = load(tmp_path / "m", device="cpu")
    assert "sparse_linear.pt and colbert_linear.pt" in caplog.text
    assert found.spec.head_names == ("dense",)
    close(found.encode("a whale").dense, model().encode("a whale").dense)


def test_a_head_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "m")
    torch.save({"weight": torch.ones(1, 5), "bias": torch.ones(1)}, tmp_path / "m" / "sparse_linear.pt")
    with pytest.raises(CheckpointError, match=r"token_weights\.linear\.weight is \(1, 5\)"):
        load(tmp_path / "m")


def test_heads_are_borrowed_by_visualized_bge_only() -> None:
    with pytest.raises(ModelError, match="this is bge_m3"):
        load(FOLDER, heads_from=FOLDER)
