"""Texts to token ids, with what was cut off and where in the text each token stands.

In a text of the user's, ``</s>`` or ``[SEP]`` are ordinary characters: they never become the special token, unless
``parse_special=True`` asks for the reference implementations' behaviour.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from onespace.errors import InputError, ModelError
from onespace.prepare.vocabularies import read_folder

_SURROGATES = re.compile("[\ud800-\udfff]")
_PADS = ("[PAD]", "<pad>")


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text as token ids, special tokens included.

    ``dropped`` counts the tokens cut off at the end; ``offsets`` holds (start, end) in characters for each id, and
    (0, 0) for special tokens.
    """

    ids: list[int]
    dropped: int
    offsets: list[tuple[int, int]]


class Tokenizer:
    """A tokenizer that never changes once it is built, so that threads can share it."""

    def __init__(self, document: Mapping[str, Any], *, special: Mapping[str, str] | None = None) -> None:
        """Builds a tokenizer from the contents of a ``tokenizer.json``.

        Args:
            document: the file's contents; its truncation and padding are ignored.
            special: names of special tokens, such as ``{"pad_token": "<pad>"}``, as in ``tokenizer_config.json``.
        """
        padding = document.get("padding") or {}
        document = {**document, "truncation": None, "padding": None}
        self._special = {"pad_token": padding["pad_token"], **(special or {})} if padding else dict(special or {})
        self._source = json.dumps(document, ensure_ascii=False)
        self._names = {token["id"]: token["content"] for token in document["added_tokens"] if token["special"]}
        self._plain = _backend(json.dumps(_deaf(document), ensure_ascii=False))
        probe = self._plain.encode("a").special_tokens_mask
        self._before = probe.index(0) if 0 in probe else len(probe) - 1
        self._after = len(probe) - self._before - probe.count(0)

    @classmethod
    def from_folder(cls, path: Path) -> Tokenizer:
        """Reads ``tokenizer.json``, or else the raw vocabulary files of BERT, XLM-R, CLIP, T5 or SigLIP.

        Raises:
            ModelError: when there is none, saying what was looked for, or when a file is damaged.
        """
        try:
            document, special = read_folder(Path(path))
            return cls(document, special=special)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ModelError(f"{path}: the tokenizer's files are damaged ({error!r}). Get them again.") from error

    def encode(self, text: str, max_tokens: int | None = None, *, parse_special: bool = False) -> Tokens:
        """One text as ids; beyond ``max_tokens`` the end is cut off, and the closing special token is kept.

        Args:
            text: any text, also an empty one.
            max_tokens: the most ids to return, special tokens included; None for all.
            parse_special: whether the names of special tokens in the text become these tokens.

        Raises:
            InputError: when ``max_tokens`` leaves no room for the special tokens.
        """
        return self.encode_batch([text], max_tokens, parse_special=parse_special)[0]

    def encode_batch(
        self, texts: Sequence[str], max_tokens: int | None = None, *, parse_special: bool = False
    ) -> list[Tokens]:
        """Many texts at once; each result is that of `encode`."""
        if max_tokens is not None and max_tokens < self._before + self._after:
            raise InputError(
                f"max_tokens={max_tokens} leaves no room for the {self._before + self._after} special tokens. Raise it."
            )
        backend = self._parsing if parse_special else self._plain
        clean = [_SURROGATES.sub("\ufffd", text) for text in texts]
        encoded = [backend.encode(clean[0])] if len(clean) == 1 else backend.encode_batch(clean)
        return [self._cut(e.ids, e.offsets, max_tokens) for e in encoded]

    def parsing(self) -> Tokenizer:
        """The same tokenizer, for which special tokens in a text are always these tokens (``parse_special``)."""
        other = copy(self)
        other._plain = self._parsing
        return other

    def piece(self, id: int) -> str:
        """The text of a token, as it stands in the vocabulary.

        Raises:
            InputError: when the vocabulary has no such id.
        """
        found = self._names.get(id) or (self._plain.id_to_token(id) if 0 <= id < 2**32 else None)
        if found is None:
            raise InputError(
                f"token id {id} isn't in the vocabulary of {self.vocab_size}. Check the model's tokenizer."
            )
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out. Raises `InputError` for an id that there isn't."""
        plain = [id for id in ids if id not in self._names]
        pieces = [self.piece(id) for id in plain]
        if self._plain.decoder is not None:
            return str(self._plain.decode(plain))
        spaced = any("▁" in piece for piece in pieces)
        return "".join(pieces).replace("▁", " ").strip() if spaced else " ".join(pieces).replace(" ##", "")

    @property
    def vocab_size(self) -> int:
        """V, with the special tokens."""
        return self._plain.get_vocab_size()

    @property
    def specials(self) -> tuple[int, int]:
        """How many special tokens stand before a text, and how many behind it."""
        return self._before, self._after

    @cached_property
    def cls(self) -> int:
        """The id that opens every text. Raises `ModelError` when texts are opened by none."""
        return self._ends("cls_token", "bos_token", at=0 if self._before else None)

    @cached_property
    def sep(self) -> int:
        """The id that closes every text. Raises `ModelError` when texts are closed by none."""
        return self._ends("sep_token", "eos_token", at=-1 if self._after else None)

    @cached_property
    def pad(self) -> int:
        """The id that fills up short texts; the closing one where the vocabulary has none for it (CLIP)."""
        for name in (self._special.get("pad_token"), *_PADS):
            found = self._id(name)
            if found is not None:
                return found
        return self.sep

    def save(self, folder: Path) -> None:
        """Writes ``tokenizer.json`` and ``tokenizer_config.json``, from which `from_folder` builds the same again."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(self._source, encoding="utf-8")
        config = json.dumps(self._special, ensure_ascii=False, indent=2)
        (folder / "tokenizer_config.json").write_text(config + "\n", encoding="utf-8")

    @cached_property
    def _parsing(self) -> tokenizers.Tokenizer:
        return _backend(self._source)

    def _cut(self, ids: list[int], offsets: list[tuple[int, int]], max_tokens: int | None) -> Tokens:
        dropped = 0 if max_tokens is None else max(0, len(ids) - max_tokens)
        if dropped:
            end = len(ids) - self._after
            keep = end - dropped
            ids, offsets = ids[:keep] + ids[end:], offsets[:keep] + offsets[end:]
        return Tokens(ids, dropped, offsets)

    def _ends(self, *names: str, at: int | None) -> int:
        if at is not None:
            return self._plain.encode("").ids[at]
        for name in names:
            found = self._id(self._special.get(name))
            if found is not None:
                return found
        raise ModelError(f"the tokenizer has no {names[0]}. Name it in tokenizer_config.json.")

    def _id(self, name: str | None) -> int | None:
        known = next((id for id, content in self._names.items() if content == name), None)
        return known if known is not None or name is None else self._plain.token_to_id(name)


def _backend(source: str) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(source)
    except Exception as error:  # the library raises bare exceptions
        raise ModelError(f"tokenizer.json can't be used ({error}). Get the file again.") from error


def _deaf(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same tokenizer with its special tokens renamed so that no text can spell them; their ids stay.

    Leaving them out isn't enough: Unigram also finds ``<s>`` among its pieces, and the ids of later tokens would move.
    """
    secret = secrets.token_hex(8)
    renamed = {token["content"]: token["content"] + secret for token in document["added_tokens"] if token["special"]}
    model = dict(document["model"])
    if isinstance(model["vocab"], list):
        model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {renamed.get(piece, piece): id for piece, id in model["vocab"].items()}
    if model.get("unk_token") is not None:
        model["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])
    added = [
        {**token, "content": renamed.get(token["content"], token["content"])} for token in document["added_tokens"]
    ]
    return {**document, "model": model, "added_tokens": added}
