"""Tasks from a user's files. What a file or folder holds is told from its columns or its shape.

folder with corpus.jsonl, queries.jsonl, qrels/      retrieval (BEIR)
folder with a folder of pictures for each class      zero-shot classification (classes.json may name them)
table with image, caption [, language]               retrieval both ways
table with image, text, target                       composed retrieval: picture and text find a picture
table with sentence1, sentence2, score [, language]  semantic textual similarity
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from onespace.errors import InputError
from onespace.evaluate.beir import CORPUS, read_beir
from onespace.evaluate.tables import CAPTION, IMAGE, LANGUAGE, SUFFIXES, Row, read_rows
from onespace.evaluate.tasks import Classification, Retrieval, Sts, Task
from onespace.files.records import PICTURES
from onespace.types import Pair

Layout: TypeAlias = Literal["beir", "captions", "composed", "sts", "classes"]

FIRST, SECOND = ("sentence1", "text1"), ("sentence2", "text2")
SCORE, TARGET = ("score", "similarity_score", "label"), ("target", "targets", "target_image")
TEXT = ("text", "caption", "modification")
NAMES = "classes.json"


def read_tasks(path: str | Path, *, layout: Layout | None = None, split: str = "test") -> list[Task]:
    """The tasks of a file or a folder. Tasks of one name belong together, such as one language each.

    Args:
        path: the folder, or a .jsonl, .csv or .tsv file.
        layout: what it holds; by default this is told from its columns or its shape.
        split: which ``qrels/SPLIT.tsv`` of a BEIR folder.

    Raises:
        InputError: nothing is there, or it can't be read as one of the layouts.
    """
    path = Path(path)
    if layout is not None and layout not in get_args(Layout):
        raise InputError(f"layout={layout!r} isn't known. Choose one of {', '.join(get_args(Layout))}.")
    if not path.exists():
        raise InputError(f"{path} isn't there. Name a folder or a table; `onespace evaluate --help` says which.")
    layout = layout or (_folder_layout(path) if path.is_dir() else _table_layout(path))
    if layout == "beir":
        return [read_beir(path, split=split)]
    if layout == "classes":
        return [_classes(path)]
    rows = list(read_rows(path))
    if not rows:
        raise InputError(f"{path} has no rows. `onespace evaluate --help` says what they hold.")
    if layout == "sts":
        return [_sts(path.stem, rows)]
    return _captions(path.stem, rows) if layout == "captions" else [_composed(path.stem, rows)]


def _folder_layout(path: Path) -> Layout:
    if (path / CORPUS).is_file():
        return "beir"
    if sum(bool(_pictures(folder)) for folder in path.iterdir() if folder.is_dir()) > 1:
        return "classes"
    raise InputError(
        f"{path} has no {CORPUS}, nor a folder of pictures for each of several classes. Name such a folder, or a table."
    )


def _table_layout(path: Path) -> Layout:
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} isn't a table. Known endings: {', '.join(sorted(SUFFIXES))}.")
    first = next(read_rows(path), None)
    if first is None:
        raise InputError(f"{path} has no rows. `onespace evaluate --help` says what they hold.")
    for layout, needed in (
        ("sts", (FIRST, SECOND, SCORE)),
        ("composed", (IMAGE, TEXT, TARGET)),
        ("captions", (IMAGE, CAPTION)),
    ):
        if all(any(name in first.values for name in names) for names in needed):
            return layout  # type: ignore[return-value]
    raise InputError(
        f"{path} has the columns {', '.join(first.values)}. Needed are image and caption; or image, text and target; "
        "or sentence1, sentence2 and score."
    )


def _captions(name: str, rows: Sequence[Row]) -> list[Task]:
    """Pictures by captions, and captions by pictures: in each language among the captions of that language."""
    pictures: dict[Path, int] = {}
    texts: list[str] = []
    owners: list[int] = []
    languages: list[str] = []
    for row in rows:
        owner = pictures.setdefault(row.picture(str(row.need(IMAGE))), len(pictures))
        for text in row.texts(CAPTION):
            texts.append(text)
            owners.append(owner)
            languages.append(row.text(LANGUAGE))
    shown = list(pictures)
    paths = [str(path) for path in shown]
    tasks: list[Task] = [
        Retrieval(
            f"{name}, pictures by captions",
            shown,
            texts,
            [{owner: 1.0} for owner in owners],
            languages=languages if any(languages) else (),
            groups=owners,
            names=(paths, texts),
        )
    ]
    for language in dict.fromkeys(languages):
        some = [i for i, own in enumerate(languages) if own == language]
        answers: dict[int, dict[int, float]] = defaultdict(dict)
        for place, i in enumerate(some):
            answers[owners[i]][place] = 1.0
        asked = shown if len(answers) == len(shown) else [shown[i] for i in answers]
        order = range(len(shown)) if asked is shown else answers
        tasks.append(
            Retrieval(
                f"{name}, captions by pictures",
                [texts[i] for i in some],
                asked,
                [answers[i] for i in order],
                languages=[language] * len(asked) if language else (),
                groups=list(order),
                names=([texts[i] for i in some], [paths[i] for i in order]),
            )
        )
    return tasks


def _composed(name: str, rows: Sequence[Row]) -> Retrieval:
    """A picture and a text find a picture among all pictures of the file; the picture of the query isn't ranked."""
    pictures: dict[Path, int] = {}
    for row in rows:
        for value in (str(row.need(IMAGE)), *row.texts(TARGET)):
            pictures.setdefault(row.picture(value), len(pictures))
    references = [row.picture(str(row.need(IMAGE))) for row in rows]
    answers = [{pictures[row.picture(t)]: 1.0 for t in row.texts(TARGET)} for row in rows]
    own = [pictures[reference] for reference in references]
    languages = [row.text(LANGUAGE) for row in rows]
    asked = [row.texts(TEXT)[0] for row in rows]
    return Retrieval(
        f"{name}, composed",
        list(pictures),
        [Pair(text, reference) for text, reference in zip(asked, references, strict=True)],
        answers,
        languages=languages if any(languages) else (),
        left_out=[-1 if own[i] in answers[i] else own[i] for i in range(len(rows))],
        names=([str(p) for p in pictures], [f"{r} + {t}" for r, t in zip(references, asked, strict=True)]),
    )


def _sts(name: str, rows: Sequence[Row]) -> Sts:
    languages = [row.text(LANGUAGE) for row in rows]
    return Sts(
        name,
        [str(row.need(FIRST)) for row in rows],
        [str(row.need(SECOND)) for row in rows],
        [row.number(SCORE) for row in rows],
        languages=languages if any(languages) else (),
    )


def _classes(path: Path) -> Classification:
    """A folder a class. ``classes.json``: {"names": {folder: {language: name}}, "templates": {language: [...]}}."""
    folders = {folder.name: _pictures(folder) for folder in sorted(path.iterdir()) if folder.is_dir()}
    folders = {name: pictures for name, pictures in folders.items() if pictures}
    about = _about(path / NAMES)
    named, templates = about.get("names", {}), about.get("templates", {})
    plain = {name: name.replace("_", " ") for name in folders}
    spelled = {name: values if isinstance(values, dict) else {"": values} for name, values in named.items()}
    languages = sorted({language for values in spelled.values() for language in values}) or [""]
    if missing := [
        f"{n} in {x or 'a language'}" for x in languages for n in folders if spelled and x not in spelled.get(n, {})
    ]:
        raise InputError(
            f"{path / NAMES} lacks the name of {', '.join(missing[:5])}. Name each class in each language."
        )
    return Classification(
        path.resolve().name,
        [picture for pictures in folders.values() for picture in pictures],
        [label for label, pictures in enumerate(folders.values()) for _ in pictures],
        {x: [str(spelled.get(n, plain)[x if spelled else n]) for n in folders] for x in languages},
        {x: [str(t) for t in templates.get(x, templates.get("", ["{}"]))] for x in languages},
    )


def _about(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        about = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{path} isn't JSON ({error}).") from error
    if not isinstance(about, dict) or not all(isinstance(about.get(key, {}), dict) for key in ("names", "templates")):
        raise InputError(
            f'{path} must be {{"names": {{folder: {{language: name}}}}, "templates": {{language: [...]}}}}.'
        )
    return about


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
