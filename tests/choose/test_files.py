"""What is read from a user's files: names, pages, and the weak queries made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onespace.choose import weak
from onespace.choose.markup import read_html, read_markdown
from onespace.choose.names import name_in
from onespace.choose.weak import Weak, weak_queries
from onespace.errors import InputError
from onespace.evaluate.tasks import Retrieval

NAMES = ["whale", "dragon", "red square", "lake", "house", "snow", "apple", "clock", "bridge", "train", "moon", "鲸鱼"]


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("2nd_place_medal", "2nd place medal"),
        ("house of cards", "house of cards"),
        ("Screenshot 2024-06-11 at 14.30.22", ""),
        ("IMG_0012 whale", "whale"),
        ("PXL_20230101_120000000.MP", ""),
        ("मेष", "मेष"),
        ("龙", "龙"),
        ("屏幕截图 2024", ""),
        ("café-au-lait_1920x1080", "café au lait"),
        ("d41d8cd98f00b204e9800998ecf8427e", ""),
        ("no", ""),
        ("it's", "it's"),
    ],
)
def test_names(stem: str, name: str) -> None:
    assert name_in(stem) == name


def test_html_with_traps() -> None:
    page = read_html(
        "<html><head><title>Sea &amp; air</title><style>p{}</style></head><body>before<script>if (a<b) {}</script>"
        "<h1>Whales <em>big</em></h1><p>one</p><p>two<nav>skip</nav><h2>Birds<p>never closed<img src='x.png'>"
    )
    assert page.title == "Sea & air"
    assert page.sections[:2] == [("", "before"), ("Whales big", "one two")]
    assert page.pictures == [("x.png", "")]


def test_markdown_with_traps() -> None:
    page = read_markdown(
        "intro\n\n# One #\ntext **bold** `code`\n```\n# no heading\n```\n##no\n<img src='a.png' alt='A'>"
    )
    assert page.title == "One"
    assert page.sections[0] == ("", "intro")
    assert page.sections[1][0] == "One"
    assert "text bold code" in page.sections[1][1]
    assert "# no heading" in page.sections[1][1]
    assert page.pictures == [("a.png", "A")]


def task(found: Weak, name: str) -> Retrieval:
    (one,) = [t for t in found.tasks if t.name == name]
    return one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures with names, some with a text beside them; pages; a table; and what says nothing."""
    for i, name in enumerate(NAMES):
        (tmp_path / f"{name.replace(' ', '_')}.png").touch()
        (tmp_path / f"{name.replace(' ', '_')}.txt").write_text(f"a drawing of {name}\n", "utf-8")
        (tmp_path / f"IMG_{i:04d}.jpg").touch()
        words = f"All that is known of number {i}, in a few words that are long enough."
        (tmp_path / f"{i}.md").write_text(f"# About {name}\n{words}\n\n## {name} again\n{words[::-1]}\n", "utf-8")
    (tmp_path / "page.html").write_text(
        "".join(f"<img src='IMG_{i:04d}.jpg' alt='picture of a {n}'>" for i, n in enumerate(NAMES))
    )
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "broken.jsonl").write_text("{")
    rows = [{"text": n, "translation": n[::-1], "language": "xx" if i else "yy"} for i, n in enumerate(NAMES)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_every_origin(folder: Path) -> None:
    found = weak_queries([folder])
    assert [t.name for t in found.tasks] == [
        "captions to pictures", "alt texts to pictures", "file names to pictures",
        "titles to pages", "headings to sections", "translations to texts",
    ]  # fmt: skip
    names = task(found, "file names to pictures")
    assert len(names.documents) == 24  # also pictures without a name are found, or not
    assert set(names.queries) == set(NAMES)
    for query, answers in zip(names.queries, names.answers, strict=True):
        (place,) = answers
        assert Path(str(names.documents[place])).stem == str(query).replace(" ", "_")
    assert task(found, "captions to pictures").queries[0] in [f"a drawing of {n}" for n in NAMES]
    alt = task(found, "alt texts to pictures")
    assert [str(alt.documents[next(iter(a))]).rpartition("IMG_")[2][:4] for a in alt.answers] == [
        f"{i:04d}" for i in range(12)
    ]
    assert "About whale" in task(found, "titles to pages").queries
    assert all("About" not in str(page) for page in task(found, "titles to pages").documents)
    assert "whale again" in task(found, "headings to sections").queries
    assert any("broken.jsonl:1" in note for note in found.notes)
    assert all(t.groups is not None for t in found.tasks)


def test_some_origins_and_one_language(folder: Path) -> None:
    found = weak_queries([folder], origins=["translations"], language="xx")
    assert [(t.name, len(t.queries)) for t in found.tasks] == [("translations to texts", 11)]
    assert len(found.tasks[0].documents) == 12
    with pytest.raises(InputError, match=r"translations give 1 queries for texts, too few"):
        weak_queries([folder], origins=["translations"], language="yy")


def test_a_name_of_several_pictures_has_several_answers(tmp_path: Path) -> None:
    for name in NAMES:
        for i in range(2):
            (tmp_path / f"{name} {i}.png").touch()
    for i in range(20):
        (tmp_path / f"thing {i}.png").touch()  # so common that it says nothing
    (found,) = weak_queries([tmp_path]).tasks
    assert {len(answers) for answers in found.answers} == {2}
    assert "thing" not in found.queries


def test_titles_and_captions_of_tables(tmp_path: Path) -> None:
    lines = ["image,caption,alt", *(f"{n}.png,the {n},{n} as such" for n in NAMES)]
    (tmp_path / "a.csv").write_text("\n".join(lines), "utf-8")
    lines = ["title,text,query", *(f"On {n},a text about {n},what of {n}?" for n in NAMES)]
    (tmp_path / "b.csv").write_text("\n".join(lines), "utf-8")
    found = weak_queries([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert [t.name for t in found.tasks] == [
        "captions to pictures", "alt texts to pictures", "titles to texts", "queries to texts"
    ]  # fmt: skip


def test_what_is_too_much_is_drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weak, "DOCUMENTS", 16)
    monkeypatch.setattr(weak, "QUERIES", 5)
    monkeypatch.setattr(weak, "FEWEST", 3)
    found = weak_queries([folder], origins=["file names", "alt texts"])
    first, second = found.tasks
    assert len(first.documents) == 16
    assert first.documents == second.documents  # tasks on one pool share what is encoded
    assert len(second.queries) == 5
    assert "16 of the 24 items were taken, at random." in found.notes
    assert any("queries from file names were taken, at random." in note for note in found.notes)
    again = weak_queries([folder], origins=["file names", "alt texts"])
    assert again.tasks == found.tasks
    assert weak_queries([folder], origins=["file names", "alt texts"], seed=1).tasks != found.tasks


def test_nothing_to_ask_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="isn't there"):
        weak_queries([tmp_path / "none"])
    for i in range(20):
        (tmp_path / f"IMG_{i:04d}.jpg").touch()
    with pytest.raises(InputError, match=r"found 20 pictures\. .* Name pictures by what they show"):
        weak_queries([tmp_path])
    (tmp_path / "x.csv").write_text("image,caption\n'a", "utf-8")
    (tmp_path / "y.jsonl").write_text("{", "utf-8")
    with pytest.raises(InputError, match=r"y.jsonl:1"):
        weak_queries([tmp_path / "y.jsonl"])
