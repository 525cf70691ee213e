from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from index_cases import draw, write_pdf
from PIL import Image

from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.index.documents import Broken, Document, picture_hash
from onespace.index.pictures import Pictures
from onespace.index.readers import Reading, digest, expected, read
from onespace.index.rows import Columns
from onespace.index.walk import File
from onespace.types import Pair


def file(path: Path) -> File:
    stat = path.stat()
    return File(path.absolute(), path.name, stat.st_size, stat.st_mtime_ns, digest(path))


def documents(model: Encoder, path: Path, **options: object) -> list[Document | Broken]:
    return list(read(file(path), Reading(model.spec, model.tokenizer, **options)))  # type: ignore[arg-type]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_picture_is_itself(tmp_path, tiny_encoder):
    path = draw(tmp_path / "A.PNG", 0)
    (made,) = documents(tiny_encoder, path)
    assert made == Document("A.PNG", path, {"kind": "picture", "path": "A.PNG", "hash": picture_hash(digest(path))})


def test_a_text_gives_passages_that_cover_it(tmp_path, tiny_encoder):
    text = "# Whales\r\n\r\n" + "A whale swims in the sea. " * 30 + "\r\n\r\n* house\r\n* lake\r\n"
    made = documents(tiny_encoder, written(tmp_path / "a.md", "\ufeff" + text))
    plain = text.replace("\r\n", "\n")
    assert [d.id for d in made] == [f"a.md#passage={i}" for i in range(1, len(made) + 1)]
    assert len(made) > 3
    end = 0
    for document in made:
        assert document.metadata["start"] == end
        end = document.metadata["end"]
        assert document.open() == plain[document.metadata["start"] : end].strip()
    assert end == len(plain)
    room = tiny_encoder.spec.max_tokens
    assert all(len(tiny_encoder.tokenizer.encode(d.open()).ids) <= room for d in made)


def test_passages_that_stay_the_same_keep_their_hash(tmp_path, tiny_encoder):
    text = "\n\n".join(f"A whale {i} swims. " * 8 for i in range(4))
    before = {d.hash for d in documents(tiny_encoder, written(tmp_path / "a.txt", text))}
    after = {d.hash for d in documents(tiny_encoder, written(tmp_path / "a.txt", f"{'Snow. ' * 30}\n\n{text}"))}
    assert len(before & after) >= len(before) - 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_in_unicode(tmp_path, tiny_encoder, encoding):
    (made,) = documents(tiny_encoder, written(tmp_path / "a.txt", "一条龙".encode(encoding)))
    assert made.open() == "一条龙"


def test_a_text_that_is_too_large_is_refused(tmp_path, tiny_encoder, monkeypatch):
    monkeypatch.setattr("onespace.index.readers.LARGEST", 10)
    with pytest.raises(InputError, match=r"has 11 bytes; of a text at most 10 are read\. Split it"):
        documents(tiny_encoder, written(tmp_path / "a.txt", "x" * 11))


def test_pages_are_pictures_with_their_text(tmp_path, tiny_encoder):
    made = documents(tiny_encoder, write_pdf(tmp_path / "a.pdf", ["a whale", "", "the sea"]))
    assert [d.id for d in made] == ["a.pdf#page=1", "a.pdf#page=2", "a.pdf#page=3"]
    first, second, _ = [d.open() for d in made]
    assert isinstance(first, Pair)
    assert first.text == "a whale"
    assert first.image.size == (1024, 683)
    assert isinstance(second, Image.Image)  # there is nothing on it to read
    texts = replace(tiny_encoder.spec, trained=("text/dense", "image/dense"))
    reading = Reading(texts, tiny_encoder.tokenizer)
    assert [d.open() for d in read(file(tmp_path / "a.pdf"), reading)][::2] == ["a whale", "the sea"]


def test_a_locked_pdf_says_so(tmp_path, tiny_encoder, monkeypatch):
    import pypdfium2

    def locked(path: Path) -> None:
        raise pypdfium2.PdfiumError("Failed to load document (PDFium: Incorrect password error).")

    monkeypatch.setattr(pypdfium2, "PdfDocument", locked)
    with pytest.raises(InputError, match=r"is locked by a password\. Save it without one"):
        documents(tiny_encoder, write_pdf(tmp_path / "a.pdf", ["a"]))


def test_a_page_that_cannot_be_drawn_is_told_of(tmp_path, tiny_encoder):
    path = write_pdf(tmp_path / "a.pdf", ["a", "b"])
    _, page = documents(tiny_encoder, path)
    write_pdf(path, ["a"])
    with pytest.raises(InputError, match="page 2 can't be drawn"):
        page.open()


def test_rows_of_csv(tmp_path, tiny_encoder):
    draw(tmp_path / "p.png", 1)
    table = 'id,text,image,price,"q""uote",big\nx,"a, b",,007,1,\n,,p.png,2.50,,99999999999999999999\n'
    one, two = documents(tiny_encoder, written(tmp_path / "t.csv", table))
    assert (one.id, one.item) == ("x", "a, b")
    assert one.metadata == {"kind": "row", "row": 1, "price": "007", "path": "t.csv", "hash": one.hash}
    assert (two.id, two.item) == ("t.csv#row=2", tmp_path / "p.png")
    assert two.hash == picture_hash(digest(tmp_path / "p.png"))
    assert two.metadata["big"] == "9" * 20
    assert two.metadata["price"] == 2.5


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators(tmp_path, tiny_encoder, separator):
    made = documents(tiny_encoder, written(tmp_path / "t.tsv", f"text{separator}n\nred{separator}1\n"))
    assert [(d.item, d.metadata["n"]) for d in made] == [("red", 1)]


def test_rows_of_json(tmp_path, tiny_encoder):
    draw(tmp_path / "p.png", 1)
    lines = '{"t": "red", "image": "p.png", "path": "mine", "kind": "toy", "tags": ["a", 1], "none": null}\n\n'
    (made,) = documents(tiny_encoder, written(tmp_path / "t.jsonl", "\ufeff" + lines), columns=Columns.of("text=t"))
    assert made.item == Pair("red", tmp_path / "p.png")
    told = {"kind": "toy", "row": 1, "tags": ["a", 1], "path": "t.jsonl", "hash": made.hash}
    assert made.metadata == told
    assert made.hash == picture_hash(digest(tmp_path / "p.png"), "red")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"text\nred\n\xff\n", "isn't UTF-8. Save the file as UTF-8."),
        (b'text\n"red\n', "can't be read on as CSV (unexpected end of data). Save it as JSON lines (.jsonl)."),
        (b"", "has no column 'text'; it has . Say which hold the text and the picture"),
    ],
)
def test_tables_that_cannot_be_read_on(tmp_path, tiny_encoder, content, reason):
    with pytest.raises(InputError) as caught:
        documents(tiny_encoder, written(tmp_path / "t.csv", content))
    assert reason in str(caught.value)


@pytest.mark.parametrize("written_", ["text", "text=", "words=a", "=a"])
def test_columns_that_cannot_be_meant(written_):
    with pytest.raises(InputError, match="write ROLE=COLUMN, the role being one of text, image, id"):
        Columns.of(written_)


def test_pictures_are_read_again_only_when_they_changed(tmp_path, monkeypatch):
    path = draw(tmp_path / "p.png", 1)
    first = Pictures()
    assert first.sha256(path) == digest(path)
    second = Pictures.of(first.used.values())
    with monkeypatch.context() as patch:
        patch.setattr("onespace.index.pictures.read_bytes", None)
        assert second.sha256(path) == digest(path)
    draw(path, 2, side=13)
    assert not next(iter(second.used.values())).unchanged
    assert Pictures.of(second.used.values()).sha256(path) == digest(path)


@pytest.mark.parametrize(("name", "size", "count"), [("a.png", 9000, 1), ("a.txt", 3500, 3), ("a.pdf", 10, 1)])
def test_what_a_file_gives_is_foretold(tmp_path, name, size, count):
    assert expected(file(written(tmp_path / name, b"\n" * size))) == count
    assert expected(file(written(tmp_path / "a.jsonl", b"{}\n" * 7))) == 7
