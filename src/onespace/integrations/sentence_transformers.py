"""A text tower of ours as a folder that sentence-transformers loads with its own classes.

    from onespace.integrations.sentence_transformers import export_sentence_transformers

    export_sentence_transformers(onespace.load("models/onespace-mini"), "mini-st")
    SentenceTransformer("mini-st").encode_query("a whale")       # no trust_remote_code

Writing needs the extra ``torch``; sentence-transformers itself isn't needed for it.
"""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onespace.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from onespace.encoder import Encoder
    from onespace.spec import Spec, TextSpec

PACKAGE = "sentence_transformers.models"
"""Where every release of sentence-transformers finds its classes."""
POOLINGS = {"cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken"}


def export_sentence_transformers(encoder: Encoder, folder: str | PathLike[str]) -> Path:
    """Writes the dense vectors of texts as Transformer, Pooling and Normalize; returns the folder.

    The prefixes become the prompts ``query`` and ``document``. Pictures, sparse and multi-vectors have no place there.
    One thing differs: sentence-transformers takes ``</s>`` or ``[SEP]`` in a text for the special token.

    Raises:
        ModelError: the text tower isn't BERT's or XLM-RoBERTa's, or the model runs an exported graph.
    """
    from onespace.checkpoint import write

    text = _stock(encoder.spec)
    weights = _weights(encoder)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    write(weights, place / "model.safetensors")
    encoder.tokenizer.save(place)
    for name, value in _files(encoder, text).items():
        path = place / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")
    return place


def _stock(spec: Spec) -> TextSpec:
    """The text tower, where stock classes can run it."""
    text = spec.text
    if text is None or not spec.fused or text.tower != "bert" or text.activation != "gelu":
        raise ModelError(
            f"{spec.name}: sentence-transformers has no classes for its text tower, only for BERT's and XLM-RoBERTa's. "
            "Serve it with `onespace serve` instead."
        )
    return text


def _weights(encoder: Encoder) -> dict[str, Tensor]:
    """The text tower's weights by the names that transformers gives them."""
    import torch

    from onespace.engines.torch_engine import TorchEngine
    from onespace.towers.reduced import Int8Linear

    name, engine = encoder.spec.name, encoder.engine
    if not isinstance(engine, TorchEngine):
        raise ModelError(
            f"{name} runs an exported graph, which has no weights to write. Load the folder that has "
            "model.safetensors, such as models/onespace-mini."
        )
    if any(isinstance(part, Int8Linear) for part in engine.module.modules()):
        raise ModelError(f"{name} was reduced to int8. Load it without dtype='int8'.")
    tower = {_theirs(k): v.float() for k, v in engine.module.state_dict().items() if k.startswith("text.")}
    width = len(tower["embeddings.LayerNorm.bias"])
    unused = {"pooler.dense.weight": torch.zeros(width, width), "pooler.dense.bias": torch.zeros(width)}
    return tower | unused  # transformers makes a pooler, and warns of one that it doesn't find


def _theirs(name: str) -> str:
    """The name of a weight in transformers.

    >>> _theirs("text.embed.norm.bias"), _theirs("text.blocks.3.attention.out.weight")
    ('embeddings.LayerNorm.bias', 'encoder.layer.3.attention.output.dense.weight')
    """
    from onespace.families.bert_layout import NAMES

    longest_first = sorted(NAMES, key=lambda pair: len(pair[1]), reverse=True)
    whole = [pair for pair in longest_first if pair[1].startswith("text.")]
    inner = [pair for pair in longest_first if pair not in whole and pair[0] not in (".gamma", ".beta")]
    theirs, ours = next(pair for pair in whole if pair[1] in name)
    name = name.replace(ours, theirs)
    if theirs == "encoder.layer.":
        theirs, ours = next(pair for pair in inner if pair[1] in name)
        name = name.replace(ours, theirs)
    return name


def _files(encoder: Encoder, text: TextSpec) -> dict[str, Any]:
    spec = encoder.spec
    bert = text.position_rule == "absolute"
    steps = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")][: 2 + spec.heads.unit]
    specials = {"cls_token": encoder.tokenizer.cls, "sep_token": encoder.tokenizer.sep, "pad_token": text.pad}
    return {
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"{PACKAGE}.{name}"}
            for i, (name, path) in enumerate(steps)
        ],
        "config.json": {
            "architectures": ["BertModel" if bert else "XLMRobertaModel"],
            "model_type": "bert" if bert else "xlm-roberta",
            "vocab_size": text.vocab,
            "hidden_size": text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "intermediate_size": text.hidden,
            "hidden_act": "gelu",
            "max_position_embeddings": text.max_positions,
            "type_vocab_size": text.token_types,
            "layer_norm_eps": text.eps,
            "pad_token_id": text.pad,
            "torch_dtype": "float32",
        },
        "sentence_bert_config.json": {"max_seq_length": spec.max_tokens, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": spec.query_prefix, "document": spec.document_prefix},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
        "1_Pooling/config.json": {
            "word_embedding_dimension": text.width,
            **{f"pooling_mode_{name}": spec.heads.pooling == ours for ours, name in POOLINGS.items()},
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": spec.max_tokens,
            **{role: encoder.tokenizer.piece(id) for role, id in specials.items()},
        },
    }
