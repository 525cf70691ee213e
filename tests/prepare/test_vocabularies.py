"""Raw vocabulary files against the libraries that made them: SentencePiece itself and transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onespace.errors import ModelError
from onespace.prepare.sentencepiece import BYTE, CONTROL, UNKNOWN, fields, parse
from onespace.prepare.tokens import Tokenizer

GOLDEN = Path(__file__).parents[1] / "golden"
XLMR = GOLDEN / "bge-m3-tiny" / "model" / "bge-m3" / "sentencepiece.bpe.model"
SENTENCES = [
    "a red car parked beside the old harbour wall",
    "the cat sat on the mat and the dog ran to the bridge",
    "eine kleine Katze am Waldrand, und ein Haus",
    "une tasse de café posée sur un livre ouvert",
    "one two three four five six seven eight nine ten",
] * 20
TEXTS = [
    *SENTENCES[:5],
    "",
    " ",
    "  two   spaces \t and a tab\n",
    "Wörter, ＦＵＬＬ　width ①",
    "unseen: 龙 ☃ zzz",
    "THE Cat's 12 cafés!",
]


def trained(folder: Path, **options: object) -> Path:
    import sentencepiece

    prefix = folder / "spm"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_prefix=str(prefix),
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return prefix.with_suffix(".model")


def test_the_wire_format_equals_the_library():
    import sentencepiece

    ours, theirs = parse(XLMR.read_bytes(), where="x"), sentencepiece.SentencePieceProcessor(str(XLMR))
    assert len(ours.pieces) == theirs.get_piece_size()
    for i, piece in enumerate(ours.pieces):
        assert (piece.text, pytest.approx(piece.score)) == (theirs.id_to_piece(i), theirs.get_score(i))
        assert (piece.kind == CONTROL) == theirs.is_control(i)
        assert (piece.kind == UNKNOWN) == theirs.is_unknown(i)
    assert ours.unknown == theirs.unk_id()
    assert (ours.kind, ours.dummy_prefix, ours.strip_spaces) == ("unigram", True, True)
    assert len(ours.charsmap) > 100_000


def test_rules_of_a_model_are_read(tmp_path):
    options = {"vocab_size": 400, "add_dummy_prefix": False, "remove_extra_whitespaces": False}
    path = trained(tmp_path, **options, byte_fallback=True, normalization_rule_name="identity")
    model = parse(path.read_bytes(), where="x")
    assert (model.dummy_prefix, model.strip_spaces, model.charsmap) == (False, False, b"")
    assert sum(piece.kind == BYTE for piece in model.pieces) == 256


@pytest.mark.parametrize(
    "data",
    [b"rubbish", b"", b"\x0a", b"\x0a\xff\x01a", b"\x08" + b"\xff" * 12, b"\x0b\x00", b"\x0a\x02\x08\x01", b"\x08\x01"],
)
def test_damaged_models_are_one_error(data):
    with pytest.raises(ModelError, match=r"model\.model isn't a SentencePiece model"):
        parse(data, where="model.model")


def test_every_truncation_is_a_model_or_an_error():
    data = XLMR.read_bytes()
    for size in range(0, 4000, 29):
        try:
            assert parse(data[:size], where="x").pieces
        except ModelError:
            continue


def test_fixed_width_fields_are_stepped_over():
    assert list(fields(bytes([0x09]) + bytes(8) + bytes([0x15]) + bytes(4) + bytes([0x18, 5]))) == [
        (1, bytes(8)),
        (2, bytes(4)),
        (3, 5),
    ]


def test_a_unigram_model_tokenises_as_sentencepiece_does(tmp_path):
    import sentencepiece

    path = trained(tmp_path, vocab_size=120, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    path.rename(tmp_path / "spiece.model")
    tokenizer = Tokenizer.from_folder(tmp_path)
    library = sentencepiece.SentencePieceProcessor(str(tmp_path / "spiece.model"))
    for text in TEXTS:
        assert tokenizer.encode(text).ids == [*library.encode(text), 1], text
    assert (tokenizer.pad, tokenizer.sep, tokenizer.encode("").ids) == (0, 1, [1])
    with pytest.raises(ModelError, match="has no cls_token"):
        _ = tokenizer.cls
    assert tokenizer.encode("</s><pad>").ids[:-1] != [1, 0]


def test_xlm_roberta_ids_are_sentencepieces_moved_by_one(tmp_path):
    import sentencepiece

    (tmp_path / XLMR.name).write_bytes(XLMR.read_bytes())
    tokenizer = Tokenizer.from_folder(tmp_path)
    library = sentencepiece.SentencePieceProcessor(str(XLMR))
    for text in TEXTS:
        moved = [i + 1 if i else 3 for i in library.encode(text)]
        assert tokenizer.encode(text).ids == [0, *moved, 2], text


def test_bpe_models_are_refused(tmp_path):
    trained(tmp_path, vocab_size=120, model_type="bpe").rename(tmp_path / "spiece.model")
    with pytest.raises(ModelError, match=r"is a bpe model.*tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)


def byte_letters() -> list[str]:
    """The 256 letters that byte-level BPE writes bytes with."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in kept]
    return [*map(chr, kept), *(chr(256 + i) for i in range(len(moved)))]


@pytest.fixture
def clip_folder(tmp_path):
    letters = byte_letters()
    merges = ["t h", "th e</w>", "c a", "ca t</w>", "Ã ©</w>", "a t</w>"]
    entries = [*letters, *(x + "</w>" for x in letters), *("".join(m.split()) for m in merges)]
    vocab = {piece: i for i, piece in enumerate([*entries, "<|startoftext|>", "<|endoftext|>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    return tmp_path


def test_clip_equals_transformers(clip_folder):
    from transformers import CLIPTokenizer

    tokenizer = Tokenizer.from_folder(clip_folder)
    theirs = CLIPTokenizer.from_pretrained(str(clip_folder))
    for text in TEXTS:
        assert tokenizer.encode(text).ids == theirs(text)["input_ids"], text
    hostile = "a <|endoftext|> cat"
    assert tokenizer.encode(hostile, parse_special=True).ids == theirs(hostile)["input_ids"]
    plain = tokenizer.encode(hostile).ids
    assert plain.count(tokenizer.sep) == 1
    assert (tokenizer.cls, tokenizer.sep, tokenizer.pad) == (518, 519, 519)
    assert tokenizer.encode("the cat " * 50, 77).ids[-1] == tokenizer.sep


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False},
    ],
)
def test_bert_equals_transformers(config, tmp_path):
    from transformers import BertTokenizer

    source = GOLDEN / "visualized-base-tiny" / "model" / "bge-base-en-v1.5" / "vocab.txt"
    (tmp_path / "vocab.txt").write_bytes(source.read_bytes())
    config = {"tokenizer_class": "BertTokenizer", **config}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer, theirs = Tokenizer.from_folder(tmp_path), BertTokenizer.from_pretrained(str(tmp_path))
    for text in TEXTS:
        assert tokenizer.encode(text).ids == theirs(text)["input_ids"], text
