"""From what a user points at to an encoder: folders, files, names, our own layout, and clear errors."""

from __future__ import annotations

import importlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onespace
from onespace import families, hub
from onespace.contract import check_encoder
from onespace.encoder import Encoder
from onespace.errors import CheckpointError, MissingExtra, ModelError
from onespace.families import FAMILIES, load, locate
from onespace.families.mini import save

GOLDEN = Path(__file__).parents[1] / "golden"
M3 = GOLDEN / "bge-m3-tiny" / "model" / "bge-m3"
OWN = ("mini", "visualized_bge", "bge_m3", "bge")


def tiny(name: str) -> Encoder:
    found: Encoder = importlib.import_module(f"onespace.families.{name}").tiny()
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_keeps_the_contract(name: str) -> None:
    check_encoder(tiny(name))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_the_same_after_saving(name: str, tmp_path: Path) -> None:
    before = tiny(name)
    after = load(save(before, tmp_path / "saved"), device="cpu")
    assert after.spec == before.spec
    items = [i for kind, i in ITEMS.items() if kind in before.spec.modalities]
    ours, theirs = before.encode(items), after.encode(items)
    # to the last digits: a product may be summed in another order where the weights lie elsewhere in memory
    close = partial(np.testing.assert_allclose, rtol=0, atol=1e-6)
    close(ours.dense, theirs.dense)
    if "multi" in before.spec.head_names:
        close(ours.multi.values, theirs.multi.values)
        close(ours.sparse.values, theirs.sparse.values)


PICTURE = GOLDEN / "visualized-m3-tiny" / "images" / "rgb_tiny.png"
ITEMS: dict[str, Any] = {"text": "a red house", "image": PICTURE, "pair": onespace.Pair("a house", PICTURE)}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_module_is_light_and_says_its_layout(name: str) -> None:
    module = importlib.import_module(f"onespace.families.{name}")
    assert isinstance(module.LAYOUT, str)
    assert "\n" not in module.LAYOUT


def test_a_folder_may_be_given_as_a_string_or_a_path() -> None:
    assert load(str(M3), device="cpu").spec == load(M3, device="cpu").spec == onespace.load(M3, device="cpu").spec


def test_an_unknown_layout_says_what_was_tried_and_found(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    message = str(caught.value)
    assert all(name in message for name in (*FAMILIES, "config.json, notes.txt", "'llava'"))


@pytest.mark.parametrize(
    ("source", "weights", "message"),
    [
        (Path("nowhere"), None, "no such folder or file"),
        ("nowhere", None, "no folder here and no name"),
        (M3, "nowhere.pth", "no such file"),
        ("jinaai/jina-embeddings-v4", None, "Qwen2.5-VL"),
    ],
)
def test_what_isnt_there_is_said(source: Any, weights: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(source, weights=weights)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_config_is_named(tmp_path: Path, content: str) -> None:
    shutil.copytree(M3, tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        load(tmp_path / "m")


def test_our_own_layout_is_strict(tmp_path: Path) -> None:
    folder = save(tiny("mini"), tmp_path)
    spec = json.loads((folder / "onespace.json").read_text("utf-8"))
    (folder / "onespace.json").write_text(json.dumps(spec | {"colour": "red"}))
    with pytest.raises(ModelError, match="unknown key colour"):
        load(folder)
    (folder / "onespace.json").write_text(json.dumps(spec | {"heads": spec["heads"] | {"multi": 8}}))
    with pytest.raises(CheckpointError, match=r"shape: multi\.linear\.weight"):
        load(folder)


def test_saving_over_itself_keeps_the_model(tmp_path: Path) -> None:
    folder = save(tiny("mini"), tmp_path / "m")
    opened = load(folder, device="cpu")
    before = opened.encode("a red house").dense
    save(opened, folder)
    np.testing.assert_array_equal(opened.encode("a red house").dense, before)
    np.testing.assert_array_equal(load(folder, device="cpu").encode("a red house").dense, before)


def test_torch_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"onespace\[torch\]"):
        load(M3)


class TestHub:
    """Against a cache that is laid out by hand, without a network."""

    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        constants = pytest.importorskip("huggingface_hub.constants")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        return tmp_path

    @staticmethod
    def put(cache: Path, repo: str, files: list[Path], revision: str = "main") -> None:
        commit = "0123456789" * 4
        place = cache / f"models--{repo.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / revision).write_text(commit)
        (place / "snapshots" / commit).mkdir(parents=True)
        for file in files:
            shutil.copy(file, place / "snapshots" / commit)

    def test_a_name_with_a_revision_comes_from_the_cache(self, cache: Path) -> None:
        self.put(cache, "someone/m3", list(M3.iterdir()), "v2")
        assert load("someone/m3@v2", device="cpu").spec.head_names == ("dense", "sparse", "multi")
        with pytest.raises(ModelError, match="someone/m3: can't be fetched"):
            load("someone/m3")

    def test_an_official_name_joins_the_weights_and_the_text_model(self, cache: Path) -> None:
        model = GOLDEN / "visualized-m3-tiny" / "model"
        self.put(cache, "BAAI/bge-visualized", [model / "Visualized_m3.pth"])
        self.put(cache, "BAAI/bge-m3", list((model / "bge-m3").iterdir()))
        for name in ("BAAI/bge-visualized-m3", "bge-visualized-m3"):
            place = locate(name)
            assert place.file.name == "Visualized_m3.pth"
            assert load(name, device="cpu").spec.modalities == ("text", "image", "pair")

    def test_what_isnt_in_the_cache_is_said(self, cache: Path) -> None:
        with pytest.raises(ModelError, match=r"BAAI/bge-small-en-v1\.5: can't be fetched"):
            load("bge-small-en-v1.5")

    def test_the_library_missing_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "find_spec", lambda name: None)
        with pytest.raises(MissingExtra, match=r"onespace\[hub\]"):
            load("someone/m3")


def test_a_mirror_that_doesnt_answer_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="can't be fetched"):
        load("someone/m3")
