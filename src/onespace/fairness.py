"""Scores that mean the same whatever the two items are: how far a score lies above those of chance.

Two texts are nearer to each other than a text is to a picture, related or not, so that in one list of texts and
pictures the texts stand first. A `Calibration` knows, for every kind of query and kind of document, the mean and the
spread of the scores of items that have nothing to do with each other; ``similarity(..., fair=True)`` gives

    (score - mean) / spread

which is 0 for a chance score, and comparable across kinds.
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
"""Below this spread a calibrated score would be noise: sparse rows that never meet by chance, for example."""

Kinds: TypeAlias = "tuple[Modality, Modality]"


@dataclass(frozen=True, eq=False)
class Chance:
    """Scores of unrelated items, under each metric: mean (m,), covariance (m, m), and how many scores they are from."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int


@dataclass(frozen=True, eq=False)
class Calibration:
    """The scores of chance of one model, for each (kind of query, kind of document).

    >>> chance = Chance(np.array([0.2]), np.array([[0.01]]), 100)
    >>> fair = Calibration("m", ("cosine",), {("text", "image"): chance})
    >>> np.round(fair.apply(np.array([[0.2, 0.5]]), ("text",), ("image", "image")), 3).tolist()
    [[0.0, 3.0]]
    """

    model: str
    metrics: tuple[Metric, ...]
    chances: dict[Kinds, Chance]

    @classmethod
    def measure(
        cls, encoder: Encoder, items: Sequence[Item], *, groups: Sequence[Hashable] | None = None
    ) -> Calibration:
        """Measures a model on a sample of everyday items, a few hundred of each kind.

        Args:
            encoder: the model.
            items: texts, pictures and pairs; at least two unrelated ones of every kind that will be compared.
            groups: what each item is about; two items of one group are related, and their score isn't chance. By
                default every item stands alone.

        Raises:
            InputError: there are too few items of a kind, or another number of groups than of items.
        """
        about = list(range(len(items)) if groups is None else groups)
        if len(about) != len(items):
            raise InputError(f"there are {len(items)} items and {len(about)} groups. Give each item one group.")
        documents = encoder.encode(items)
        prefixed = encoder.spec.query_prefix != encoder.spec.document_prefix
        queries = encoder.encode(items, role="query") if prefixed else documents
        return cls.of(queries, documents, groups=about)

    @classmethod
    def of(cls, queries: Embeddings, documents: Embeddings, *, groups: Sequence[Hashable]) -> Calibration:
        """Measures on embeddings: row i of both is the same item. Raises `InputError` for fewer than 2 a kind."""
        from onespace.score import similarity

        number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
        about = np.array([number[group] for group in groups])
        kinds = np.array(documents.modalities)
        metrics = tuple(metric for metric, head in HEADS_OF.items() if head in documents.heads)
        scores = np.stack([similarity(queries, documents, metric=metric) for metric in metrics])  # (m, N, N)
        unrelated = about[:, None] != about[None, :]
        chances: dict[Kinds, Chance] = {}
        there: list[Modality] = list(dict.fromkeys(documents.modalities))
        for asked in there:
            for found in there:
                picked = scores[:, unrelated & (kinds == asked)[:, None] & (kinds == found)[None, :]].astype(np.float64)
                if picked.shape[1] < 2:
                    raise InputError(
                        f"the sample has no two unrelated items to compare {asked} with {found}. Add some of both."
                    )
                covariance = np.cov(picked).reshape(len(metrics), len(metrics))
                chances[asked, found] = Chance(picked.mean(1), covariance, picked.shape[1])
        return cls(documents.model, metrics, chances)

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

    def chance(
        self, query: Modality, document: Modality, metric: Metric, weights: tuple[float, float, float]
    ) -> tuple[float, float]:
        """Mean and standard deviation of the scores of unrelated items; ``weights`` are those of a blend.

        Raises:
            InputError: the sample had no items of that kind, or the model lacks the metric.
        """
        wanted = (
            dict(zip(BLENDED, np.divide(weights, sum(weights)), strict=True)) if metric == "blend" else {metric: 1.0}
        )
        used = {m: float(w) for m, w in wanted.items() if w}
        missing = ", ".join(m for m in used if m not in self.metrics)
        if missing or (query, document) not in self.chances:
            what = f"the metric {missing}" if missing else f"{query} against {document}"
            raise InputError(f"the calibration of {self.model!r} was measured without {what}. Measure it again.")
        w = np.array([used.get(m, 0.0) for m in self.metrics])
        chance = self.chances[query, document]
        return float(w @ chance.mean), max(float(w @ chance.covariance @ w) ** 0.5, LEAST_SPREAD)

    def apply(
        self,
        scores: np.ndarray,
        queries: Sequence[Modality],
        documents: Sequence[Modality],
        *,
        metric: Metric = "cosine",
        weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> np.ndarray:
        """Scores (N, M) as spreads above chance, for the kinds of the N queries and the M documents."""
        fair = np.array(scores, np.float32)
        asked, found = np.array(queries), np.array(documents)
        for query in dict.fromkeys(queries):
            for document in dict.fromkeys(documents):
                mean, spread = self.chance(query, document, metric, weights)
                block = np.ix_(asked == query, found == document)
                fair[block] = (fair[block] - mean) / spread
        return fair

    def save(self, path: str | Path) -> None:
        """Writes JSON."""
        rows = [
            {
                "query": query,
                "document": document,
                "count": chance.count,
                "mean": _rounded(chance.mean),
                "covariance": _rounded(chance.covariance),
            }
            for (query, document), chance in self.chances.items()
        ]
        values = {"format": FORMAT, "model": self.model, "metrics": self.metrics, "chance": rows}
        Path(path).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def open(cls, path: str | Path) -> Calibration:
        """Reads what `save` wrote. Raises `InputError` for any other file."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise InputError(f"{path} has layout {values['format']}; this onespace reads {FORMAT}. Measure again.")
            chances: dict[Kinds, Chance] = {
                (row["query"], row["document"]): _chance(row, len(values["metrics"])) for row in values["chance"]
            }
            return cls(values["model"], tuple(values["metrics"]), chances)
        except FileNotFoundError as error:
            raise InputError(f"{path} isn't there. Pass the file that Calibration.save wrote.") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} isn't a calibration ({error!r}). Write one with Calibration.save.") from error


def _chance(row: dict[str, Any], metrics: int) -> Chance:
    mean, covariance = np.array(row["mean"], np.float64), np.array(row["covariance"], np.float64)
    if mean.shape != (metrics,) or covariance.shape != (metrics, metrics):
        raise ValueError(f"mean {mean.shape}, covariance {covariance.shape} for {metrics} metrics")
    return Chance(mean, covariance, int(row["count"]))


def _rounded(values: np.ndarray) -> Any:
    """Seven digits: as many as a float32 score has."""
    return np.vectorize(lambda x: float(f"{x:.7g}"))(values).tolist()
