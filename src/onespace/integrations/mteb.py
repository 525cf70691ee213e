"""A model of ours in MTEB and MIEB, the benchmarks of text and of image embeddings.

    import mteb, onespace
    from onespace.integrations.mteb import MtebEncoder

    model = MtebEncoder(onespace.load())
    mteb.evaluate(model, mteb.get_tasks(["STS12", "Flickr30kT2IRetrieval"]))

Dense rows are what is judged, by cosine. Needs the extra ``mteb``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from onespace import __version__
from onespace.errors import KindError, MissingExtra
from onespace.registry import find
from onespace.score import similarity
from onespace.types import Item, Pair, Role

if TYPE_CHECKING:
    from mteb.models import ModelMeta
    from PIL.Image import Image

    from onespace.encoder import Encoder

SHIPPED = "onespace-mini"


class MtebEncoder:
    """An `Encoder` behind mteb's ``EncoderProtocol``.

    Texts, pictures, and rows of both: a pair where the model takes pairs, otherwise the sum of its text and its
    picture, as is usual for dual encoders.
    """

    def __init__(self, model: Encoder) -> None:
        self.model = model
        self.mteb_model_meta = model_meta(model)

    def encode(self, inputs: Iterable[Mapping[str, Any]], *, prompt_type: Any = None, **_: Any) -> np.ndarray:
        """(N, D) float32 of all batches, in order; ``prompt_type`` "document" is one, anything else a query.

        mteb passes more (the task, its split, a batch size), which changes nothing here.

        Raises:
            KindError: a row without a text and a picture.
        """
        role: Role = "document" if getattr(prompt_type, "value", prompt_type) == "document" else "query"
        rows = [self._rows(items_of(batch), role) for batch in inputs]
        return np.concatenate(rows) if rows else np.zeros((0, self.model.spec.heads.dense), np.float32)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosines (N, M) as a torch tensor, which mteb goes on with; one vector counts as a matrix of one row."""
        import torch

        return torch.from_numpy(similarity(_matrix(embeddings1), _matrix(embeddings2)))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The cosine of each row with the row at the same place, (N,)."""
        import torch

        a, b = (_matrix(x) for x in (embeddings1, embeddings2))
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return torch.from_numpy((a * b).sum(1) / np.where(norms > 0, norms, 1))

    def _rows(self, items: Sequence[Item], role: Role) -> np.ndarray:
        pairs = [item for item in items if isinstance(item, Pair)]
        if not pairs or "pair" in self.model.spec.modalities:
            return self._dense(items, role)
        parts = self._dense([part for pair in pairs for part in (pair.text, *pair.images)], role)
        alone = iter(self._dense([item for item in items if not isinstance(item, Pair)], role))
        sums = iter(parts[0::2] + parts[1::2])
        return np.stack([next(sums) if isinstance(item, Pair) else next(alone) for item in items])

    def _dense(self, items: Sequence[Item], role: Role) -> np.ndarray:
        return np.asarray(self.model.encode(items, heads="dense", role=role, on_loss="ignore").dense)


def items_of(batch: Mapping[str, Sequence[Any]]) -> list[Item]:
    """The rows of a batch as items: ``text`` and ``image``, or one of them where the other is missing or None.

    >>> items_of({"text": ["a whale", "a dragon"]})
    ['a whale', 'a dragon']

    Raises:
        KindError: neither is there.
    """
    texts: Sequence[str | None] | None = batch.get("text")
    images: Sequence[Image | None] | None = batch.get("image")
    if texts is None and images is None:
        raise KindError(
            f"a batch has {', '.join(batch) or 'nothing'}; models here take text and image. Leave the task out."
        )
    texts = texts if texts is not None else [None] * len(images or ())
    images = images if images is not None else [None] * len(texts)
    return [_item(text, image) for text, image in zip(texts, images, strict=True)]


def _item(text: str | None, image: Image | None) -> Item:
    if image is None:
        return text or ""
    return Pair(text, image) if text else image


def model_meta(model: Encoder) -> ModelMeta:
    """What mteb wants to know of a model.

    Raises:
        MissingExtra: mteb isn't installed.
    """
    try:
        from mteb.models import ModelMeta
        from mteb.types import Licenses
    except ImportError as error:
        raise MissingExtra("judging a model by MTEB", "mteb", "mteb") from error
    from onespace.engines.onnx_engine import OnnxEngine

    spec, card = model.spec, find(model.spec.name)
    shipped = spec.name == SHIPPED
    licence = spec.licence.lower()
    return ModelMeta(
        loader=_load,
        name=spec.name if "/" in spec.name else f"onespace/{spec.name}",
        revision=__version__ if shipped else None,
        release_date=None,
        languages=None,
        n_parameters=card.parameters * 1_000_000 if card and card.parameters else None,
        memory_usage_mb=None,
        max_tokens=spec.max_tokens,
        embed_dim=spec.heads.dense,
        license=licence if licence in _names(Licenses) else None,
        open_weights=True,
        public_training_code=None,
        public_training_data=None,
        framework=["ONNX" if isinstance(model.engine, OnnxEngine) else "PyTorch"],
        reference=None,
        similarity_fn_name="cosine",
        use_instructions=bool(spec.query_prefix or spec.document_prefix),
        training_datasets=set() if shipped else None,  # none of mteb's data; of others that isn't known here
        modalities=[kind for kind in ("text", "image") if kind in spec.modalities],
    )


def _load(model_name: str, revision: str | None = None, *, device: str | None = None, **_: Any) -> MtebEncoder:
    """Loads a model by name or folder, as mteb calls a loader."""
    from onespace.families import load

    name = model_name.removeprefix("onespace/")
    if name == SHIPPED:
        return MtebEncoder(load())
    return MtebEncoder(load(f"{name}@{revision}" if revision else name, device=device))


def _names(kind: Any) -> set[str]:
    """All strings of a union of literals."""
    return {name for part in (kind, *get_args(kind)) for name in get_args(part) if isinstance(name, str)}


def _matrix(vectors: Any) -> np.ndarray:
    return np.atleast_2d(np.asarray(vectors, np.float32))
