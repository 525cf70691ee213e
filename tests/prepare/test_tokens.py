"""Ids equal to the reference's from every file layout; nothing in a text becomes a special token unasked."""

from __future__ import annotations

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onespace.errors import InputError, ModelError
from onespace.prepare.tokens import Tokenizer

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = {
    "visualized-base-tiny": "bge-base-en-v1.5",
    "visualized-m3-tiny": "bge-m3",
    "bge-m3-tiny": "bge-m3",
}
RAW = ("vocab.txt", "sentencepiece.bpe.model", "tokenizer_config.json", "special_tokens_map.json")
SPECIALS = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "<s>", "</s>", "<pad>", "<unk>", "<mask>")


def folder_of(name: str) -> Path:
    return GOLDEN / name / "model" / FOLDERS[name]


BERT, XLMR = (Tokenizer.from_folder(folder_of(name)) for name in ("visualized-base-tiny", "bge-m3-tiny"))


def pieces(tokenizer: Tokenizer, text: str, **options: bool) -> list[str]:
    return [tokenizer.piece(i) for i in tokenizer.encode(text, **options).ids]


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("layout", ["tokenizer.json", "raw"])
def test_ids_equal_the_references(name, layout, tmp_path):
    folder = folder_of(name)
    if layout == "raw":
        for file in RAW:
            if (folder / file).exists():
                shutil.copy(folder / file, tmp_path)
        folder = tmp_path
    tokenizer = Tokenizer.from_folder(folder)
    texts = json.loads((GOLDEN / name / "meta.json").read_text(encoding="utf-8"))["texts"]
    with np.load(GOLDEN / name / "expected.npz") as arrays:
        expected = [arrays[f"ids/{i}"].tolist() for i in range(len(texts))]
    assert [t.ids for t in tokenizer.encode_batch(texts, parse_special=True)] == expected
    differ = [i for i, text in enumerate(texts) if tokenizer.encode(text).ids != expected[i]]
    assert differ == [20], "only the text with special tokens in it may differ in plain mode"


def test_special_ids():
    assert (BERT.cls, BERT.sep, BERT.pad, BERT.vocab_size) == (2, 3, 0, 646)
    assert (XLMR.cls, XLMR.sep, XLMR.pad, XLMR.vocab_size) == (0, 2, 1, 441)
    assert [BERT.piece(i) for i in range(5)] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert [XLMR.piece(i) for i in (0, 1, 2, 3, 440)] == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    with pytest.raises(InputError, match="token id 441 isn't in the vocabulary of 441"):
        XLMR.piece(441)


def test_special_names_in_a_text_are_ordinary_characters():
    assert pieces(BERT, "a [SEP] b") == ["[CLS]", "a", "[", "sep", "]", "b", "[SEP]"]
    assert pieces(BERT, "a [SEP] b", parse_special=True) == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert pieces(XLMR, "<s>")[1:-1] == ["▁", "<", "s", ">"]
    assert pieces(XLMR, "<s>", parse_special=True) == ["<s>", "<s>", "</s>"]


FORBIDDEN = {BERT.sep: {0, 2, 3, 4}, XLMR.sep: {0, 1, 2, 440}}
"""All special ids but that of unknown pieces, by the closing one."""


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([BERT, XLMR]), st.lists(st.one_of(st.sampled_from(SPECIALS), st.text(max_size=8)), max_size=8))
def test_no_text_yields_a_special_id(tokenizer, parts):
    for text in ("".join(parts), " ".join(parts)):
        inside = tokenizer.encode(text).ids[1:-1]
        assert not FORBIDDEN[tokenizer.sep] & set(inside)


def test_full_width_and_compatibility_forms():
    """NFKC: some versions of transformers lose this step, and full-width text becomes unknown."""
    assert XLMR.encode("ＡＢ，１").ids == XLMR.encode("AB,1").ids
    assert XLMR.encode("ﬁne ①").ids == XLMR.encode("fine 1").ids
    assert XLMR.encode("a\u3000b\u00a0c").ids == XLMR.encode("a b c").ids
    assert 3 not in XLMR.encode("，").ids


def test_bert_lower_cases_and_strips_accents():
    assert BERT.encode("THE Café").ids == BERT.encode("the cafe").ids


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([BERT, XLMR]), st.text(max_size=60), st.integers(2, 40))
def test_used_and_dropped_make_the_total(tokenizer, text, limit):
    whole, cut = tokenizer.encode(text), tokenizer.encode(text, limit)
    assert whole.dropped == 0
    assert len(cut.ids) == min(limit, len(whole.ids))
    assert len(cut.ids) + cut.dropped == len(whole.ids)
    assert cut.ids[:-1] == whole.ids[: len(cut.ids) - 1]
    assert cut.ids[0] == tokenizer.cls
    assert cut.ids[-1] == tokenizer.sep
    assert len(cut.offsets) == len(cut.ids)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([BERT, XLMR]), st.text(max_size=40))
def test_offsets_lie_in_the_text_and_advance(tokenizer, text):
    tokens = tokenizer.encode(text)
    assert tokens.offsets[0] == tokens.offsets[-1] == (0, 0)
    inner = tokens.offsets[1:-1]
    assert all(0 <= start <= end <= len(text) for start, end in inner)
    assert [start for start, _ in inner] == sorted(start for start, _ in inner)


def test_offsets_name_the_word():
    text = "Ein Haus 龙"
    for tokenizer in (BERT, XLMR):
        spans = [text[start:end].strip() for start, end in tokenizer.encode(text).offsets[1:-1]]
        assert "".join(spans) == "EinHaus龙"


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([BERT, XLMR]), st.lists(st.text(max_size=20), max_size=6), st.one_of(st.none(), st.integers(2, 9))
)
def test_a_batch_equals_one_by_one(tokenizer, texts, limit):
    assert tokenizer.encode_batch(texts, limit) == [tokenizer.encode(text, limit) for text in texts]


def test_a_limit_without_room_for_the_special_tokens():
    assert BERT.encode("a b c", 2).ids == [BERT.cls, BERT.sep]
    with pytest.raises(InputError, match="max_tokens=1 leaves no room for the 2 special tokens"):
        BERT.encode("a", 1)


@pytest.mark.parametrize("tokenizer", [BERT, XLMR], ids=["bert", "xlmr"])
def test_monstrous_texts(tokenizer):
    for text in ("x" * 1_048_576, "the cat " * 10_000, "\0" * 1000, "\ud800a\udfff", "\U0010ffff", " " * 100_000):
        tokens = tokenizer.encode(text, 512)
        assert 2 <= len(tokens.ids) <= 512
        assert tokens.ids[-1] == tokenizer.sep
    assert tokenizer.encode("a\ud800b").ids == tokenizer.encode("a\ufffdb").ids


def test_threads_with_different_limits_dont_meet():
    text = "a red car " * 50
    wanted = {limit: XLMR.encode(text, limit) for limit in range(2, 42)}
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(lambda limit: XLMR.encode(text, limit), wanted)) == list(wanted.values())


@pytest.mark.parametrize("tokenizer", [BERT, XLMR], ids=["bert", "xlmr"])
def test_saved_or_pickled_it_stays_the_same(tokenizer, tmp_path):
    text = "A red 龙 [SEP] <s> ，"
    tokenizer.save(tmp_path / "new" / "folder")
    for again in (Tokenizer.from_folder(tmp_path / "new" / "folder"), pickle.loads(pickle.dumps(tokenizer))):
        assert again.encode(text) == tokenizer.encode(text)
        assert again.encode(text, parse_special=True) == tokenizer.encode(text, parse_special=True)
        assert (again.cls, again.sep, again.pad, again.vocab_size) == (
            tokenizer.cls,
            tokenizer.sep,
            tokenizer.pad,
            tokenizer.vocab_size,
        )


def test_truncation_and_padding_of_the_file_are_ignored():
    document = json.loads((folder_of("visualized-base-tiny") / "tokenizer.json").read_text(encoding="utf-8"))
    document["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    document["padding"] = {
        "strategy": {"Fixed": 12},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    tokenizer = Tokenizer(document)
    assert tokenizer.pad == 0
    assert tokenizer.encode("a red car parked").ids == BERT.encode("a red car parked").ids


def test_added_words_that_arent_special_are_still_found():
    document = json.loads((folder_of("visualized-base-tiny") / "tokenizer.json").read_text(encoding="utf-8"))
    word = {"id": 646, "content": "onespace", "special": False, "normalized": True}
    document["added_tokens"].append(word | {"single_word": False, "lstrip": False, "rstrip": False})
    assert Tokenizer(document).encode("a onespace b").ids[2] == 646


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no tokenizer. Looked for tokenizer.json, .*found: nothing"),
        ({"config.json": "{}"}, "found: config.json"),
        ({"tokenizer.json": "{"}, "can't be read as JSON"),
        ({"tokenizer.json": "[]"}, "holds a list"),
        ({"tokenizer.json": "{}"}, "files are damaged"),
        (
            {"tokenizer.json": '{"added_tokens": [], "model": {"vocab": {}, "type": "Odd"}}'},
            "tokenizer.json can't be used",
        ),
        ({"vocab.txt": "a\nb\n"}, r"vocab.txt has no entry for \[CLS\]"),
        ({"vocab.json": "{}", "merges.txt": "a b\n"}, "isn't CLIP's"),
        ({"sentencepiece.bpe.model": "rubbish"}, "isn't a SentencePiece model"),
    ],
)
def test_folders_that_hold_no_tokenizer(files, message, tmp_path):
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        Tokenizer.from_folder(tmp_path)


def test_a_folder_that_isnt_there(tmp_path):
    with pytest.raises(ModelError, match="no such folder"):
        Tokenizer.from_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("tokenizer", [BERT, XLMR])
def test_decoding_gives_a_text_of_the_same_ids(tokenizer):
    ids = tokenizer.encode("a red house").ids
    assert tokenizer.encode(tokenizer.decode(ids)).ids == ids
    assert tokenizer.decode([]) == ""
    for wrong in (-1, tokenizer.vocab_size, 2**40):
        with pytest.raises(InputError, match="isn't in the vocabulary"):
            tokenizer.decode([wrong])
