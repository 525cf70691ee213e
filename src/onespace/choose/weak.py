"""Weak queries: searches that a user's own files suggest, and the files that should be found.

A picture should be found by its caption, its alt text and its name; a page by its title, a section by its heading, a
row of a table by its query or its translation. None of these is always right, but all models meet the same ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args
from urllib.parse import unquote

import numpy as np

from onespace.choose.markup import HTML, MARKDOWN, Page, read_html, read_markdown
from onespace.choose.names import name_in
from onespace.errors import InputError
from onespace.evaluate.tables import CAPTION, IMAGE, LANGUAGE, SUFFIXES, Row, read_rows
from onespace.evaluate.tasks import Retrieval
from onespace.files.records import PICTURES
from onespace.types import Item

Origin: TypeAlias = Literal["captions", "alt texts", "file names", "titles", "headings", "queries", "translations"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)

DOCUMENTS, QUERIES = 1000, 300
"""Most items of one kind, and most queries of one origin; beyond that some are drawn."""
FEWEST = 10
"""Fewest queries of one origin: fewer tell nothing."""
LONGEST = 4000
"""Characters of a page or a section that are taken."""
SHORTEST = 40
"""Bytes of a section that is worth finding."""
VAGUE = 0.05
"""A query that more than this share of the items answers (and more than 10 of them) says nothing."""

ALT, QUERY, TRANSLATION = ("alt", "alt_text"), ("query", "queries"), ("translation", "target_text", "target")


@dataclass
class Pool:
    """Items of one kind, and what should find each."""

    items: dict[Item, int] = field(default_factory=dict)
    asked: dict[Origin, dict[str, set[int]]] = field(default_factory=dict)
    languages: dict[tuple[Origin, str], str] = field(default_factory=dict)

    def add(self, item: Item) -> int:
        """The item's place."""
        return self.items.setdefault(item, len(self.items))

    def ask(self, origin: Origin, query: str, item: Item, *, language: str = "") -> None:
        """Adds an item, and a query that should find it unless that is empty or the item's own text."""
        place, query = self.add(item), " ".join(query.split())
        if query and query != item:
            self.asked.setdefault(origin, {}).setdefault(query, set()).add(place)
            self.languages[origin, query] = language


@dataclass(frozen=True)
class Weak:
    """What was found in the files: a search for each origin of queries."""

    tasks: tuple[Retrieval, ...]
    """Named by their origins."""
    notes: tuple[str, ...]


def weak_queries(
    inputs: Sequence[str | Path],
    *,
    origins: Sequence[Origin] = ORIGINS,
    language: str | None = None,
    seed: int = 0,
) -> Weak:
    """Reads folders (with all folders below), pictures, pages and tables, and makes searches of what they say.

    Args:
        inputs: folders and files.
        origins: which kinds of queries are wanted.
        language: keeps only queries of rows that name this language.
        seed: of the draw, where there is more than `DOCUMENTS` or `QUERIES`.

    Raises:
        InputError: a path that isn't there, or too few queries of every origin; the message says what was found.
    """
    pools, notes = _read(inputs)
    tasks = []
    for name, pool in pools.items():
        for origin in (origin for origin in ORIGINS if origin in origins and origin in pool.asked):
            task = _task(pool, origin, pool.asked[origin], language, seed)
            if task is None or len(task.queries) < FEWEST:
                count = 0 if task is None else len(task.queries)
                notes.append(f"{origin} give {count} queries for {name}, too few to tell models apart: left out.")
                continue
            tasks.append(replace(task, name=f"{origin} to {name}"))
            notes += task.notes
    if not tasks:
        held = ", ".join(f"{len(pool.items)} {name}" for name, pool in pools.items() if pool.items) or "nothing"
        raise InputError(
            f"no queries could be made: found {held}. {' '.join(notes)} Name pictures by what they show, or give "
            'captions in a table (image, caption), pages with titles, or rows with "query" and "text": at least '
            f"{FEWEST} of one kind."
        )
    return Weak(tuple(tasks), tuple(dict.fromkeys(notes)))


def _read(inputs: Sequence[str | Path]) -> tuple[dict[str, Pool], list[str]]:
    """What is in the files. A table that only happens to lie in a folder, and can't be read, is a note."""
    pools = {name: Pool() for name in ("pictures", "pages", "sections", "texts")}
    notes = []
    for path, named in _files(inputs):
        kind = path.suffix.lower()
        if kind in PICTURES:
            _read_picture(path, pools["pictures"])
        elif kind in HTML:
            _read_page(path, read_html, pools)
        elif kind in MARKDOWN:
            _read_page(path, read_markdown, pools)
        elif kind in SUFFIXES:
            try:
                for row in read_rows(path):
                    _read_row(row, pools)
            except InputError as error:
                if named:
                    raise
                notes.append(f"{error} Left out.")
    return pools, notes


def _files(inputs: Sequence[str | Path]) -> Iterator[tuple[Path, bool]]:
    """Each file, and whether it was named itself; hidden files and folders inside a folder are passed over."""
    for name in inputs:
        path = Path(name)
        if not path.exists():
            raise InputError(f"{path} isn't there. Name folders or files of your own.")
        if not path.is_dir():
            yield path.resolve(), True
            continue
        for root, folders, files in os.walk(path):
            folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
            shown = sorted(file for file in files if not file.startswith(".") and _spelled(file))
            yield from ((Path(root, file).resolve(), False) for file in shown)


def _spelled(name: str) -> bool:
    """Whether the name is text; what isn't can't be written into a list of files."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def _read_picture(path: Path, pool: Pool) -> None:
    pool.ask("file names", name_in(path.stem), path)
    beside = path.with_suffix(".txt")
    if beside.is_file():
        pool.ask("captions", _text_of(beside), path)


def _read_page(path: Path, read: Callable[[str], Page], pools: dict[str, Pool]) -> None:
    page = read(_text_of(path))
    for source, alt in page.pictures:
        picture = (path.parent / unquote(source)).resolve()
        if picture.suffix.lower() in PICTURES and picture.is_file():
            pools["pictures"].ask("alt texts", alt if name_in(alt) else "", picture)
    body = page.text[:LONGEST]
    if len(body.encode()) >= SHORTEST:
        pools["pages"].ask("titles", page.title, body)
    for heading, text in page.sections:
        if len(text.encode()) >= SHORTEST:
            pools["sections"].ask("headings", heading, text[:LONGEST])


def _read_row(row: Row, pools: dict[str, Pool]) -> None:
    """One row of a table: a picture with what is said about it, or a text with its title, query or translation."""
    language = row.text(LANGUAGE)
    image = row.get(IMAGE)
    if image is not None:
        picture = row.picture(str(image)).resolve()
        pool = pools["pictures"]
        pool.add(picture)
        found: tuple[tuple[Origin, Sequence[str]], ...] = (
            ("captions", CAPTION),
            ("alt texts", ALT),
            ("queries", QUERY),
        )
        for origin, names in found:
            for text in row.texts(names) if row.get(names) is not None else ():
                pool.ask(origin, text, picture, language=language)
        return
    text = row.text(["text", "source_text", "source"])[:LONGEST]
    if not text:
        return
    pools["texts"].add(text)
    found = (("titles", ("title",)), ("queries", QUERY), ("translations", TRANSLATION))
    for origin, names in found:
        for query in row.texts(names) if row.get(names) is not None else ():
            pools["texts"].ask(origin, query, text, language=language)


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Give leave to read it, or name other files.") from error


def _task(pool: Pool, origin: Origin, asked: dict[str, set[int]], language: str | None, seed: int) -> Retrieval | None:
    """The search for one origin, among at most `DOCUMENTS` items, preferably those that a query should find."""
    random = np.random.default_rng(seed)
    items, notes = list(pool.items), []
    most = max(10, VAGUE * len(items))
    queries = {q: found for q, found in asked.items() if len(found) <= most}
    queries = {q: found for q, found in queries.items() if language in (None, pool.languages[origin, q])}
    kept = set(range(len(items)))
    if len(items) > DOCUMENTS:
        wanted = {place for some in pool.asked.values() for found in some.values() for place in found}
        order = sorted(random.permutation(len(items)).tolist(), key=lambda i: i not in wanted)
        kept = set(order[:DOCUMENTS])
        notes.append(f"{DOCUMENTS} of the {len(items)} items were taken, at random.")
    queries = {q: found & kept for q, found in queries.items() if found & kept}
    if len(queries) > QUERIES:
        notes.append(f"{QUERIES} of the {len(queries)} queries from {origin} were taken, at random.")
        picked = sorted(random.permutation(len(queries))[:QUERIES].tolist())
        names = list(queries)
        queries = {names[i]: queries[names[i]] for i in picked}
    if not queries:
        return None
    place = {old: new for new, old in enumerate(sorted(kept))}
    texts = list(queries)
    spoken = [pool.languages[origin, q] for q in texts]
    return Retrieval(
        origin,
        [items[i] for i in place],
        texts,
        [{place[i]: 1.0 for i in sorted(queries[q])} for q in texts],
        languages=spoken if any(spoken) else (),
        groups=[min(place[i] for i in queries[q]) for q in texts],
        names=([str(items[i]) if isinstance(items[i], Path) else f"text {i}" for i in place], texts),
        notes=tuple(notes),
    )
