"""Retrieval in BEIR's layout: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv in one folder.

A row of either file may also have an ``image`` (a path seen from the folder): it is then a picture, or with a text a
pair. A query may have a ``language``. Source: Thakur et al. 2021.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from onespace.errors import InputError
from onespace.evaluate.tables import LANGUAGE, Row, read_rows
from onespace.evaluate.tasks import Retrieval
from onespace.types import Item, Pair

CORPUS, QUERIES = "corpus.jsonl", "queries.jsonl"
ID = ("_id", "id")


def read_beir(folder: Path, *, split: str = "test") -> Retrieval:
    """Reads a folder. As in BEIR a title stands before its text, and a query never finds the document of its own id.

    Raises:
        InputError: a file that is missing or can't be read, or no query with an answer.
    """
    documents = {row.text(ID) or row.place: _item(row) for row in read_rows(folder / CORPUS)}
    queries = {row.text(ID) or row.place: row for row in read_rows(folder / QUERIES)}
    place = {name: i for i, name in enumerate(documents)}
    grades: dict[str, dict[int, float]] = defaultdict(dict)
    unknown = 0
    for query, document, grade in _judgements(folder, split):
        if query not in queries or document not in documents:
            unknown += 1
        elif grade > 0:
            grades[query][place[document]] = grade
    asked = [name for name in queries if name in grades]
    if not asked:
        raise InputError(
            f"{folder}: no query has an answer in qrels/{split}.tsv. Do the ids agree with the .jsonl files?"
        )
    groups = [queries[q].text(["group"]) for q in asked]
    languages = [queries[q].text(LANGUAGE) for q in asked]
    notes = (f"{unknown} judgements of qrels/{split}.tsv name things that aren't there.",) if unknown else ()
    return Retrieval(
        name=folder.resolve().name,
        documents=list(documents.values()),
        queries=[_item(queries[q]) for q in asked],
        answers=[grades[q] for q in asked],
        languages=languages if any(languages) else (),
        groups=[sorted(set(groups)).index(g) for g in groups] if all(groups) else None,
        left_out=[place.get(q, -1) for q in asked] if set(asked) & set(place) else (),
        names=(list(documents), asked),
        notes=notes,
    )


def write_beir(task: Retrieval, folder: Path, *, split: str = "test") -> Path:
    """Writes texts, pictures given by their paths, and pairs of these as `read_beir` reads them.

    Raises:
        InputError: an item that holds a picture in memory.
    """
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    documents = _names(task.names[0], len(task.documents), "d")
    queries = _names(task.names[1], len(task.queries), "q")
    with (folder / CORPUS).open("w", encoding="utf-8") as file:
        for name, item in zip(documents, task.documents, strict=True):
            file.write(_line({"_id": name, **_values(item, name)}))
    with (folder / QUERIES).open("w", encoding="utf-8") as file:
        for i, (name, item) in enumerate(zip(queries, task.queries, strict=True)):
            more = {"language": task.languages[i]} if task.languages else {}
            more |= {"group": f"{task.groups[i]:06d}"} if task.groups is not None else {}
            file.write(_line({"_id": name, **_values(item, name), **more}))
    with (folder / "qrels" / f"{split}.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("query-id", "corpus-id", "score"))
        for name, answers in zip(queries, task.answers, strict=True):
            table.writerows((name, documents[d], f"{grade:g}") for d, grade in answers.items())
    return folder


def _item(row: Row) -> Item:
    return row.item(f"{row.text(['title'])} {row.text(['text'])}".strip())


def _judgements(folder: Path, split: str) -> list[tuple[str, str, float]]:
    """(query, document, grade) of each line; with or without a header, and also in TREC's four columns."""
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in (folder / "qrels").glob("*.tsv"))) or "none"
        raise InputError(f"{path} isn't there. Splits in {folder / 'qrels'}: {there}.")
    found = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter="\t"), 1):
            if not row:
                continue
            try:
                found.append((row[0], row[-2], float(row[-1])))
            except (ValueError, IndexError) as error:
                if number > 1:
                    raise InputError(f"{path}:{number} isn't a query, a document and a grade: {row}.") from error
    return found


def _names(names: Sequence[str], n: int, letter: str) -> Sequence[str]:
    return names if len(set(names)) == n else [f"{letter}{i}" for i in range(n)]


def _values(item: Item, name: str) -> dict[str, str]:
    text, picture = (item.text, item.image) if isinstance(item, Pair) else ("", item)
    if isinstance(item, str):
        return {"text": item}
    if not isinstance(picture, Path):
        raise InputError(f"{name} holds a picture in memory ({type(picture).__name__}). Give pictures by their paths.")
    return {"text": text, "image": str(picture.resolve())}


def _line(values: dict[str, str]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"
