"""BGE-M3 under the name and the arguments of its authors' package.

from onespace.compat.flag_embedding import BGEM3FlagModel       # was: from FlagEmbedding import BGEM3FlagModel
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, TypeAlias, TypedDict, cast

import numpy as np

from onespace.compat.reference import encode, open_reference
from onespace.embeddings import Embeddings, Sparse
from onespace.encoder import Encoder
from onespace.errors import InputError, MissingExtra
from onespace.score import similarity
from onespace.types import HEADS, Head, Metric

try:
    import torch
except ImportError as error:
    raise MissingExtra("onespace.compat.flag_embedding", "torch", "torch") from error

log = logging.getLogger(__name__)

Weights: TypeAlias = "Mapping[str, Any]"
"""Token ids as strings (or tokens), and their weights."""
BATCH_SIZE = 256
"""The original's default. It stands for batches by a budget of tokens here; any other number is taken at its word."""


METRICS: tuple[Metric, ...] = ("dot", "lexical", "maxsim")
"""Of dense, sparse and ColBERT scores."""


class Vectors(TypedDict):
    """What `BGEM3FlagModel.encode` returns: for one text, each value is that of the text alone."""

    dense_vecs: np.ndarray | None
    """(N, D) float32, or (D,) for one text."""
    lexical_weights: Any
    """A dict for each text, from token ids as strings, in the text's order, to numpy float32."""
    colbert_vecs: Any
    """An array (T, d) float32 for each text."""


class BGEM3FlagModel:
    """Encodes texts with the three heads of BGE-M3.

    Unlike the original it runs on one device, leaves out a head whose file is missing rather than making it up, says
    in the log when it cuts a text, and returns float32 also where it computes in float16.

    Args:
        model_name_or_path: folder or hub name.
        normalize_embeddings: whether dense and ColBERT vectors have length 1.
        use_fp16: computes in float16, except on the CPU.
        query_instruction_for_retrieval: put before the texts of `encode_queries`.
        query_instruction_format: how it is put there.
        devices: a torch device; of a list, the first; by default the first GPU, if any.
        pooling_method: ``cls``, ``mean`` or ``last_token``.
        trust_remote_code: unused: no remote code is ever run.
        cache_dir: unused: ``HF_HOME`` says where downloads are kept.
        colbert_dim: unused: the width is read from the file.
        batch_size: texts a batch; 256, the default, leaves it to a budget of tokens.
        query_max_length: most tokens of a query.
        passage_max_length: most tokens of any other text.
        return_dense: whether `encode` returns dense vectors.
        return_sparse: whether it returns lexical weights.
        return_colbert_vecs: whether it returns ColBERT vectors.
        truncate_dim: leading numbers that are kept of dense and ColBERT vectors.
        passage_instruction_for_retrieval: put before the texts of `encode_corpus`.
        passage_instruction_format: how it is put there.

    Raises:
        ModelError: the files can't be loaded.
    """

    def __init__(
        self,
        model_name_or_path: str | PathLike[str],
        normalize_embeddings: bool = True,
        use_fp16: bool = True,
        query_instruction_for_retrieval: str | None = None,
        query_instruction_format: str = "{}{}",
        devices: str | int | Sequence[str | int] | None = None,
        pooling_method: str = "cls",
        trust_remote_code: bool = False,  # noqa: ARG002
        cache_dir: str | None = None,
        colbert_dim: int = -1,  # noqa: ARG002
        batch_size: int = BATCH_SIZE,
        query_max_length: int = 512,
        passage_max_length: int = 512,
        return_dense: bool = True,
        return_sparse: bool = False,
        return_colbert_vecs: bool = False,
        *,
        truncate_dim: int | None = None,
        passage_instruction_for_retrieval: str | None = None,
        passage_instruction_format: str = "{}{}",
    ) -> None:
        if cache_dir is not None:
            log.warning("cache_dir=%r is not used. HF_HOME says where downloads are kept.", cache_dir)
        if truncate_dim is not None and truncate_dim < 1:
            raise InputError(f"truncate_dim={truncate_dim} must be at least 1, or None for all.")
        device = _device(devices)
        dtype = "float16" if use_fp16 and device != "cpu" else None
        self.model = open_reference(
            model_name_or_path, pooling=pooling_method, unit=normalize_embeddings, device=device, dtype=dtype
        )
        self.tokenizer = self.model.tokenizer
        self.normalize_embeddings, self.truncate_dim = normalize_embeddings, truncate_dim
        self.query_instruction = (query_instruction_for_retrieval, query_instruction_format)
        self.passage_instruction = (passage_instruction_for_retrieval, passage_instruction_format)
        self.batch_size = batch_size
        self.query_max_length, self.passage_max_length = query_max_length, passage_max_length
        self.return_dense, self.return_sparse = return_dense, return_sparse
        self.return_colbert_vecs = return_colbert_vecs

    def encode(
        self,
        sentences: str | Sequence[str],
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool | None = None,
        return_sparse: bool | None = None,
        return_colbert_vecs: bool | None = None,
    ) -> Vectors:
        """Encodes one text or several; what isn't asked for is None. Each argument left out is that of the model.

        Raises:
            InputError: nothing is asked for, a head isn't there, or something isn't a text.
        """
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        asked = (return_dense, return_sparse, return_colbert_vecs)
        own = (self.return_dense, self.return_sparse, self.return_colbert_vecs)
        wanted = [mine if one is None else one for one, mine in zip(asked, own, strict=True)]
        heads = tuple(head for head, want in zip(HEADS, wanted, strict=True) if want)
        length = self.passage_max_length if max_length is None else max_length
        e = self._encode(texts, heads, length, batch_size)
        out: Vectors = {
            "dense_vecs": e.dense,
            "lexical_weights": None if e.sparse is None else self._weights(texts, e.sparse, length),
            "colbert_vecs": None if e.multi is None else [e.multi[i] for i in range(len(texts))],
        }
        if isinstance(sentences, str):
            return cast(Vectors, {name: None if rows is None else rows[0] for name, rows in out.items()})  # type: ignore[index]
        return out

    def encode_queries(
        self,
        queries: str | Sequence[str],
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool | None = None,
        return_sparse: bool | None = None,
        return_colbert_vecs: bool | None = None,
    ) -> Vectors:
        """`encode` with ``query_max_length`` and the query instruction."""
        length = self.query_max_length if max_length is None else max_length
        texts = _instructed(queries, *self.query_instruction)
        return self.encode(texts, batch_size, length, return_dense, return_sparse, return_colbert_vecs)

    def encode_corpus(
        self,
        corpus: str | Sequence[str],
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool | None = None,
        return_sparse: bool | None = None,
        return_colbert_vecs: bool | None = None,
    ) -> Vectors:
        """`encode` with ``passage_max_length`` and the passage instruction."""
        texts = _instructed(corpus, *self.passage_instruction)
        return self.encode(texts, batch_size, max_length, return_dense, return_sparse, return_colbert_vecs)

    def convert_id_to_token(
        self, lexical_weights: Weights | Sequence[Weights]
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The same weights, with the tokens' text for their ids; for one dict, or a list of one, it is one dict."""
        several = [lexical_weights] if isinstance(lexical_weights, Mapping) else lexical_weights
        out = [{self._spelt(int(id)): weight for id, weight in weights.items()} for weights in several]
        return out[0] if len(out) == 1 else out

    def compute_score(
        self,
        sentence_pairs: Sequence[Sequence[str]] | Sequence[str],
        batch_size: int | None = None,
        max_query_length: int | None = None,
        max_passage_length: int | None = None,
        weights_for_different_modes: Sequence[float] | None = None,
    ) -> dict[str, Any]:
        """Scores a query against a passage, for one pair (numbers) or several (lists of numbers).

        ``weights_for_different_modes`` are those of dense, sparse and ColBERT scores, each 1 by default. Where dense
        and sparse both weigh 0, ``sparse+dense`` is NaN.

        Raises:
            InputError: something isn't a pair of texts, or the weights can't be used.
        """
        one = bool(sentence_pairs) and isinstance(sentence_pairs[0], str)
        pairs = cast("list[Sequence[str]]", [sentence_pairs] if one else list(sentence_pairs))
        for i, pair in enumerate(pairs):
            if len(pair) != 2:
                raise InputError(f"pair {i} has {len(pair)} parts. Pass (query, passage).")
        weights = _three(weights_for_different_modes)
        lengths = (max_query_length or self.query_max_length, max_passage_length or self.passage_max_length)
        q, p = (self._encode([pair[k] for pair in pairs], HEADS, lengths[k], batch_size) for k in (0, 1))
        dense, sparse, colbert = _scores(q, p)
        with np.errstate(invalid="ignore"):
            scores = {
                "colbert": colbert,
                "sparse": sparse,
                "dense": dense,
                "sparse+dense": (weights[0] * dense + weights[1] * sparse) / np.float32(weights[0] + weights[1]),
                "colbert+sparse+dense": (weights[0] * dense + weights[1] * sparse + weights[2] * colbert)
                / sum(weights),
            }
        return {name: values.tolist()[0] if one else values.tolist() for name, values in scores.items()}

    def colbert_score(self, q_reps: np.ndarray, p_reps: np.ndarray) -> torch.Tensor:
        """Mean over the rows of a query (T, d) of the best dot product with a row of the passage: a scalar tensor."""
        scores: torch.Tensor = torch.from_numpy(q_reps @ p_reps.T).amax(1).mean()
        return scores

    def compute_lexical_matching_score(
        self, lexical_weights_1: Weights | Sequence[Weights], lexical_weights_2: Weights | Sequence[Weights]
    ) -> float | np.ndarray:
        """Sum of the products of common weights: a number for two dicts, a matrix (N, M) for two lists.

        Raises:
            InputError: one is a dict and the other a list.
        """
        if isinstance(lexical_weights_1, Mapping) and isinstance(lexical_weights_2, Mapping):
            return _common(lexical_weights_1, lexical_weights_2)
        if isinstance(lexical_weights_1, Mapping) or isinstance(lexical_weights_2, Mapping):
            raise InputError("one is a dict and the other a list. Pass two dicts, or two lists of dicts.")
        rows = [[_common(a, b) for b in lexical_weights_2] for a in lexical_weights_1]
        return np.array(rows, np.float64).reshape(len(lexical_weights_1), len(lexical_weights_2))

    def _encode(self, texts: list[str], heads: tuple[Head, ...], length: int, batch_size: int | None) -> Embeddings:
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {i} is a {type(text).__name__}. BGE-M3 takes texts only.")
        size = self.batch_size if batch_size is None else batch_size
        spec = replace(self.model.spec, max_tokens=self._longest(length))
        encoder = Encoder(spec, self.tokenizer, self.model.engine)
        e = encode(encoder, texts, heads, batch_size=None if size == BATCH_SIZE else size)
        if self.truncate_dim is None:
            return e
        return replace(
            e,
            dense=None if e.dense is None else self._truncated(e.dense),
            multi=None if e.multi is None else replace(e.multi, values=self._truncated(e.multi.values)),
        )

    def _truncated(self, rows: np.ndarray) -> np.ndarray:
        kept = rows[:, : self.truncate_dim]
        return kept / np.linalg.norm(kept, axis=1, keepdims=True) if self.normalize_embeddings else kept

    def _longest(self, length: int) -> int:
        return min(length, self.model.spec.max_tokens)

    def _weights(self, texts: list[str], sparse: Sparse, length: int) -> list[dict[str, Any]]:
        """In the order in which the tokens first stand in the text; as in the original, an absent one weighs 0."""
        out: list[dict[str, Any]] = []
        for i, tokens in enumerate(self.tokenizer.encode_batch(texts, self._longest(length)) if texts else ()):
            ids, values = sparse.row(i)
            row = dict(zip(ids.tolist(), values, strict=True))
            out.append(defaultdict(int, {str(id): row[id] for id in dict.fromkeys(tokens.ids) if id in row}))
        return out

    def _spelt(self, id: int) -> str:
        return self.tokenizer.piece(id).removeprefix("▁").replace("▁", " ")


def _device(devices: str | int | Sequence[str | int] | None) -> str:
    several = [devices] if isinstance(devices, (str, int)) else list(devices or ())
    if not several:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if len(several) > 1:
        log.warning("devices=%r: only %r is used.", devices, several[0])
    return f"cuda:{several[0]}" if isinstance(several[0], int) else several[0]


def _instructed(texts: str | Sequence[str], instruction: str | None, form: str) -> str | Sequence[str]:
    """The instruction before each text.

    >>> _instructed(["a whale"], "Find pictures: ", "{}{}")
    ['Find pictures: a whale']
    """
    if instruction is None:
        return texts
    return form.format(instruction, texts) if isinstance(texts, str) else [form.format(instruction, t) for t in texts]


def _three(weights: Sequence[float] | None) -> tuple[float, float, float]:
    dense, sparse, colbert = weights if weights is not None and len(weights) == 3 else (1.0, 1.0, 1.0)
    if (weights is not None and len(weights) != 3) or min(dense, sparse, colbert) < 0 or not dense + sparse + colbert:
        raise InputError(
            f"weights {weights!r} must be three numbers, none below 0 and not all 0: dense, sparse, ColBERT."
        )
    return float(dense), float(sparse), float(colbert)


def _scores(q: Embeddings, p: Embeddings) -> np.ndarray:
    """Dense, sparse and ColBERT score of each row of ``q`` with the same row of ``p``: (3, N) float32."""
    table = [[similarity(q[i], p[i], metric=metric)[0, 0] for metric in METRICS] for i in range(len(q))]
    return np.array(table, np.float32).reshape(len(q), 3).T


def _common(a: Weights, b: Weights) -> float:
    """Sum of the products of the weights that both have.

    >>> _common({"1": 2.0, "7": 1.0}, {"1": 0.5, "9": 3.0})
    1.0
    """
    return float(sum(weight * b[token] for token, weight in a.items() if token in b))
