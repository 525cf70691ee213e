"""Sentences that training can't write, and how well a model agrees with a teacher about them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from onespace.engines.torch_engine import TorchEngine
from onespace.errors import InputError
from onespace.families import mini
from onespace.families import tiny as tiny_parts
from onespace.model import FusedModel
from recipes.mini.card import similar_cells
from recipes.mini.similarity import KINDS, LOOKS, ONE, TWO, agreement, main, pairs, things, words
from recipes.mini.templates import ANIMALS, TEMPLATES

GROUPS = {
    "animal": ("whale", "boar", "cat", "dog", "fish", "lion", "mouse", "owl"),
    "food": ("bread", "cheese", "egg", "apple", "pear", "rice", "soup", "taco"),
    "vehicle": ("boat", "cab", "car", "ferry", "rocket", "tram", "train", "van"),
    "sky": ("cloud", "comet", "moon", "rain", "snow", "star", "storm", "sun"),
}


def write(folder: Path, *more: str) -> Path:
    """Names with two keywords each, one of them shared by a group; ``more`` are other texts of training."""
    rows = []
    for group, names in GROUPS.items():
        for i, name in enumerate(names):
            rows += [(name, name, "name"), (name, group, "keyword"), (name, names[i - 1], "keyword")]
    rows += [("x", text, "keyword") for text in more] + [("p", "trousers", "name"), ("p", "cloth", "keyword")]
    texts = [{"concept": c, "locale": "en", "text": text, "kind": kind, "split": "train"} for c, text, kind in rows]
    texts.append(texts[0] | {"concept": "y", "text": "beside near alongside", "split": "kept-out"})
    (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts), "utf-8")
    (folder / "patterns.json").write_text('{"en": "{0} and {1}"}', "utf-8")
    return folder


def test_pairs_are_of_every_kind_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    made = pairs(write(tmp_path), count=160)
    assert Counter(pair.kind for pair in made) == dict.fromkeys(KINDS, 20)
    assert made == pairs(tmp_path, count=160)
    assert made != pairs(tmp_path, count=160, seed=1)
    assert len({frozenset((pair.first, pair.second)) for pair in made}) == 160
    assert not any("trousers" in text for pair in made for text in (pair.first, pair.second)), "no article goes with it"
    shared = [pair for pair in made if pair.kind == "two things each, one of them shared"]
    names = {name for group in GROUPS.values() for name in group}
    assert all(len(words([p.first]) & words([p.second]) & names) == 1 for p in shared)
    apart = [pair for pair in made if pair.kind == "nothing in common"]
    assert not any(words([p.first]) & words([p.second]) & names for p in apart)


def test_training_can_write_none_of_them(tmp_path: Path) -> None:
    templates = [text for table in (TEMPLATES, ANIMALS) for some in table.values() for text in some]
    assert not [text for text in templates if re.search(r"[a-z]\{|\}[a-z]", text, re.IGNORECASE)], "words would grow"
    _, seen = things(write(tmp_path))
    assert {"whale", "photo", "an", "and", "rysunek"} <= seen
    assert "beside" not in seen, "what is kept out of training is not seen"
    assert all(words([wording.replace("{}", "")]) - seen for wording in (*ONE, *TWO, *LOOKS))
    with pytest.raises(InputError, match=r"'.* (near|beside) .*': training can write each of these words"):
        pairs(write(tmp_path, "beside", "near"), count=160)


def test_too_little_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"32 things make \d+ pairs, not 20000"):
        pairs(write(tmp_path), count=20_000)


def test_a_model_agrees_with_itself_wholly_and_with_another_less(tmp_path: Path) -> None:
    texts, model = pairs(write(tmp_path), count=80), mini.tiny()
    found = agreement(model, model, texts)
    assert (found.teacher, found.pairs) == ("tiny-mini", 80)
    assert found.whole.mean == pytest.approx(1)
    assert found.kinds == pytest.approx(dict.fromkeys(KINDS, 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        other = type(model)(model.spec, tiny_parts.xlmr_tokenizer(), TorchEngine(FusedModel(model.spec), device="cpu"))
    strange = agreement(model, other, texts)
    assert strange.whole.mean < 0.95
    assert similar_cells(found)[1] == "no", "80 pairs are too few for the target"
    assert similar_cells(None) == ["not measured: needs a teacher's folder (`--teacher`)", "no"]


def test_the_command_takes_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    teacher = str(mini.save(mini.tiny(), tmp_path / "teacher"))
    monkeypatch.setattr("sys.argv", ["similarity", "--data", str(tmp_path), "--model", teacher, "--teacher", teacher])
    main()
    first, *rest = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"Spearman with tiny-mini on 2,000 pairs: 1\.000 \[1\.000, 1\.000\]", first)
    assert len(rest) == len(KINDS)
    assert np.all([line.startswith("   1.000  ") for line in rest])
