"""The tokenizer files that models are published with, each turned into a ``tokenizer.json`` document.

One row of `LAYOUTS` is one layout; the first whose files are all there is read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onespace.errors import ModelError
from onespace.prepare.sentencepiece import SentencePieceModel, parse

Document = dict[str, Any]
Config = Mapping[str, Any]

_CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"  # the published rule
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Files that together hold a tokenizer, and how to read them."""

    files: tuple[str, ...]
    read: Callable[[Path, Config], Document]


def read_folder(folder: Path) -> tuple[Document, dict[str, str]]:
    """The tokenizer in a folder as a ``tokenizer.json`` document, and the names of its special tokens.

    Raises:
        ModelError: when no layout fits, saying what was looked for, or when a file is damaged.
    """
    config = _read_config(folder)
    for layout in LAYOUTS:
        if all((folder / name).is_file() for name in layout.files):
            document = layout.read(folder, config)
            names: dict[str, str] = document.pop("special_names", {})
            return document, names | _stated_names(config)
    wanted = ", ".join(" + ".join(layout.files) for layout in LAYOUTS)
    found = ", ".join(sorted(p.name for p in folder.iterdir())[:20]) if folder.is_dir() else "no such folder"
    raise ModelError(f"{folder} holds no tokenizer. Looked for {wanted}; found: {found or 'nothing'}. Add one of them.")


def _read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            config |= _read_json(folder / name)
    return config


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} can't be read as JSON ({error}). Get the file again.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}, not an object. Get the file again.")
    return value


def _stated_names(config: Config) -> dict[str, str]:
    """Entries such as ``pad_token``; ``add_bos_token`` and the like are switches, not names."""
    return {k: _content(v) for k, v in config.items() if k.endswith("_token") and isinstance(v, (str, dict)) and v}


def _content(token: str | Mapping[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _tokenizer_json(folder: Path, config: Config) -> Document:
    del config
    return _read_json(folder / "tokenizer.json")


def _bert(folder: Path, config: Config) -> Document:
    """``vocab.txt``: one WordPiece a line."""
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocab = {line.rstrip("\r"): i for i, line in enumerate(lines) if line.strip("\r") or i < len(lines) - 1}
    names = {key: _content(config.get(key) or default) for key, default in _BERT_NAMES.items()}
    _require(vocab, names.values(), folder / "vocab.txt")
    return {
        **_shell(names, vocab, prefix="cls_token", suffix="sep_token"),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
            "strip_accents": config.get("strip_accents"),
            "lowercase": config.get("do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": names["unk_token"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    }


_BERT_NAMES = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


def _clip(folder: Path, config: Config) -> Document:
    """``vocab.json`` and ``merges.txt`` as CLIP uses them: lower-cased byte-level BPE, words ended by ``</w>``."""
    vocab = _read_json(folder / "vocab.json")
    merges = [
        line
        for line in (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        if line.strip() and not line.startswith("#version")
    ]
    if not any(merge.endswith("</w>") for merge in merges):
        raise ModelError(
            f"{folder / 'merges.txt'} isn't CLIP's: no merge ends a word with </w>. Add the model's tokenizer.json."
        )
    names = {
        "bos_token": _content(config.get("bos_token") or "<|startoftext|>"),
        "eos_token": _content(config.get("eos_token") or "<|endoftext|>"),
        "unk_token": _content(config.get("unk_token") or "<|endoftext|>"),
        "pad_token": _content(config.get("pad_token") or "<|endoftext|>"),
    }
    _require(vocab, names.values(), folder / "vocab.json")
    words = {"type": "Split", "pattern": {"Regex": _CLIP_WORDS}, "behavior": "Removed", "invert": True}
    return {
        **_shell(names, vocab, prefix="bos_token", suffix="eos_token"),
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "NFC"}, _replace(r"\s+", " "), {"type": "Lowercase"}],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                words,
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": names["unk_token"],
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocab,
            "merges": merges,
        },
    }


def _xlm_roberta(folder: Path, config: Config) -> Document:
    """``sentencepiece.bpe.model`` with XLM-R's ids: four special tokens, the pieces from the fourth on, ``<mask>``."""
    del config
    model = _unigram_file(folder / "sentencepiece.bpe.model")
    names = {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    }
    first = [[names[key], 0.0] for key in ("bos_token", "pad_token", "eos_token", "unk_token")]
    pieces = [*first, *([p.text, p.score] for p in model.pieces[3:]), ["<mask>", 0.0]]
    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": len(pieces) - 1}
    document = {
        **_shell(names, vocab, prefix="bos_token", suffix="eos_token"),
        **_metaspace(model),
        "model": {"type": "Unigram", "unk_id": 3, "byte_fallback": False, "vocab": pieces},
    }
    document["added_tokens"][-1] |= {"lstrip": True, "normalized": True}  # <mask> takes the space before it
    return document


def _t5(folder: Path, config: Config) -> Document:
    """``spiece.model`` with its own ids, and ``</s>`` after each text (T5, SigLIP)."""
    model = _unigram_file(folder / "spiece.model")
    names = {
        "unk_token": _content(config.get("unk_token") or "<unk>"),
        "pad_token": _content(config.get("pad_token") or "<pad>"),
        "eos_token": _content(config.get("eos_token") or "</s>"),
    }
    ids = {piece.text: i for i, piece in enumerate(model.pieces)}
    _require(ids, names.values(), folder / "spiece.model")
    return {
        **_shell(names, ids, prefix=None, suffix="eos_token"),
        **_metaspace(model),
        "model": {
            "type": "Unigram",
            "unk_id": model.unknown,
            "byte_fallback": False,
            "vocab": [[piece.text, piece.score] for piece in model.pieces],
        },
    }


LAYOUTS = (
    Layout(("tokenizer.json",), _tokenizer_json),
    Layout(("vocab.json", "merges.txt"), _clip),
    Layout(("sentencepiece.bpe.model",), _xlm_roberta),
    Layout(("spiece.model",), _t5),
    Layout(("vocab.txt",), _bert),
)


def _unigram_file(path: Path) -> SentencePieceModel:
    model = parse(path.read_bytes(), where=str(path))
    if model.kind != "unigram":
        raise ModelError(
            f"{path} is a {model.kind} model; only unigram models are read. Add the model's tokenizer.json."
        )
    return model


def _metaspace(model: SentencePieceModel) -> Document:
    """SentencePiece's treatment of characters and spaces."""
    steps: list[Document] = []
    if model.charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(model.charsmap).decode()})
    if model.strip_spaces:
        steps += [{"type": "Strip", "strip_left": True, "strip_right": True}, _replace(" {2,}", " ")]
    scheme = "always" if model.dummy_prefix else "never"
    spaces = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True}
    return {"normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": spaces}


def _replace(pattern: str, content: str) -> Document:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _shell(names: Mapping[str, str], vocab: Mapping[str, int], *, prefix: str | None, suffix: str) -> Document:
    """What all documents share: the special tokens, and the ones that go before and after each text."""
    before = [names[prefix]] if prefix else []
    template = [{"SpecialToken": {"id": name, "type_id": 0}} for name in (*before, names[suffix])]
    template.insert(len(before), {"Sequence": {"id": "A", "type_id": 0}})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "special_names": dict(names),
        "added_tokens": [
            {"id": vocab[name], "content": name, "special": True, "normalized": False}
            | {"single_word": False, "lstrip": False, "rstrip": False}
            for name in sorted(set(names.values()), key=lambda name: vocab[name])
        ],
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template,
            "pair": [*template, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {
                name: {"id": name, "ids": [vocab[name]], "tokens": [name]} for name in {*before, names[suffix]}
            },
        },
        "decoder": None,
    }


def _require(vocab: Mapping[str, int], names: Any, path: Path) -> None:
    missing = sorted({name for name in names if name not in vocab})
    if missing:
        raise ModelError(
            f"{path} has no entry for {', '.join(missing)}. Get the file, and tokenizer_config.json, again."
        )
