"""Visualized-BGE under the name and the arguments of its authors' package.

from onespace.compat.visual_bge import Visualized_BGE       # was: from visual_bge.modeling import Visualized_BGE
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import IO, TypeAlias, cast

from onespace.compat.reference import encode, open_reference
from onespace.encoder import Encoder
from onespace.engines import Batch
from onespace.errors import InputError, MissingExtra, ModelError
from onespace.prepare.images import open_image
from onespace.prepare.pixels import to_pixels
from onespace.prepare.tokens import Tokenizer
from onespace.types import Head, ImageLike, Item, Pair

try:
    import torch
    from torch import Tensor, nn
    from torch.nn.utils.rnn import pad_sequence
except ImportError as error:
    raise MissingExtra("onespace.compat.visual_bge", "torch", "torch") from error

Picture: TypeAlias = "str | IO[bytes] | ImageLike"
"""As the original has it, a string is a path here; an open file and all other pictures of onespace are taken too."""
Tokenised: TypeAlias = "Mapping[str, Tensor]"
"""``input_ids`` and ``attention_mask``, both (N, L)."""

DENSE: tuple[Head, ...] = ("dense",)


class Visualized_BGE(nn.Module):
    """Encodes texts, pictures, and pictures with texts, to tensors (N, D) float32 on the CPU.

    Unlike the original it takes lists, never encodes in training mode, records no gradient, follows ``to``, ``half``
    and the like, and cuts a text that is too long (which the log says). ``forward``, the training step, isn't here.

    Args:
        model_name_bge: folder or hub name of the text model: its config and tokenizer are read.
        model_weight: the ``.pth`` file with all weights.
        normlized: whether vectors have length 1 (the original's spelling).
        sentence_pooling_method: ``cls`` or ``mean``.
        negatives_cross_device: concerns training only; unused.
        temperature: concerns training only; unused.
        from_pretrained: a folder that is read in place of ``model_name_bge``.

    Raises:
        InputError: neither ``model_name_bge`` nor ``from_pretrained`` is given.
        ModelError: the files can't be loaded, or aren't those of Visualized-BGE.
    """

    def __init__(
        self,
        model_name_bge: str | PathLike[str] | None = None,
        model_weight: str | PathLike[str] | None = None,
        normlized: bool = True,
        sentence_pooling_method: str = "cls",
        negatives_cross_device: bool = False,
        temperature: float = 0.02,
        from_pretrained: str | PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        source = from_pretrained or model_name_bge
        if source is None:
            raise InputError("model_name_bge is missing. Name the folder of bge-base-en-v1.5 or bge-m3.")
        encoder = open_reference(source, weights=model_weight, pooling=sentence_pooling_method, unit=normlized)
        if encoder.spec.family != "visualized_bge":
            raise ModelError(
                f"{source}: this is {encoder.spec.family}. Pass the Visualized_*.pth file as model_weight."
            )
        self.negatives_cross_device, self.temperature = negatives_cross_device, temperature
        self.spec = encoder.spec
        self.tokenizer = TensorTokenizer(encoder.tokenizer)
        self.model: nn.Module = encoder.engine.module  # type: ignore[attr-defined]

    def encode(
        self, image: Picture | Sequence[Picture] | None = None, text: str | Sequence[str] | None = None
    ) -> Tensor:
        """Encodes texts, pictures, or pairs of both: (N, D).

        One picture with several texts makes a pair with each, and so does one text with several pictures.

        Raises:
            InputError: neither is given, the two don't pair up, or one of them can't be used.
        """
        if image is not None and text is not None:
            return self.encode_mm(image, text)
        if image is not None:
            return self.encode_image(image)
        if text is not None:
            return self.encode_text(text)
        raise InputError("encode() got neither image nor text. Pass one of them, or both.")

    def encode_text(self, texts: str | Sequence[str] | Tokenised) -> Tensor:
        """Texts, or what `tokenizer` made of them: (N, D)."""
        if isinstance(texts, Mapping):
            return self._run(texts)
        return self._encode(_texts(texts))

    def encode_image(self, images: Picture | Sequence[Picture] | Tensor) -> Tensor:
        """Pictures, or pixels (N, 3, S, S) as `preprocess_val` makes them: (N, D)."""
        if isinstance(images, Tensor):
            return self._run(self.tokenizer([""] * len(images)), images)
        return self._encode(_pictures(images))

    def encode_mm(self, images: Picture | Sequence[Picture] | Tensor, texts: str | Sequence[str] | Tokenised) -> Tensor:
        """Pictures with texts, both as they are or both prepared: (N, D).

        Raises:
            InputError: only one of them is prepared, or the two don't pair up.
        """
        if isinstance(images, Tensor) and isinstance(texts, Mapping):
            return self._run(texts, images)
        if isinstance(images, Tensor) or isinstance(texts, Mapping):
            raise InputError("of images and texts one is prepared and one isn't. Pass tensors for both, or for none.")
        return self._encode(_pairs(_pictures(images), _texts(texts)))

    def preprocess_val(self, image: Picture) -> Tensor:
        """One picture as the model sees it: (3, S, S)."""
        assert self.spec.pixels is not None
        opened = open_image(_picture(image), where="the picture", pixels=self.spec.pixels)
        return torch.from_numpy(to_pixels(opened.picture, self.spec.pixels, where="the picture")[0])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.model.parameters()).dtype

    @property
    def encoder(self) -> Encoder:
        """The model as `onespace` has it, in eval mode, where the weights are now."""
        from onespace.engines.torch_engine import TorchEngine

        engine = TorchEngine(self.model, device=str(self.device), dtype=self.dtype)
        return Encoder(self.spec, self.tokenizer.tokenizer, engine)

    def _encode(self, items: Sequence[Item]) -> Tensor:
        return torch.from_numpy(encode(self.encoder, items, DENSE).dense)

    def _run(self, tokens: Tokenised, pixels: Tensor | None = None) -> Tensor:
        ids, mask = tokens["input_ids"].cpu().numpy(), tokens["attention_mask"].bool().cpu().numpy()
        batch = Batch(ids, mask, None if pixels is None else pixels[:, None].float().cpu().numpy())
        return torch.from_numpy(self.encoder.engine.run(batch, DENSE)["dense"])


class Tokens(dict[str, Tensor]):
    """``input_ids`` and ``attention_mask``, both (N, L)."""

    def to(self, device: torch.device | str) -> Tokens:
        """The same on another device."""
        return Tokens({name: tensor.to(device) for name, tensor in self.items()})


class TensorTokenizer:
    """Makes padded tensors of texts, for `Visualized_BGE.encode_text` and `encode_mm`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str | Sequence[str], return_tensors: str = "pt", padding: bool = True) -> Tokens:
        """The ids of one text or several, special tokens included; nothing is cut.

        Raises:
            InputError: there is no text, or tensors of another kind are wanted.
        """
        texts = _texts(text)
        if not texts or return_tensors != "pt" or not padding:
            raise InputError("the tokenizer makes padded torch tensors of one text or more. Use Visualized_BGE.encode.")
        ids = [torch.tensor(tokens.ids) for tokens in self.tokenizer.encode_batch(texts)]
        seen = [torch.ones_like(row) for row in ids]
        padded = pad_sequence(ids, batch_first=True, padding_value=self.tokenizer.pad)  # (N, L)
        return Tokens(input_ids=padded, attention_mask=pad_sequence(seen, batch_first=True))


def _texts(texts: str | Sequence[str]) -> list[str]:
    if not isinstance(texts, Iterable):
        raise InputError(f"text is a {type(texts).__name__}. Pass a str, or a list of them.")
    texts = [texts] if isinstance(texts, str) else list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {i} is a {type(text).__name__}. Pass a str, or pictures as image.")
    return texts


def _pictures(images: Picture | Sequence[Picture]) -> list[ImageLike]:
    return [_picture(image) for image in (images if isinstance(images, (list, tuple)) else (images,))]


def _picture(image: Picture) -> ImageLike:
    if isinstance(image, str):
        return Path(image)
    read = getattr(image, "read", None)
    return cast(ImageLike, image if read is None else read())


def _pairs(images: list[ImageLike], texts: list[str]) -> list[Item]:
    if len(images) == 1:
        images = images * len(texts)
    elif len(texts) == 1:
        texts = texts * len(images)
    if len(images) != len(texts):
        raise InputError(
            f"{len(images)} pictures and {len(texts)} texts don't pair up. Pass as many of each, or one of either."
        )
    return [Pair(text, image) for image, text in zip(images, texts, strict=True)]
