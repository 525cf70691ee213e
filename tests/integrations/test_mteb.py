"""The adapter passes the checks that mteb makes of a model: every mock task for texts and for pictures."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.encoder import Encoder
from onespace.errors import KindError, MissingExtra
from onespace.families import chinese_clip
from onespace.integrations.mteb import MtebEncoder, items_of
from onespace.types import Pair

mteb = pytest.importorskip("mteb")

PICTURE = PILImage.new("RGB", (8, 8), "red")


@pytest.mark.filterwarnings("ignore")
def test_mtebs_own_checks(tiny_encoder: Encoder) -> None:
    from mteb.models import EncoderProtocol

    model = MtebEncoder(tiny_encoder)
    assert isinstance(model, EncoderProtocol)
    found = mteb.mock_run(model)
    assert found.all_passed, found.to_markdown()
    passed = {row[1]: row[0] for row in found.modality_summary()}
    assert passed["text"].startswith("✓ (")
    assert passed["image"].startswith("✓ (")


def test_the_rows_are_ours(tiny_encoder: Encoder) -> None:
    model = MtebEncoder(tiny_encoder)
    batches: list[dict[str, Any]] = [
        {"text": ["a whale", "b"]},
        {"text": ["c"], "image": [PICTURE]},
        {"image": [PICTURE]},
    ]
    items = ["a whale", "b", Pair("c", PICTURE), PICTURE]
    assert np.allclose(
        model.encode(batches, task_metadata=None), np.asarray(tiny_encoder.encode(items).dense), atol=1e-6
    )
    assert model.encode([]).shape == (0, tiny_encoder.spec.heads.dense)


def test_the_role_is_the_prompts() -> None:
    from dataclasses import replace

    from mteb.types import PromptType

    plain = chinese_clip.tiny()
    spec = replace(plain.spec, query_prefix="query: ", document_prefix="passage: ")
    model = MtebEncoder(Encoder(spec, plain.tokenizer, plain.engine))
    for prompt, role in ((PromptType.query, "query"), (PromptType.document, "document"), (None, "query")):
        right = model.model.encode(["a"], role=role).dense  # type: ignore[arg-type]
        assert np.allclose(model.encode([{"text": ["a"]}], prompt_type=prompt), right)  # type: ignore[arg-type]
    assert model.mteb_model_meta.use_instructions


def test_without_pairs_text_and_picture_are_added() -> None:
    encoder = chinese_clip.tiny()
    assert "pair" not in encoder.spec.modalities
    found = MtebEncoder(encoder).encode([{"text": ["a", "b"], "image": [PICTURE, None]}])
    a, b, picture = np.asarray(encoder.encode(["a", "b", PICTURE]).dense)
    assert np.allclose(found, [a + picture, b], atol=1e-6)


def test_similarities() -> None:
    model = MtebEncoder(chinese_clip.tiny())
    a, b = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[4.0, -3.0], [6.0, 8.0]])
    assert np.allclose(model.similarity(a, b), [[0, 1], [0, 0]], atol=1e-6)
    assert np.allclose(model.similarity_pairwise(a, b[::-1]), [1, 0])
    assert model.similarity(a[0], b).shape == (1, 2)


def test_what_mteb_is_told(tiny_encoder: Encoder) -> None:
    meta = MtebEncoder(tiny_encoder).mteb_model_meta
    assert (meta.name, meta.modalities, meta.embed_dim) == ("onespace/tiny", ["text", "image"], 32)
    assert meta.max_tokens == tiny_encoder.spec.max_tokens
    import onespace

    shipped = MtebEncoder(onespace.load()).mteb_model_meta
    assert (shipped.name, shipped.revision, shipped.license) == ("onespace/onespace-mini", "0.1.0", "apache-2.0")
    assert (shipped.framework, shipped.training_datasets) == (["ONNX"], set())
    loaded = shipped.loader(shipped.name, revision=shipped.revision, device=None)  # as mteb loads a model by its name
    assert loaded.mteb_model_meta == shipped


def test_other_modalities_are_refused() -> None:
    with pytest.raises(KindError, match="a batch has audio; models here take text and image"):
        items_of({"audio": [b"..."]})
    with pytest.raises(KindError, match="nothing"):
        items_of({})


def test_without_mteb_the_extra_is_named(tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("mteb"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match=r"onespace\[mteb\]"):
        MtebEncoder(tiny_encoder)
