"""The experiment as data: what is encoded, and which similarities are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onespace.score import similarity
from onespace.types import Item, Metric, Modality, Pair

if TYPE_CHECKING:
    import numpy as np

    from onespace.embeddings import Embeddings
    from onespace.encoder import Encoder

PICTURES = Path(__file__).parents[1] / "assets" / "demo"
METRICS: tuple[Metric, ...] = ("cosine", "dot", "euclidean")

CAPTION, CAPTION_EN = "鲸鱼开源社区的标志", "the logo of the whale open source community"


@dataclass(frozen=True)
class Thing:
    """One item of the experiment. ``concept`` says what it is about; things of one concept belong together."""

    id: str
    concept: str
    picture: str = ""
    text: str = ""

    @property
    def modality(self) -> Modality:
        """What kind of item it is."""
        return "pair" if self.picture and self.text else "image" if self.picture else "text"

    @property
    def item(self) -> Item:
        """As the encoder takes it."""
        path = PICTURES / self.picture
        return Pair(self.text, path) if self.modality == "pair" else path if self.picture else self.text


THINGS = (
    Thing("image/logo", "logo", "logo.png"),
    Thing("image/logo-2", "logo", "logo-word.png"),
    Thing("image/whale", "whale", "whale.png"),
    Thing("image/dragon", "dragon", "dragon.png"),
    Thing("image/bicycle", "bicycle", "bicycle.png"),
    Thing("text/logo", "logo", text=CAPTION),
    Thing("text/logo-en", "logo", text=CAPTION_EN),
    Thing("text/bluewhale", "whale", text="bluewhale"),
    Thing("text/whale", "whale", text="一只蓝鲸"),
    Thing("text/dragon", "dragon", text="一条龙"),
    Thing("text/bicycle", "bicycle", text="一辆自行车"),
    Thing("pair/logo", "logo", "logo.png", CAPTION),
    Thing("pair/logo-en", "logo", "logo.png", CAPTION_EN),
    Thing("pair/logo-2", "logo", "logo-word.png", CAPTION),
    Thing("pair/logo+bluewhale", "logo", "logo.png", "bluewhale"),
    Thing("pair/logo-2+bluewhale", "logo", "logo-word.png", "bluewhale"),
    Thing("pair/whale", "whale", "whale.png", "一只蓝鲸"),
    Thing("pair/dragon", "dragon", "dragon.png", "一条龙"),
    Thing("pair/bicycle", "bicycle", "bicycle.png", "一辆自行车"),
)
IDS = tuple(thing.id for thing in THINGS)


@dataclass(frozen=True)
class Group:
    """Some comparisons that tell one story."""

    title: str
    rows: tuple[tuple[str, str], ...]


GROUPS = (
    Group(
        "a  one logo, drawn in two styles, with its caption",
        (
            ("image/logo", "image/logo-2"),
            ("image/logo", "pair/logo"),
            ("text/logo", "pair/logo"),
            ("pair/logo", "pair/logo-2"),
            ("text/logo", "text/logo-en"),
        ),
    ),
    Group(
        "b  a dragon beside the logo",
        (("image/dragon", "image/logo"), ("text/dragon", "text/logo"), ("pair/dragon", "pair/logo")),
    ),
    Group(
        "c  a blue whale beside the logo",
        (
            ("image/whale", "image/logo"),
            ("text/whale", "text/logo"),
            ("image/whale", "pair/whale"),
            ("text/whale", "pair/whale"),
            ("pair/whale", "pair/logo"),
            ("image/whale", "pair/logo"),
        ),
    ),
    Group(
        'd  the logo with its caption replaced by "bluewhale"',
        (
            ("image/logo", "image/logo-2"),
            ("image/logo", "pair/logo+bluewhale"),
            ("text/bluewhale", "pair/logo+bluewhale"),
            ("pair/logo+bluewhale", "pair/logo-2+bluewhale"),
        ),
    ),
    Group(
        "e  something unrelated, for scale",
        (("image/bicycle", "image/logo"), ("text/bicycle", "text/logo"), ("pair/bicycle", "pair/logo")),
    ),
)


@dataclass(frozen=True)
class Result:
    """The experiment, run by one model. Each of ``matrices`` is (N, N) over `THINGS`."""

    model: Encoder
    embeddings: Embeddings
    matrices: dict[Metric, np.ndarray]

    def value(self, metric: Metric, a: str, b: str) -> float:
        """One number, by the ids of the two things."""
        return float(self.matrices[metric][IDS.index(a), IDS.index(b)])

    def vector(self, thing: str) -> np.ndarray:
        """The dense vector of one thing, (D,)."""
        assert self.embeddings.dense is not None
        row: np.ndarray = self.embeddings.dense[IDS.index(thing)]
        return row


def run(model: Encoder) -> Result:
    """Encodes every thing in one mixed list and compares each with each, under three metrics."""
    e = model.encode([thing.item for thing in THINGS], heads=("dense",))
    return Result(model, e, {metric: similarity(e, e, metric=metric) for metric in METRICS})
