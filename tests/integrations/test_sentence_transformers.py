"""What is exported loads with sentence-transformers' own classes, and gives the same vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import onespace
from onespace.encoder import Encoder
from onespace.errors import ModelError
from onespace.families import bge, bge_m3, clip, mini, visualized_bge
from onespace.integrations.sentence_transformers import export_sentence_transformers

TEXTS = ["a whale", "", "一条龙 的 图", "A red car parked beside the old harbour wall. " * 3, "x"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", [bge, bge_m3, mini, visualized_bge], ids=lambda f: f.__name__.rsplit(".", 1)[-1])
def test_stock_classes_give_our_vectors(family: object, tmp_path: Path) -> None:
    st = pytest.importorskip("sentence_transformers")
    encoder: Encoder = family.tiny()  # type: ignore[attr-defined]
    folder = export_sentence_transformers(encoder, tmp_path / "model")
    assert not list(folder.rglob("*.py"))
    loaded = st.SentenceTransformer(str(folder), device="cpu", trust_remote_code=False, local_files_only=True)
    assert loaded.max_seq_length == encoder.spec.max_tokens
    for role, encode in (("query", loaded.encode_query), ("document", loaded.encode_document)):
        ours = encoder.encode(TEXTS, heads="dense", role=role, on_loss="ignore")  # type: ignore[arg-type]
        assert np.allclose(encode(TEXTS), ours.dense, atol=1e-6)
    score = loaded.similarity(loaded.encode(["a whale"]), loaded.encode(["a whale"]))
    assert score.item() == pytest.approx(1, abs=1e-5)


def test_we_load_it_too(tmp_path: Path) -> None:
    encoder = bge.tiny()
    again = onespace.load(export_sentence_transformers(encoder, tmp_path / "model"))
    assert again.spec.query_prefix == "query: "
    assert np.array_equal(
        again.encode(TEXTS, role="query", on_loss="ignore").dense,
        encoder.encode(TEXTS, role="query", on_loss="ignore").dense,
    )


def test_vectors_that_arent_scaled_have_no_last_step(tmp_path: Path) -> None:
    from dataclasses import replace

    plain = bge.tiny()
    spec = replace(plain.spec, heads=replace(plain.spec.heads, unit=False))
    folder = export_sentence_transformers(Encoder(spec, plain.tokenizer, plain.engine), tmp_path / "model")
    steps = json.loads((folder / "modules.json").read_text())
    assert [step["type"].rpartition(".")[2] for step in steps] == ["Transformer", "Pooling"]


def test_what_cant_be_exported_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="onespace-mini runs an exported graph"):
        export_sentence_transformers(onespace.load(), tmp_path / "a")
    with pytest.raises(ModelError, match="no classes for its text tower"):
        export_sentence_transformers(clip.tiny(), tmp_path / "b")
    mini_folder = mini.save(mini.tiny(), tmp_path / "mini")
    with pytest.raises(ModelError, match="without dtype='int8'"):
        export_sentence_transformers(onespace.load(mini_folder, dtype="int8", device="cpu"), tmp_path / "c")
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "c").exists()
