"""Canaries: sixteen fixed items whose vectors must stay as they are while a server runs."""

from __future__ import annotations

from onespace.encoder import Encoder
from onespace.serve.metrics import Metrics
from onespace.store.passport import TOLERANCE, difference, sing


class Canaries:
    """The vectors of the canaries when the model was loaded, and how far they have moved since."""

    def __init__(self, encoder: Encoder, metrics: Metrics) -> None:
        self.metrics = metrics
        self.kept = sing(encoder, encoder.spec.head_names)
        self.distance = 0.0
        metrics.drift(0.0)

    @property
    def well(self) -> bool:
        """Whether the model still gives the vectors that it gave."""
        return self.distance <= TOLERANCE

    def measure(self, encoder: Encoder) -> None:
        """Encodes them again. NaN and other shapes count as infinitely far."""
        self.distance = difference(self.kept, sing(encoder, encoder.spec.head_names), encoder.spec.head_names)
        self.metrics.drift(self.distance)

    def adopt(self, encoder: Encoder) -> float | None:
        """Starts anew with another model; returns how far it is from the old one, None where nothing is comparable."""
        before, heads = self.kept, encoder.spec.head_names
        now = sing(encoder, heads)
        same = before.heads == now.heads and before.model == now.model
        distance = difference(before, now, heads) if same else float("inf")
        self.kept, self.distance = now, 0.0
        self.metrics.drift(0.0)
        return distance if distance < float("inf") else None
