"""What is known of published models, as data: listable without loading, and without importing anything."""

from __future__ import annotations

from dataclasses import dataclass

from onespace.types import Head, Level, Modality


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """One published model."""

    name: str
    """As `onespace.load` takes it: the hub's name, or ours."""
    family: str
    """The module of `onespace.families` that reads it, or what it would need."""
    licence: str
    languages: str
    max_tokens: int
    dim: int
    modalities: tuple[Modality, ...]
    heads: tuple[Head, ...] = ("dense",)
    parameters: int = 0
    """In millions; 0 where unknown."""
    grafted: tuple[str, ...] = ()
    """Entries such as ``"pair/dense"`` that run, but that no training has shaped."""
    loadable: bool = True
    why_not: str = ""
    repo: str = ""
    """Where the weights are on the hub; "" for the shipped model."""
    file: str = ""
    """The one weight file in ``repo``, where its folder isn't a model by itself."""
    text_repo: str = ""
    """Where the text model's config and tokenizer are, if not in ``repo``."""
    query_prefix: str = ""
    document_prefix: str = ""
    notes: str = ""

    def level(self, modality: Modality, head: Head) -> Level:
        """``trained``, ``grafted`` or ``unsupported``."""
        if f"{modality}/{head}" in self.grafted:
            return "grafted"
        return "trained" if modality in self.modalities and head in self.heads else "unsupported"


_ALL: tuple[Modality, ...] = ("text", "image", "pair")
_CLIP: tuple[Modality, ...] = ("text", "image")
_THREE: tuple[Head, ...] = ("dense", "sparse", "multi")


def _text(
    name: str, licence: str, languages: str, dim: int, parameters: int, query: str = "", document: str = ""
) -> ModelCard:
    """A text embedder of BERT's shape, with 512 tokens."""
    return ModelCard(
        name=name,
        family="bge",
        licence=licence,
        languages=languages,
        max_tokens=512,
        dim=dim,
        modalities=("text",),
        parameters=parameters,
        repo=name,
        query_prefix=query,
        document_prefix=document,
    )


def _clip(
    name: str, family: str, licence: str, languages: str, dim: int, parameters: int, max_tokens: int = 77
) -> ModelCard:
    """A dual encoder."""
    return ModelCard(
        name=name,
        family=family,
        licence=licence,
        languages=languages,
        max_tokens=max_tokens,
        dim=dim,
        modalities=_CLIP,
        parameters=parameters,
        repo=name,
    )


def _other(
    name: str, licence: str, languages: str, dim: int, parameters: int, why_not: str, max_tokens: int = 32768
) -> ModelCard:
    """A model of an architecture that isn't here."""
    return ModelCard(
        name=name,
        family="none",
        licence=licence,
        languages=languages,
        max_tokens=max_tokens,
        dim=dim,
        modalities=_ALL,
        parameters=parameters,
        loadable=False,
        why_not=why_not,
        repo=name,
    )


_E5 = {"query": "query: ", "document": "passage: "}

CARDS: tuple[ModelCard, ...] = (
    ModelCard(
        name="onespace-mini",
        family="mini",
        licence="Apache-2.0",
        languages="104 languages, short phrases",
        max_tokens=8192,
        dim=256,
        modalities=_ALL,
        heads=_THREE,
        parameters=17,
        notes="shipped; pictograms, logos and drawings, not photographs",
    ),
    ModelCard(
        name="BAAI/bge-visualized-base-en-v1.5",
        family="visualized_bge",
        licence="MIT",
        languages="English",
        max_tokens=512,
        dim=768,
        modalities=_ALL,
        parameters=196,
        repo="BAAI/bge-visualized",
        file="Visualized_base_en_v1.5.pth",
        text_repo="BAAI/bge-base-en-v1.5",
        notes="made for text+picture retrieval; plain text-to-image is weaker than CLIP's; 316 tokens beside a picture",
    ),
    ModelCard(
        name="BAAI/bge-visualized-m3",
        family="visualized_bge",
        licence="MIT",
        languages="100+ languages",
        max_tokens=8192,
        dim=1024,
        modalities=_ALL,
        parameters=873,
        repo="BAAI/bge-visualized",
        file="Visualized_m3.pth",
        text_repo="BAAI/bge-m3",
        notes="dense only, unless heads_from borrows the other heads; texts beside pictures were trained to 109 tokens",
    ),
    ModelCard(
        name="BAAI/bge-m3",
        family="bge_m3",
        licence="MIT",
        languages="100+ languages",
        max_tokens=8192,
        dim=1024,
        modalities=("text",),
        heads=_THREE,
        parameters=568,
        repo="BAAI/bge-m3",
    ),
    _text("BAAI/bge-small-en-v1.5", "MIT", "English", 384, 33),
    _text("BAAI/bge-base-en-v1.5", "MIT", "English", 768, 109),
    _text("BAAI/bge-large-en-v1.5", "MIT", "English", 1024, 335),
    _text("BAAI/bge-small-zh-v1.5", "MIT", "Chinese", 512, 24),
    _text("BAAI/bge-base-zh-v1.5", "MIT", "Chinese", 768, 102),
    _text("BAAI/bge-large-zh-v1.5", "MIT", "Chinese", 1024, 326),
    _text("intfloat/multilingual-e5-small", "MIT", "94 languages", 384, 118, **_E5),
    _text("intfloat/multilingual-e5-base", "MIT", "94 languages", 768, 278, **_E5),
    _text("intfloat/multilingual-e5-large", "MIT", "94 languages", 1024, 560, **_E5),
    _text("intfloat/e5-base-v2", "MIT", "English", 768, 109, **_E5),
    _text("thenlper/gte-base", "MIT", "English", 768, 109),
    _text("sentence-transformers/all-MiniLM-L6-v2", "Apache-2.0", "English", 384, 23),
    _text("sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2", "Apache-2.0", "50+ languages", 384, 118),
    _clip("openai/clip-vit-base-patch32", "clip", "MIT", "English", 512, 151),
    _clip("openai/clip-vit-base-patch16", "clip", "MIT", "English", 512, 150),
    _clip("openai/clip-vit-large-patch14", "clip", "MIT", "English", 768, 428),
    _clip("openai/clip-vit-large-patch14-336", "clip", "MIT", "English", 768, 428),
    _clip("OFA-Sys/chinese-clip-vit-base-patch16", "chinese_clip", "Apache-2.0 (by memory)", "Chinese", 512, 188, 52),
    _clip("OFA-Sys/chinese-clip-vit-large-patch14", "chinese_clip", "Apache-2.0 (by memory)", "Chinese", 768, 406, 52),
    _clip("google/siglip-base-patch16-224", "siglip", "Apache-2.0", "English", 768, 203, 64),
    _clip("google/siglip-so400m-patch14-384", "siglip", "Apache-2.0", "English", 1152, 878, 64),
    _clip("google/siglip2-base-patch16-224", "siglip", "Apache-2.0", "multilingual", 768, 375, 64),
    _clip("google/siglip2-so400m-patch14-384", "siglip", "Apache-2.0", "multilingual", 1152, 1136, 64),
    ModelCard(
        name="BAAI/BGE-VL-base",
        family="clip",
        licence="MIT",
        languages="English",
        max_tokens=77,
        dim=512,
        modalities=_ALL,
        parameters=150,
        repo="BAAI/BGE-VL-base",
        notes="CLIP; a pair is the sum of its text and its picture",
    ),
    ModelCard(
        name="BAAI/BGE-VL-large",
        family="clip",
        licence="MIT",
        languages="English",
        max_tokens=77,
        dim=768,
        modalities=_ALL,
        parameters=428,
        repo="BAAI/BGE-VL-large",
        notes="CLIP; a pair is the sum of its text and its picture",
    ),
    _other("BAAI/BGE-VL-MLLM-S1", "MIT", "English", 4096, 7570, "a LLaVA-1.6 that needs its own remote code"),
    _other("BAAI/BGE-VL-MLLM-S2", "MIT", "English", 4096, 7570, "a LLaVA-1.6 that needs its own remote code"),
    _other("BAAI/BGE-VL-v1.5-zs", "MIT", "English", 4096, 7570, "a LLaVA-1.6 that needs its own remote code"),
    _other("BAAI/BGE-VL-v1.5-mmeb", "MIT", "English", 4096, 7570, "a LLaVA-1.6 that needs its own remote code"),
    _other("BAAI/BGE-VL-Screenshot", "unknown", "unknown", 2048, 3000, "a Qwen2.5-VL (3B); no such tower is here"),
    _other(
        "jinaai/jina-clip-v2",
        "CC-BY-NC-4.0",
        "89 languages (by memory)",
        1024,
        865,
        "its text tower (rotary XLM-R with adapters) is defined in remote code and can't be checked against it here",
        8192,
    ),
    _other(
        "jinaai/jina-embeddings-v4",
        "non-commercial",
        "multilingual",
        2048,
        3750,
        "a Qwen2.5-VL (3B) with adapters that needs its own remote code",
    ),
    _other("Alibaba-NLP/gme-Qwen2-VL-2B-Instruct", "Apache-2.0", "en, zh", 1536, 2210, "a Qwen2-VL; remote code"),
    _other("Alibaba-NLP/gme-Qwen2-VL-7B-Instruct", "Apache-2.0", "en, zh", 3584, 8290, "a Qwen2-VL; remote code"),
    _other(
        "Qwen/Qwen3-VL-Embedding-2B", "Apache-2.0", "30+ languages", 2048, 2000, "a Qwen3-VL; no such tower is here"
    ),
    _other(
        "Qwen/Qwen3-VL-Embedding-8B", "Apache-2.0", "30+ languages", 4096, 8000, "a Qwen3-VL; no such tower is here"
    ),
    _other(
        "vidore/colqwen2.5-v0.2", "Apache-2.0 adapter", "multilingual", 128, 3000, "a Qwen2.5-VL (3B) with adapters"
    ),
    _other("vidore/colpali-v1.3", "Gemma", "English", 128, 3000, "a PaliGemma (3B) with adapters"),
    _other("nomic-ai/nomic-embed-multimodal-3b", "unknown", "multilingual", 2048, 3000, "a Qwen2.5-VL (3B)"),
    _other(
        "nomic-ai/nomic-embed-multimodal-7b", "Apache-2.0 (by memory)", "multilingual", 3584, 7000, "a Qwen2.5-VL (7B)"
    ),
)
"""Parameters, and widths and licences of models that can't be loaded, are partly by memory: check before relying."""


def find(name: str) -> ModelCard | None:
    """The card of that name, in full or only what follows the slash, whatever the case.

    >>> find("bge-m3").name
    'BAAI/bge-m3'
    """
    wanted = name.lower()
    exact = (c for c in CARDS if c.name.lower() == wanted)
    short = (c for c in CARDS if c.name.lower().rpartition("/")[2] == wanted)
    return next(exact, None) or next(short, None)


def of_files(name: str, *, family: str, dim: int) -> ModelCard | None:
    """The card that files on disk may claim: their folder or file has its name, and they its family and its width."""
    cards = (find(name), next((c for c in CARDS if c.file == name), None))
    return next((c for c in cards if c is not None and c.family == family and c.dim == dim), None)


def families(modality: Modality) -> list[str]:
    """The families with a loadable model that takes items of this kind.

    >>> families("pair")
    ['clip', 'mini', 'visualized_bge']
    """
    return sorted({card.family for card in CARDS if card.loadable and modality in card.modalities})
