"""Tiny tokenizers and random weights, for the families' ``tiny()``: a contract test needs no download."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onespace.spec import PositionRule, Spec, TextSpec

if TYPE_CHECKING:
    from torch import nn

    from onespace.encoder import Encoder
    from onespace.prepare.tokens import Tokenizer

LETTERS = string.ascii_lowercase + string.digits + ".,;:!?-'\"()" + "一条龙图红色"


def encoder(spec: Spec, module: Callable[[Spec], nn.Module], tokenizer: Tokenizer) -> Encoder:
    """An encoder on the CPU whose weights are random, and the same at every call."""
    import torch

    from onespace.encoder import Encoder
    from onespace.engines.torch_engine import TorchEngine

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = module(spec)
    return Encoder(spec, tokenizer, TorchEngine(model, device="cpu"))


def bert_tokenizer() -> Tokenizer:
    """WordPiece over single characters, with BERT's special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS)]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocab)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return _ours(made, pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")


def xlmr_tokenizer() -> Tokenizer:
    """A Unigram model over single characters, with XLM-RoBERTa's special tokens and their ids."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0)]
    vocab += [(c, -2.0 - i / 100) for i, c in enumerate(LETTERS + string.ascii_uppercase)]
    made = Tokenizer(models.Unigram([*vocab, ("<mask>", 0.0)], unk_id=3, byte_fallback=False))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return _ours(made, pad="<pad>", unk="<unk>", cls="<s>", sep="</s>", mask="<mask>")


def _ours(made: Any, **special: str) -> Tokenizer:
    from onespace.prepare.tokens import Tokenizer

    made.add_special_tokens(list(special.values()))
    return Tokenizer(json.loads(made.to_str()), special={f"{role}_token": token for role, token in special.items()})


def text_spec(tokenizer: Tokenizer, rule: PositionRule) -> TextSpec:
    """A text tower for one of the tokenizers above: 32 wide, 2 layers, 64 tokens."""
    return TextSpec(
        vocab=tokenizer.vocab_size,
        width=32,
        layers=2,
        heads=4,
        hidden=48,
        max_positions=64 + (tokenizer.pad + 1 if rule == "pad-aware" else 0),
        position_rule=rule,
        pad=tokenizer.pad,
    )
