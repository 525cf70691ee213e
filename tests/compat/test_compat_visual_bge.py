"""The drop-in for Visualized-BGE against the original's own numbers, and where the original fails."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from onespace.compat.visual_bge import Visualized_BGE
from onespace.errors import CheckpointError, ImageError, InputError, ModelError

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = {
    "visualized-base-tiny": ("bge-base-en-v1.5", "Visualized_base_en_v1.5.pth"),
    "visualized-m3-tiny": ("bge-m3", "Visualized_m3.pth"),
}


def opened(name: str, **options: Any) -> Visualized_BGE:
    folder, weights = (str(GOLDEN / name / "model" / part) for part in FILES[name])
    return Visualized_BGE(model_name_bge=folder, model_weight=weights, **options)


@dataclass
class Case:
    model: Visualized_BGE
    folder: Path
    texts: list[str]
    expected: dict[str, np.ndarray]

    def picture(self, name: str) -> str:
        return str(self.folder / "images" / name)

    def of(self, kind: str) -> list[tuple[list[str], np.ndarray]]:
        """What follows the kind in the keys of the golden file, and the values."""
        return [(key.split("/")[1:], value) for key, value in self.expected.items() if key.startswith(f"{kind}/")]


@pytest.fixture(scope="module", params=FILES)
def case(request: pytest.FixtureRequest) -> Case:
    folder = GOLDEN / request.param
    with np.load(folder / "expected.npz") as file:
        expected = dict(file)
    texts = json.loads((folder / "meta.json").read_text("utf-8"))["texts"]
    return Case(opened(request.param), folder, texts, expected)


@pytest.fixture(scope="module")
def base() -> Visualized_BGE:
    return opened("visualized-base-tiny")


@pytest.fixture
def picture() -> str:
    return str(GOLDEN / "visualized-base-tiny" / "images" / "rgb_landscape.png")


def same(found: torch.Tensor, expected: np.ndarray | torch.Tensor, atol: float = 2e-5) -> None:
    assert found.dtype == torch.float32
    assert found.device.type == "cpu"
    assert not found.requires_grad
    torch.testing.assert_close(found, torch.as_tensor(expected), atol=atol, rtol=0)


# -- the original's numbers --------------------------------------------------------------------------------------------


def test_pictures(case: Case) -> None:
    names = case.of("image")
    assert len(names) == 13
    for (name,), expected in names:
        same(case.model.encode(image=case.picture(name)), expected)


def test_texts_one_by_one_and_all_at_once(case: Case) -> None:
    assert len(case.of("text")) == len(case.texts) == 21
    for (i,), expected in case.of("text"):
        same(case.model.encode(text=case.texts[int(i)]), expected)
    same(case.model.encode(text=case.texts), np.concatenate([row for _, row in case.of("text")]))
    same(case.model.encode_text(case.texts[:8]), case.expected["text_batch/0-7"])


def test_pairs(case: Case) -> None:
    assert case.of("mm")
    for (name, i), expected in case.of("mm"):
        same(case.model.encode(image=case.picture(name), text=case.texts[int(i)]), expected)


def test_a_batch_of_pairs(case: Case) -> None:
    names = ["rgb_landscape.png", "rgb_portrait.jpg", "rgba.png"]
    texts = [case.texts[i] for i in (0, 2, 3)]
    same(case.model.encode([case.picture(n) for n in names], texts), case.expected["mm_batch"])
    tokens = case.model.tokenizer(texts, return_tensors="pt", padding=True).to("cpu")
    assert tokens["input_ids"].tolist() == case.expected["mm_batch_ids"].tolist()
    assert tokens["attention_mask"].tolist() == case.expected["mm_batch_mask"].tolist()
    pixels = torch.stack([case.model.preprocess_val(case.picture(n)) for n in names])
    same(case.model.encode_mm(pixels, tokens), case.expected["mm_batch"])


def test_prepared_texts_and_pictures(case: Case) -> None:
    same(case.model.encode_text(case.model.tokenizer(case.texts[:8])), case.expected["text_batch/0-7"])
    pixels = case.model.preprocess_val(case.picture("palette_P.png"))[None]
    same(case.model.encode_image(pixels), case.expected["image/palette_P.png"])


def test_preprocessing_is_equal_to_the_bit(case: Case) -> None:
    for (name,), expected in case.of("preprocess"):
        np.testing.assert_array_equal(case.model.preprocess_val(case.picture(name)).numpy(), expected)


# -- what the original can't do ----------------------------------------------------------------------------------------


def test_every_form_of_a_picture_gives_the_same(base: Visualized_BGE, picture: str) -> None:
    expected = base.encode(image=picture)
    data = Path(picture).read_bytes()
    with PILImage.open(picture) as pil:
        pil.load()
    for form in (Path(picture), data, pil, np.asarray(pil), io.BytesIO(data)):
        same(base.encode(image=form), expected, atol=1e-6)
    same(base.encode(image=[picture, data, pil]), expected.expand(3, -1), atol=1e-6)


def test_one_picture_with_several_texts_and_the_other_way_round(base: Visualized_BGE, picture: str) -> None:
    other = str(Path(picture).with_name("rgba.png"))
    texts = ["a horse", "a longer text about a horse on a bridge", ""]
    apart = torch.cat([base.encode(image=picture, text=text) for text in texts])
    same(base.encode(image=picture, text=texts), apart, atol=1e-6)
    apart = torch.cat([base.encode(image=image, text="a horse") for image in (picture, other)])
    same(base.encode(image=[picture, other], text="a horse"), apart, atol=1e-6)
    assert (apart[0] - apart[1]).abs().max() > 1e-3


@pytest.mark.parametrize("given", [{"text": []}, {"image": []}, {"image": [], "text": []}])
def test_an_empty_list_gives_no_vectors(base: Visualized_BGE, given: dict[str, list[str]]) -> None:
    assert base.encode(**given).shape == (0, 64)


def test_training_mode_changes_nothing(base: Visualized_BGE, picture: str) -> None:
    expected = base.eval().encode(image=picture, text="a horse")
    assert base.train() is base
    same(base.encode(image=picture, text="a horse"), expected, atol=0)
    assert base.eval() is base


def test_a_long_text_is_cut_and_the_log_says_so(base, picture, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        base.encode(image=picture)  # cropped, as the original does: not worth a word
        assert not caplog.records
        base.encode(image=picture, text=["a horse", "horse " * 400])
    (record,) = caplog.records
    assert "1 x text cut; the first is text 1: 316 of its " in record.getMessage()


def test_half_precision_and_back(picture: str) -> None:
    model = opened("visualized-base-tiny")
    expected = model.encode(image=picture, text="a horse")
    assert model.half().dtype == torch.float16
    found = model.encode(image=picture, text="a horse")
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found, expected).item() > 0.999
    assert model.to(torch.bfloat16).dtype == torch.bfloat16
    assert torch.cosine_similarity(model.encode(text="a horse"), expected).shape == (1,)
    assert model.float().to("cpu").device == torch.device("cpu")


def test_without_normalisation(base: Visualized_BGE, picture: str) -> None:
    found = opened("visualized-base-tiny", normlized=False).encode(image=picture, text=["a horse", ""])
    assert (found.norm(dim=-1) - 1).abs().min() > 0.1
    same(torch.nn.functional.normalize(found, dim=-1), base.encode(image=picture, text=["a horse", ""]))


def test_the_mean_of_the_tokens() -> None:
    name = "visualized-base-tiny"
    with np.load(GOLDEN / name / "expected.npz") as file:
        hidden = torch.from_numpy(file["mid/mm_encoder_out"])  # (1, T, D), of the first picture with the first text
    text = json.loads((GOLDEN / name / "meta.json").read_text("utf-8"))["texts"][0]
    model = opened(name, sentence_pooling_method="mean")
    found = model.encode(image=str(GOLDEN / name / "images" / "rgb_landscape.png"), text=text)
    same(found, torch.nn.functional.normalize(hidden.mean(1), dim=-1))


def test_the_config_may_stand_elsewhere(base: Visualized_BGE) -> None:
    folder, weights = (GOLDEN / "visualized-base-tiny" / "model" / part for part in FILES["visualized-base-tiny"])
    found = Visualized_BGE("BAAI/bge-base-en-v1.5", weights, from_pretrained=folder)
    same(found.encode(text="a horse"), base.encode(text="a horse"), atol=0)


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "neither image nor text"),
        ({"text": 5}, "text is a int. Pass a str"),
        ({"text": ["a", Path("b")]}, r"text 1 is a .*Path\. Pass a str"),
        ({"text": None, "image": [None]}, "item 0 is a None"),
        ({"text": ["a", "b"], "image": [b"1", b"2", b"3"]}, "3 pictures and 2 texts don't pair up"),
    ],
)
def test_what_cannot_be_encoded(base: Visualized_BGE, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        base.encode(**given)


def test_a_file_that_is_not_there(base: Visualized_BGE) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        base.encode(image="nowhere.png")


def test_half_prepared_pairs(base: Visualized_BGE, picture: str) -> None:
    with pytest.raises(InputError, match="one is prepared and one isn't"):
        base.encode_mm(picture, base.tokenizer("a horse"))
    with pytest.raises(InputError, match="one is prepared and one isn't"):
        base.encode_mm(base.preprocess_val(picture)[None], "a horse")


@pytest.mark.parametrize(
    "given", [{"text": []}, {"text": "a", "return_tensors": "np"}, {"text": "a", "padding": False}]
)
def test_the_tokenizer_makes_padded_tensors_only(base: Visualized_BGE, given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="padded torch tensors"):
        base.tokenizer(**given)


def test_files_that_are_not_visualized_bge(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model_name_bge is missing"):
        Visualized_BGE()
    with pytest.raises(ModelError, match=r"this is bge_m3\. Pass the Visualized_"):
        Visualized_BGE(str(GOLDEN / "bge-m3-tiny" / "model" / "bge-m3"))
    with pytest.raises(InputError, match=r"pooling 'max' isn't known\. Choose one of cls, mean"):
        opened("visualized-base-tiny", sentence_pooling_method="max")
    broken = tmp_path / "Visualized_base_en_v1.5.pth"
    broken.write_bytes((GOLDEN / "visualized-base-tiny" / "model" / broken.name).read_bytes()[:5000])
    with pytest.raises(CheckpointError):
        Visualized_BGE(str(GOLDEN / "visualized-base-tiny" / "model" / "bge-base-en-v1.5"), broken)


def test_a_model_of_two_towers_cannot_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from onespace.compat import reference
    from onespace.families import clip

    monkeypatch.setattr(reference, "load", lambda *_, **__: clip.tiny())
    with pytest.raises(ModelError, match="clip-folder: tiny-clip can't stand in for BGE"):
        reference.open_reference("clip-folder")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_package_itself_is_light() -> None:
    assert run("import sys, onespace.compat; print('torch' in sys.modules, 'numpy' in sys.modules)") == "False False"


def test_without_torch_the_import_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "try:\n import onespace.compat.visual_bge\nexcept ImportError as error:\n print(error)"
    )
    assert run(code) == (
        "onespace.compat.visual_bge needs torch, which isn't installed. Run: pip install 'onespace[torch]'"
    )
