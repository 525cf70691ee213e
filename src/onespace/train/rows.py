"""One row of a user's data becomes an `Example`: a query, what answers it, and what looks right and is not.

The layouts that are read, all of them in JSON lines, CSV or TSV (a cell is a string):

    {"text": "a whale", "image": "whale.png"}                              a captioned picture
    {"query": "sea animal", "pos": ["a whale"], "neg": ["a car"]}          texts, as for FlagEmbedding
    {"query": {"text": "at night", "image": "day.png"}, "pos": {"image": "night.png"}}      a composed triple
    {"q_text": "at night", "q_img": "day.png", "positive_value": "night.png", "hn_image": ["noon.png"]}
                                                                           the same, as for Visualized-BGE

``pos_scores`` and ``neg_scores`` are a teacher's, one for each of ``pos`` and ``neg``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from onespace.errors import InputError
from onespace.files.records import Record, to_record

QUERY = (("query", "q_text", "query_text"), ("q_img", "query_image"))
POSITIVE = (("pos", "positive", "pos_text"), ("positive_value", "pos_image", "pos_img"))
NEGATIVE = (("neg", "negative", "neg_text"), ("hn_image", "neg_image", "neg_img"))
"""Names of fields, for texts (or objects with text and image) and for pictures."""


@dataclass(frozen=True)
class Example:
    """A query with its answers, by which `onespace.train` learns; scores, where there are some, are a teacher's."""

    query: Record
    positives: tuple[Record, ...]
    negatives: tuple[Record, ...] = ()
    positive_scores: tuple[float, ...] = ()
    negative_scores: tuple[float, ...] = ()

    def to_json(self) -> str:
        """The row as one line, readable from any folder."""
        row: dict[str, Any] = {"query": _plain(self.query), "pos": [_plain(r) for r in self.positives]}
        if self.negatives:
            row["neg"] = [_plain(r) for r in self.negatives]
        return json.dumps(row, ensure_ascii=False)


def key(record: Record) -> int:
    """A number by which the same text and picture are known again.

    >>> key(to_record({"text": "a"}, "x:1", Path())) == key(to_record({"text": "a"}, "y:9", Path()))
    True
    """
    digest = blake2b(json.dumps([record.text, record.image]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def to_example(row: Any, place: str, folder: Path) -> Example:
    """Reads a row; paths of pictures are seen from ``folder``, and ``place`` names the row in messages.

    >>> to_example({"query": "sea animal", "pos": ["a whale"]}, "x.jsonl:1", Path()).positives[0].item
    'a whale'

    Raises:
        InputError: the row has no query or no positive, or one that isn't a text or a picture.
    """
    if not isinstance(row, dict):
        raise InputError(f"{place}: is a {type(row).__name__}, not an object with fields.")
    row = {name: value for name, value in row.items() if value not in (None, "", [])}
    query, positives = _side(row, QUERY, place, folder), _side(row, POSITIVE, place, folder)
    if not query and not positives and "text" in row and "image" in row:
        query, positives = (_record(row["text"], place, folder),), (_record({"image": row["image"]}, place, folder),)
    if len(query) != 1 or not positives:
        raise InputError(f'{place}: needs one "query" and a "pos", or "text" and "image". It has: {", ".join(row)}.')
    negatives = _side(row, NEGATIVE, place, folder)
    return Example(
        query[0],
        positives,
        negatives,
        _scores(row, "pos_scores", len(positives), place),
        _scores(row, "neg_scores", len(negatives), place),
    )


def _side(
    row: Mapping[str, Any], names: tuple[tuple[str, ...], tuple[str, ...]], place: str, folder: Path
) -> tuple[Record, ...]:
    """The records of one side: texts, pictures, or both, which then belong together one by one."""
    texts, images = (_values(row, some) for some in names)
    if texts and images:
        if len(texts) != len(images):
            raise InputError(f"{place}: {len(texts)} texts and {len(images)} pictures can't be put together.")
        values: list[Any] = [{"text": t, "image": i} for t, i in zip(texts, images, strict=True)]
    else:
        values = texts or [{"image": image} for image in images]
    return tuple(_record(value, place, folder) for value in values)


def _values(row: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    found: Any = next((row[name] for name in names if name in row), [])
    return found if isinstance(found, list) else [found]


def _record(value: Any, place: str, folder: Path) -> Record:
    record = to_record({"text": value} if isinstance(value, str) else value, place, folder)
    if record.problem:
        raise InputError(f"{place}: {record.problem}")
    return record


def _scores(row: Mapping[str, Any], name: str, count: int, place: str) -> tuple[float, ...]:
    found = row.get(name, [])
    found = found if isinstance(found, list) else [found]
    try:
        scores = tuple(map(float, found))
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: {name} must be numbers ({error}).") from error
    if scores and len(scores) != count:
        raise InputError(f"{place}: {name} holds {len(scores)} numbers for {count} items. Give one for each.")
    return scores


def _plain(record: Record) -> dict[str, str]:
    """What `to_record` reads again."""
    image = record.image
    if image and not image.startswith(("data:", "http:", "https:")):
        image = str(Path(image).resolve())
    return {k: v for k, v in (("text", record.text), ("image", image)) if v} or {"text": ""}
