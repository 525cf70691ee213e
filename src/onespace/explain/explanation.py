"""Why a document got its score: parts that add up to it.

A sparse score is the sum of the products of common terms; a multi-vector score is the mean of each query token's best
match, which for a picture lies in a box; a dense score is one number, which `leave_one_out` takes apart by encoding
the document again without each of its cells or words.

>>> import numpy as np
>>> from onespace.embeddings import Embeddings, Sparse
>>> query = Embeddings(("text",), sparse=Sparse.from_rows([{1: 2.0, 7: 1.0}], vocab=9))
>>> document = Embeddings(("text",), sparse=Sparse.from_rows([{1: 0.5, 7: 3.0}], vocab=9))
>>> why = explain(query, 0, document, 0, metric="lexical")
>>> why.score, [(part.text, part.score) for part in why.parts]
(4.0, [('7', 3.0), ('1', 1.0)])
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import fsum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from onespace.embeddings import Embeddings, Ragged, Sparse
from onespace.errors import InputError
from onespace.explain.leaving import without_each
from onespace.score import BLEND, NO_ROWS, Weights, blend_weights, similarity
from onespace.types import Box, Head, Item, Metric, Modality, Pair

if TYPE_CHECKING:
    from onespace.encoder import Encoder
    from onespace.fairness import Calibration

Span: TypeAlias = tuple[int, int]
Kind: TypeAlias = Literal["vector", "term", "match", "cell", "word", "rest", "offset"]
Share: TypeAlias = Literal["dense", "sparse", "multi", "blend"]
"""The head that a part belongs to; "blend" where it can't be told apart."""
ENDS = ("</s>", "[SEP]", "<|endoftext|>", "<eos>")
"""Names of the token that closes a text; it stands for the text as a whole."""
SHARES: dict[Metric, tuple[Head, ...]] = {
    "cosine": ("dense",),
    "dot": ("dense",),
    "euclidean": ("dense",),
    "lexical": ("sparse",),
    "maxsim": ("multi",),
    "blend": ("dense", "sparse", "multi"),
}
"""The heads that each metric looks at."""


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of a score.

    ``kind`` says what it is: the dense ``vector`` as a whole, a ``term`` that both have, a query token's best
    ``match``, a ``cell`` or a ``word`` that was left out, the ``rest`` that no single one accounts for, or the
    ``offset`` of a calibration. Tokens are rows of ``multi[row]``, -1 where there is none.
    """

    head: Share
    kind: Kind
    score: float
    text: str = ""
    """The term; the query token's text once `name_tokens` knows it; or the word that was left out."""
    found: str = ""
    """The document token's text, once `name_tokens` knows it."""
    term: int = -1
    query_token: int = -1
    token: int = -1
    query_box: Box | None = None
    box: Box | None = None
    """Where in the document's picture, in original pixels."""
    picture: int = 0
    """Which picture, where the document has several."""
    query_span: Span | None = None
    span: Span | None = None
    """Where in the document's text, in characters."""


@dataclass(frozen=True)
class Field:
    """How near each place of a picture is to the query: boxes (P, 4), values (P,), and which picture it is."""

    boxes: np.ndarray
    values: np.ndarray
    picture: int = 0

    @property
    def best(self) -> Box:
        """The box of the brightest region: what hangs together with the best token and is at least half as bright."""
        low, high = float(np.median(self.values)), float(self.values.max())
        bright = self.values >= (low + high) / 2
        region = np.arange(len(self.values)) == int(self.values.argmax())
        slack = 0.05 * float((self.boxes[:, 2:] - self.boxes[:, :2]).max())
        while True:
            near = _touching(self.boxes, self.boxes[region], slack).any(1) & bright | region
            if near.sum() == region.sum():
                break
            region = near
        left, top = self.boxes[region, :2].min(0).tolist()
        right, bottom = self.boxes[region, 2:].max(0).tolist()
        return (left, top, right, bottom)


@dataclass(frozen=True)
class Explanation:
    """A score and the parts that it is the sum of, the largest first."""

    score: float
    metric: Metric
    parts: tuple[Part, ...]
    field: Field | None = None
    """For a picture: where it is near to the query."""
    weights: Weights = BLEND

    @property
    def shares(self) -> dict[Share, float]:
        """What each representation adds to the score."""
        heads = dict.fromkeys(part.head for part in self.parts)
        return {head: fsum(part.score for part in self.parts if part.head == head) for head in heads}

    def calibrated(self, calibration: Calibration, *, query: Modality, document: Modality) -> Explanation:
        """The explanation of the score that ``fair`` gives for these two kinds of item.

        Every part is stretched by the scale, and one more part takes the centre away.
        """
        centre, scale = calibration.line(query, document, self.metric, self.weights)
        parts = [replace(part, score=part.score * scale) for part in self.parts]
        offset = Part(_share(self.metric), "offset", -centre * scale)
        return replace(self, score=(self.score - centre) * scale, parts=(*parts, offset))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what a part doesn't have is left out."""
        blank = asdict(Part("dense", "vector", 0.0))
        parts = [
            {k: v for k, v in asdict(part).items() if k in ("head", "kind", "score") or v != blank[k]}
            for part in self.parts
        ]
        best = None if self.field is None else [round(x, 1) for x in self.field.best]
        return {"score": self.score, "metric": self.metric, "shares": self.shares, "parts": parts, "best_box": best}


def explain(
    queries: Embeddings,
    q_row: int,
    documents: Embeddings,
    d_row: int,
    *,
    metric: Metric = "blend",
    weights: Weights | None = None,
) -> Explanation:
    """Takes one score of `onespace.similarity` apart; no model is run.

    The score is ``similarity(queries, documents, metric=..., weights=...)[q_row, d_row]``. Under the dense metrics it
    is one part: a dot product, and still more a Euclidean distance, says nothing dimension by dimension.

    Raises:
        InputError: a row that isn't there, or whatever `similarity` refuses.
    """
    query, document = queries[q_row], documents[d_row]
    weights = weights or blend_weights(queries.model, query.modalities[0])
    score = float(similarity(query, document, metric=metric, weights=weights)[0, 0])
    share = dict(zip(SHARES["blend"], weights, strict=True))
    total = sum(share.values()) if metric == "blend" else 1.0
    parts: list[Part] = []
    field = None
    for head in SHARES[metric]:
        weight = share[head] / total if metric == "blend" else 1.0
        if not weight:
            continue
        if head == "sparse" and query.sparse is not None and document.sparse is not None:
            own = _terms(query.sparse, document.sparse)
        elif head == "multi" and query.multi is not None and document.multi is not None:
            picture = _pictures(document)
            own = _matches(query.multi, document.multi, picture)
            field = _field(query.multi, document.multi, picture)
        else:
            whole = similarity(query, document, metric="cosine" if metric == "blend" else metric)
            own = [Part("dense", "vector", float(whole[0, 0]))]
        parts += [replace(part, score=weight * part.score) for part in own]
    return Explanation(score, metric, _sorted(parts), field, weights)


def leave_one_out(
    encoder: Encoder,
    queries: Embeddings,
    q_row: int,
    item: Item,
    *,
    metric: Metric = "cosine",
    cells: int = 36,
) -> Explanation:
    """Takes a score apart by encoding the document again without each cell of its pictures and each word of its text.

    A part is what the score loses when its cell is painted over in the colour of the picture's border, or its word is
    taken out; the ``rest`` is what no single one accounts for. Works for every family and metric, at the price of
    one encode for each part.

    Args:
        encoder: the model that gave ``queries``.
        queries: the encoded queries.
        q_row: which of them.
        item: the document, as it was given to ``encode``.
        metric: the score to explain.
        cells: about how many cells a picture is cut into, as square as its shape allows.

    Raises:
        InputError: ``cells`` is below 1, or the item or the row can't be used.
    """
    if cells < 1:
        raise InputError(f"cells={cells!r} must be at least 1.")
    changed, places = without_each(item, encoder.spec.pixels, cells)
    found = encoder.encode([item, *changed], heads=SHARES[metric], on_loss="ignore")
    scores = similarity(queries[q_row], found, metric=metric)[0].astype(np.float64)
    if found.parts is not None:  # an item in parts counts with its best
        best = np.minimum if metric == "euclidean" else np.maximum
        scores = best.reduceat(scores, np.searchsorted(found.parts.owner, np.arange(found.items)))
    head = _share(metric)
    parts = [
        Part(
            head,
            place.kind,
            float(scores[0] - score),
            place.text,
            box=place.box,
            picture=place.picture,
            span=place.span,
        )
        for score, place in zip(scores[1:], places, strict=True)
    ]
    rest = Part(head, "rest", float(scores[0]) - fsum(part.score for part in parts))
    field = None
    if boxed := [part for part in parts if part.box]:
        nearer = np.array([-part.score if metric == "euclidean" else part.score for part in boxed])
        field = _brightest(np.array([p.box for p in boxed]), nearer, np.array([p.picture for p in boxed]))
    return Explanation(float(scores[0]), metric, (*_sorted(parts), rest), field)


def name_tokens(
    explanation: Explanation, encoder: Encoder, *, query: Item | None = None, document: Item | None = None
) -> Explanation:
    """Writes the text and the span of every matched text token into the parts; the items are those that were encoded.

    Without ``query`` or ``document`` that side stays as it is; for a row that holds a passage, the document is that
    passage. A term of the sparse head gets the span of its first token.
    """
    asked = _words(encoder, query, encoder.spec.query_prefix)
    met = _words(encoder, document, encoder.spec.document_prefix)
    parts = []
    for part in explanation.parts:
        changes: dict[str, Any] = {}
        if part.kind == "match" and part.query_token in asked.rows:
            changes["text"], changes["query_span"] = asked.rows[part.query_token]
        if part.kind == "match" and part.token in met.rows:
            changes["found"], changes["span"] = met.rows[part.token]
        if part.kind == "term":
            changes["query_span"], changes["span"] = asked.terms.get(part.term), met.terms.get(part.term)
        parts.append(replace(part, **changes))
    return replace(explanation, parts=tuple(parts))


# -- parts -----------------------------------------------------------------------------------------------------------


def _terms(query: Sparse, document: Sparse) -> list[Part]:
    """One part for each term that both have."""
    (ids, asked), (other, found) = query.row(0), document.row(0)
    common, left, right = np.intersect1d(ids, other, assume_unique=True, return_indices=True)
    spell = query.piece or document.piece or str
    products = asked[left].astype(np.float64) * found[right]
    return [
        Part("sparse", "term", float(product), readable(spell(int(term))), term=int(term))
        for term, product in zip(common, products, strict=True)
    ]


def _matches(query: Ragged, document: Ragged, picture: np.ndarray) -> list[Part]:
    """One part for each query token: its best match, divided by their number."""
    asked, found = query[0], document[0]
    if not len(asked) or not len(found):
        return [Part("multi", "match", NO_ROWS)]
    products = asked @ found.T  # (Tq, Td)
    best = products.argmax(1)
    here, there = query.boxes(0), document.boxes(0)
    return [
        Part(
            "multi",
            "match",
            float(products[i, j]) / len(asked),
            query_token=i,
            token=int(j),
            query_box=_box(here[i]),
            box=_box(there[j]),
            picture=int(picture[j]),
        )
        for i, j in enumerate(best)
    ]


def _field(query: Ragged, document: Ragged, picture: np.ndarray) -> Field | None:
    """How each image token stands out from the others, over the query's tokens; None where there are no image tokens.

    A query token counts the more, the more it tells one place of the picture from another. Of several pictures it is
    the one with the brightest place.
    """
    boxes = document.boxes(0)
    seen = np.flatnonzero(np.isfinite(boxes).all(1))
    if not len(seen) or not len(query[0]):
        return None
    products = (query[0] @ document[0][seen].T).astype(np.float64)  # (Tq, P)
    above = products - np.median(products, axis=1, keepdims=True)
    telling = above.max(1)
    values = telling @ above / max(float(telling.sum()), 1e-9)  # (P,)
    return _brightest(boxes[seen], values, picture[seen])


def _brightest(boxes: np.ndarray, values: np.ndarray, picture: np.ndarray) -> Field:
    """The field of the picture with the largest value."""
    chosen = int(picture[values.argmax()])
    kept = picture == chosen
    return Field(boxes[kept], values[kept], chosen)


def _pictures(document: Embeddings) -> np.ndarray:
    """Which picture each row of ``multi`` belongs to, (T,); image tokens stand first, as many for each picture."""
    rows = int(document.multi.counts[0]) if document.multi else 0
    if document.parts is not None and document.parts.kind[0] == "cell":
        which = document.parts.pictures
        return np.full(rows, 0 if which is None else which[0], np.int64)
    receipt = document.receipts[0] if document.receipts else None
    several = len(receipt.pictures) if receipt else 0
    text = max(receipt.tokens_used, 2) - 1 if receipt else 0  # without CLS; a picture alone still has SEP
    each, odd = divmod(rows - text, several) if several > 1 else (0, 1)
    if odd or each <= 0:
        return np.zeros(rows, np.int64)
    return np.minimum(np.arange(rows) // each, several - 1)


@dataclass(frozen=True)
class _Words:
    """The text tokens of an item: by row of ``multi``, and the first place of each term."""

    rows: dict[int, tuple[str, Span | None]]
    terms: dict[int, Span]


def _words(encoder: Encoder, item: Item | None, prefix: str) -> _Words:
    if item is None:
        return _Words({}, {})
    text = item if isinstance(item, str) else item.text if isinstance(item, Pair) else ""
    pictures = len(item.images) if isinstance(item, Pair) else 0 if isinstance(item, str) else 1
    before = pictures * encoder.spec.image.tokens if encoder.spec.image else 0
    tokens = encoder.tokenizer.encode(prefix + text if pictures == 0 or text else "")
    rows: dict[int, tuple[str, Span | None]] = {}
    terms: dict[int, Span] = {}
    for place, (term, (start, end)) in enumerate(zip(tokens.ids, tokens.offsets, strict=True)):
        row = before + place - 1  # the multi head leaves CLS out
        start, end = max(0, start - len(prefix)), end - len(prefix)
        start = end - len(text[start:end].lstrip()) if start < end else end  # some tokens begin with a space
        if start < end:
            rows[row] = text[start:end], (start, end)
            terms.setdefault(term, (start, end))
        else:
            rows[row] = f"[{readable(encoder.tokenizer.piece(term))}]", None
    return _Words(rows, terms)


def readable(piece: str) -> str:
    """A vocabulary piece as people write it.

    >>> readable("▁whale"), readable("##le"), readable("</s>"), readable("[SEP]")
    ('whale', 'le', 'end', 'end')
    """
    if piece in ENDS:
        return "end"
    return piece.removeprefix("▁").removeprefix("##") or piece


def _share(metric: Metric) -> Share:
    return "blend" if metric == "blend" else SHARES[metric][0]


def _sorted(parts: list[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: ((*SHARES["blend"], "blend").index(part.head), -part.score)))


def _box(row: np.ndarray) -> Box | None:
    if not np.isfinite(row).all():
        return None
    left, top, right, bottom = row.tolist()
    return (left, top, right, bottom)


def _touching(a: np.ndarray, b: np.ndarray, slack: float) -> np.ndarray:
    """Whether each of the boxes a (N, 4) shares an edge or more with each of b (M, 4): (N, M) bool."""
    gap = np.maximum(a[:, None, :2] - b[None, :, 2:], b[None, :, :2] - a[:, None, 2:])  # (N, M, 2)
    return np.asarray((gap <= slack).all(-1))
