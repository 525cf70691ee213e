"""Model families: from files on disk, or a name, to an encoder. One file and one line here for each family."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, cast

from onespace import registry
from onespace.errors import MissingExtra, ModelError
from onespace.families.source import Family, Source, build

if TYPE_CHECKING:
    from onespace.encoder import Encoder

FAMILIES = (
    "mini",
    "visualized_bge",
    "bge_m3",
    "chinese_clip",
    "siglip",
    "clip",
    "eva_clip",
    "bge",
)
"""Modules of this package, in the order in which they look at a source: the most particular layout first."""

SHIPPED = Path(__file__).parent.parent / "assets" / "mini"

log = logging.getLogger(__name__)


def load(
    source: str | PathLike[str] | None = None,
    *,
    weights: str | PathLike[str] | None = None,
    heads_from: str | PathLike[str] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    compile: bool = False,
) -> Encoder:
    """Loads a model.

    Args:
        source: nothing for the shipped model; a folder or a single weight file; or a name that `onespace.registry`
            or the Hugging Face hub knows, with ``@revision`` behind it if wanted.
        weights: a weight file apart from the folder, such as ``Visualized_m3.pth`` for the folder of BGE-M3.
        heads_from: a folder of BGE-M3 whose sparse and multi-vector heads are put on Visualized-m3.
        device: a torch device, such as ``cuda:1``; the first GPU, if any, by default.
        dtype: ``float32`` (default), ``float16``, ``bfloat16``, or, on a CPU, ``int8``; what each costs and gives is
            measured in docs/performance.md.
        compile: compiles the image tower with ``torch.compile``, for long work on a GPU, where the first batch of each
            size is slow. See "GPU" in docs/performance.md.

    Raises:
        ModelError: nothing is there, the layout is unknown, or the weights don't fit (`CheckpointError`).
        MissingExtra: torch or huggingface_hub is needed and isn't installed.
    """
    place = locate(source, weights=weights, heads_from=heads_from)
    if place.has("text.onnx", "image.onnx"):
        return _exported(place, device=device, dtype=dtype, compile=compile)
    if find_spec("torch") is None:
        raise MissingExtra(f"loading {place.name}", "torch", "torch")
    name, family = recognise(place)
    if place.heads_from is not None and name != "visualized_bge":
        raise ModelError(f"{place.name}: heads_from is for Visualized-BGE, this is {name}. Leave it out.")
    log.debug("%s is read as %s", place.name, name)
    return build(family.plan(place), where=str(place.file), device=device, dtype=dtype, compile=compile)


def locate(
    source: str | PathLike[str] | None,
    *,
    weights: str | PathLike[str] | None = None,
    heads_from: str | PathLike[str] | None = None,
) -> Source:
    """Finds the files on disk, fetching them first when ``source`` is a name and no folder.

    Raises:
        ModelError: nothing is there.
    """
    file = None if weights is None else Path(weights)
    heads = None if heads_from is None else locate(heads_from).folder
    if file is not None and not file.is_file():
        raise ModelError(f"weights {file}: there is no such file.")
    if source is None:
        if not SHIPPED.is_dir():
            raise ModelError(f"the shipped model isn't at {SHIPPED}. Install onespace again, or name a model.")
        return Source("onespace-mini", SHIPPED, file, heads)
    path = Path(source)
    if path.is_dir():
        return Source(path.resolve().name, path, file, heads)
    if path.is_file():
        return Source(path.name, path.parent, file or path, heads)
    if not isinstance(source, str):
        raise ModelError(f"{path}: there is no such folder or file. A name from the hub is given as a str.")
    return _fetched(source, file, heads)


def _fetched(name: str, weights: Path | None, heads_from: Path | None) -> Source:
    from onespace import hub

    plain, _, revision = name.partition("@")
    card = registry.find(plain)
    if card is None:
        return Source(plain, hub.download(plain, revision=revision or None), weights, heads_from)
    if not card.loadable:
        raise ModelError(f"{card.name} can't be loaded: {card.why_not}. `onespace models` lists what can.")
    if not card.repo:
        return locate(None, weights=weights, heads_from=heads_from)
    folder = hub.download(card.text_repo or card.repo, revision=None if card.text_repo else revision or None)
    if card.file and weights is None:
        weights = hub.download(card.repo, revision=revision or None, only=card.file) / card.file
    return Source(card.name, folder, weights, heads_from)


def recognise(source: Source) -> tuple[str, Family]:
    """The family whose layout this is.

    Raises:
        ModelError: none; the message says what was tried and what is there.
    """
    tried = []
    for name in FAMILIES:
        family = cast(Family, import_module(f"{__name__}.{name}"))
        if family.matches(source):
            return name, family
        tried.append(f"  {name}: {family.LAYOUT}")
    found = ", ".join(sorted(p.name for p in source.folder.iterdir())[:30]) or "nothing"
    kind = f", model_type {source.model_type!r}" if source.model_type else ""
    raise ModelError(
        f"{source.name}: the layout is unknown. In {source.folder}: {found}{kind}. Tried:\n" + "\n".join(tried)
    )


def _exported(source: Source, *, device: str | None, dtype: str | None, compile: bool) -> Encoder:
    from onespace.exported import open_exported

    if device not in (None, "cpu") or dtype is not None or compile:
        raise ModelError(
            f"{source.name}: an exported model runs on the CPU as it was written. Leave out device, dtype, compile."
        )
    return open_exported(source.folder)
