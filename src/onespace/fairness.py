"""Scores that mean the same whatever the two items are: how sure it is that they belong together.

Two texts are nearer to each other than a text is to a picture, related or not, so that in one list of texts and
pictures the texts stand first. A `Calibration` knows, for every kind of query and kind of document, how items score
that have nothing to do with each other, and how related ones do. ``similarity(..., fair=True)`` gives

    (score - centre) * scale

where the centre lies midway between the two means and the scale is their distance over the variance: the log of the
odds that the items are related, if both were as likely beforehand and the scores normally distributed (linear
discriminant analysis; Fisher 1936). A kind whose scores say little thus stays near 0 instead of filling the list. In a
sample without related items the centre is the mean of chance and the scale is one over its standard deviation.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from onespace.errors import InputError
from onespace.types import Head, Item, Metric, Modality

if TYPE_CHECKING:
    from onespace.embeddings import Embeddings
    from onespace.encoder import Encoder

FORMAT = 1
SHIPPED = {"onespace-mini": Path(__file__).parent / "assets" / "mini" / "calibration.json"}
"""Calibrations that come with the package, by the model's name."""
HEADS_OF: dict[Metric, Head] = {
    "cosine": "dense",
    "dot": "dense",
    "euclidean": "dense",
    "lexical": "sparse",
    "maxsim": "multi",
}
"""Metrics that are measured; a blend follows from them."""
BLENDED: tuple[Metric, ...] = ("cosine", "lexical", "maxsim")
LEAST_SPREAD = 1e-3
"""Below this standard deviation a calibrated score would be noise: terms that never meet by chance, for example."""

Kinds: TypeAlias = "tuple[Modality, Modality]"


@dataclass(frozen=True, eq=False)
class Scores:
    """How two kinds of item score, under each metric: (m,) means, one covariance (m, m), and how many were seen.

    ``unrelated`` and ``related`` are means; the covariance is that around the two, or around the first without the
    second.
    """

    unrelated: np.ndarray
    related: np.ndarray | None
    covariance: np.ndarray
    count: int


@dataclass(frozen=True, eq=False)
class Calibration:
    """How the items of one model score, for each (kind of query, kind of document).

    >>> seen = Scores(np.array([0.2]), np.array([0.6]), np.array([[0.01]]), 100)
    >>> fair = Calibration("m", ("cosine",), {("text", "image"): seen})
    >>> np.round(fair.apply(np.array([[0.2, 0.4, 0.6]]), ("text",), ("image",) * 3), 3).tolist()
    [[-8.0, 0.0, 8.0]]
    """

    model: str
    metrics: tuple[Metric, ...]
    kinds: dict[Kinds, Scores]

    @classmethod
    def measure(
        cls, encoder: Encoder, items: Sequence[Item], *, groups: Sequence[Hashable] | None = None
    ) -> Calibration:
        """Measures a model on a sample of everyday items, a few hundred of each kind.

        Args:
            encoder: the model.
            items: texts, pictures and pairs; at least two unrelated ones of every kind that will be compared.
            groups: what each item is about: items of one group are related, all others are not. By default every item
                stands alone. Best are several texts, pictures and pairs about each thing.

        Raises:
            InputError: there are too few items of a kind, or another number of groups than of items.
        """
        about = list(range(len(items)) if groups is None else groups)
        if len(about) != len(items):
            raise InputError(f"there are {len(items)} items and {len(about)} groups. Give each item one group.")
        documents = encoder.encode(items)
        prefixed = encoder.spec.query_prefix != encoder.spec.document_prefix
        queries = encoder.encode(items, role="query") if prefixed else documents
        return cls.of(queries, documents, groups=about, same=True)

    @classmethod
    def of(
        cls, queries: Embeddings, documents: Embeddings, *, groups: Sequence[Hashable], same: bool = False
    ) -> Calibration:
        """Measures on embeddings: rows i of both are about ``groups[i]``, and the very same item with ``same``.

        Raises:
            InputError: fewer than two unrelated items of some kind, or sides of different length.
        """
        from onespace.score import similarity

        if not len(queries) == len(documents) == len(groups):
            raise InputError(
                f"there are {len(queries)} queries, {len(documents)} documents and {len(groups)} groups. "
                "Give as many of each."
            )
        number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
        about = np.array([number[group] for group in groups])
        metrics = tuple(metric for metric, head in HEADS_OF.items() if head in documents.heads)
        scores = np.stack([similarity(queries, documents, metric=metric) for metric in metrics])  # (m, N, N)
        related = about[:, None] == about[None, :]
        told = related & ~np.eye(len(about), dtype=bool) if same else related
        blocks = {
            (asked, found): np.ix_(np.array(queries.modalities) == asked, np.array(documents.modalities) == found)
            for asked in dict.fromkeys(queries.modalities)
            for found in dict.fromkeys(documents.modalities)
        }
        paired = all(told[block].sum() > 1 for block in blocks.values())
        kinds: dict[Kinds, Scores] = {}
        for pair, block in blocks.items():
            here = np.stack([score[block] for score in scores]).astype(np.float64)  # (m, n, n')
            chance = here[:, ~related[block]]
            if chance.shape[1] < 2:
                raise InputError(f"the sample has no two unrelated items, {' and '.join(pair)}. Add some of both.")
            covariance, mean = np.atleast_2d(np.cov(chance)), None
            if paired:
                kin = here[:, told[block]]
                covariance, mean = (covariance + np.atleast_2d(np.cov(kin))) / 2, kin.mean(1)
            kinds[pair] = Scores(chance.mean(1), mean, covariance, chance.shape[1])
        return cls(documents.model, metrics, kinds)

    @classmethod
    def shipped(cls, model: str) -> Calibration:
        """The calibration that comes with a model. Raises `InputError` when there is none."""
        path = SHIPPED.get(model)
        if path is None or not path.is_file():
            raise InputError(
                f"no calibration comes with {model!r}. Measure one on a sample of your own items with "
                "Calibration.measure(encoder, items), and pass it: fair=calibration."
            )
        return cls.open(path)

    def line(
        self, query: Modality, document: Modality, metric: Metric, weights: tuple[float, float, float]
    ) -> tuple[float, float]:
        """Centre and scale of two kinds, the scale of a distance being negative; ``weights`` are those of a blend.

        Raises:
            InputError: the sample had no items of that kind, or the model lacks the metric.
        """
        wanted = (
            dict(zip(BLENDED, np.divide(weights, sum(weights)), strict=True)) if metric == "blend" else {metric: 1.0}
        )
        used = {m: float(w) for m, w in wanted.items() if w}
        missing = ", ".join(m for m in used if m not in self.metrics)
        if missing or (query, document) not in self.kinds:
            what = f"the metric {missing}" if missing else f"{query} against {document}"
            raise InputError(f"the calibration of {self.model!r} was measured without {what}. Measure it again.")
        w = np.array([used.get(m, 0.0) for m in self.metrics])
        seen = self.kinds[query, document]
        spread = max(float(w @ seen.covariance @ w) ** 0.5, LEAST_SPREAD)
        sign = -1 if metric == "euclidean" else 1
        if seen.related is None:
            return float(w @ seen.unrelated), sign / spread
        gap = sign * float(w @ (seen.related - seen.unrelated))
        return float(w @ (seen.related + seen.unrelated)) / 2, sign * max(gap, 0.0) / spread**2

    def apply(
        self,
        scores: np.ndarray,
        queries: Sequence[Modality],
        documents: Sequence[Modality],
        *,
        metric: Metric = "cosine",
        weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> np.ndarray:
        """Fair scores (N, M), for the kinds of the N queries and of the M documents; larger is nearer."""
        fair = np.array(scores, np.float32)
        asked, found = np.array(queries), np.array(documents)
        for query in dict.fromkeys(queries):
            for document in dict.fromkeys(documents):
                centre, scale = self.line(query, document, metric, weights)
                block = np.ix_(asked == query, found == document)
                fair[block] = (fair[block] - centre) * scale
        return fair

    def save(self, path: str | Path) -> None:
        """Writes JSON."""
        rows = [
            {
                "query": query,
                "document": document,
                "count": seen.count,
                "unrelated": _rounded(seen.unrelated),
                "related": None if seen.related is None else _rounded(seen.related),
                "covariance": _rounded(seen.covariance),
            }
            for (query, document), seen in self.kinds.items()
        ]
        values = {"format": FORMAT, "model": self.model, "metrics": self.metrics, "kinds": rows}
        Path(path).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def open(cls, path: str | Path) -> Calibration:
        """Reads what `save` wrote. Raises `InputError` for any other file."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise InputError(f"{path} has layout {values['format']}; this onespace reads {FORMAT}. Measure again.")
            kinds: dict[Kinds, Scores] = {
                (row["query"], row["document"]): _scores(row, len(values["metrics"])) for row in values["kinds"]
            }
            return cls(values["model"], tuple(values["metrics"]), kinds)
        except FileNotFoundError as error:
            raise InputError(f"{path} isn't there. Pass the file that Calibration.save wrote.") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} isn't a calibration ({error!r}). Write one with Calibration.save.") from error


def _scores(row: dict[str, Any], metrics: int) -> Scores:
    unrelated, covariance = np.array(row["unrelated"], np.float64), np.array(row["covariance"], np.float64)
    related = None if row["related"] is None else np.array(row["related"], np.float64)
    shapes = unrelated.shape, (unrelated if related is None else related).shape, covariance.shape
    if shapes != ((metrics,), (metrics,), (metrics, metrics)):
        raise ValueError(f"shapes {shapes} for {metrics} metrics")
    return Scores(unrelated, related, covariance, int(row["count"]))


def _rounded(values: np.ndarray) -> Any:
    """Seven digits: as many as a float32 score has."""
    return np.vectorize(lambda x: float(f"{x:.7g}"))(values).tolist()
