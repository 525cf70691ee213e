"""What of a hit is shown."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image as PILImage

from onespace.encoder import Encoder
from onespace.results.view import caption, explained, facts, name, place, show, to_dict, where
from onespace.store import Found, Picture, Reference, SearchOptions, Store, StoreOptions
from onespace.store.references import draw_small
from onespace.types import Pair


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    """Red on the left and white on the right."""
    picture = PILImage.new("RGB", (60, 40), "white")
    picture.paste((255, 0, 0), (0, 0, 30, 40))
    picture.save(tmp_path / "red.png")
    return tmp_path / "red.png"


def hit(path: Path, *, id: str = "red", digest: str | None = None, **more: object) -> Found:
    content = digest or sha256(path.read_bytes()).hexdigest()
    small = draw_small(PILImage.new("RGB", (60, 40), "blue"))
    reference = Reference("image", "", (Picture(str(path), content),), small)
    return Found(id, 0.5, {}, reference, **more)  # type: ignore[arg-type]


def test_the_file_is_shown_while_it_is_what_was_indexed(drawing):
    shown = show(hit(drawing, box=(0.0, 0.0, 30.0, 40.0)), None)
    assert shown is not None
    assert shown.picture.size == (60, 40)
    assert shown.picture.getpixel((5, 5)) == (255, 0, 0)
    assert shown.box == (0.0, 0.0, 30.0, 40.0)


def test_the_kept_picture_stands_in_for_a_file_that_changed_or_went(drawing, tmp_path):
    for found in (
        hit(drawing, digest="0" * 64, box=(0.0, 0.0, 9.0, 9.0)),
        hit(tmp_path / "gone.png", digest="0" * 64, box=(0.0, 0.0, 9.0, 9.0)),
    ):
        shown = show(found, None)
        assert shown is not None
        assert shown.picture.getpixel((5, 5))[2] > 200
        assert shown.box is None  # it is known in pixels of the file alone


def test_an_address_is_never_fetched():
    reference = Reference("image", "", (Picture("https://localhost/red.png", "0"),))
    assert show(Found("a", 0.5, {}, reference), None) is None


def test_transparent_pictures_lie_on_white(tmp_path):
    PILImage.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    shown = show(hit(tmp_path / "clear.png"), None)
    assert shown is not None
    assert shown.picture.getpixel((0, 0)) == (255, 255, 255)


def test_names_captions_and_facts():
    words = Reference("text", "a blue\n whale " * 50)
    assert name(Found(words.content, 0.5, {}, words)) == caption(Found(words.content, 0.5, {}, words))
    assert caption(Found("a", 0.5, {}, words)).startswith("a blue whale a blue")
    assert len(caption(Found("a", 0.5, {}, words), most=20)) <= 21
    assert caption(Found("a", 0.5, {}, words, span=(2, 6))) == "blue"
    known = {"hash": "0123456789abcdef" * 2, "page": 3, "fine": True, "id": "a"}
    assert facts(Found("a", 0.5, known, words)) == ["page=3", "fine=True"]
    assert facts(Found("a.md#passage=1", 0.5, {"path": "a.md", "passage": 1}, words)) == ["passage=1"]


def test_hits_of_a_store_are_explained_in_words(tmp_path, tiny_encoder: Encoder, pictures):
    picture = tmp_path / "noise.png"
    pictures[0].save(picture)
    with Store.open(tmp_path / "s.db", tiny_encoder, options=StoreOptions(build=False)) as store:
        store.add(["a whale swims", picture, Pair("the red house", picture)], ids=["text", "image", "pair"])
        query = "red whale"
        hits = explained(store.search(query, explain=True), tiny_encoder, query)
        plain = explained(store.search(query, options=SearchOptions(fusion="rrf")), tiny_encoder, query)
    by_id = {found.id: found for found in hits}
    for found in hits:
        assert found.why is not None
        assert "whale" in {part.text for part in found.why.parts}
        assert sum(found.parts.values()) == pytest.approx(found.score, abs=1e-5)
    assert by_id["text"].why is not None
    assert {part.found for part in by_id["text"].why.parts} & {"a", "whale", "swims", "[end]"}
    assert place(by_id["text"]) is None
    assert place(by_id["image"]) == (0, by_id["image"].why.field.best)  # type: ignore[union-attr]
    assert where(by_id["image"]).startswith("left ")
    assert where(by_id["text"]).startswith("characters 0 to 13") or not where(by_id["text"])
    told = to_dict(by_id["pair"])
    assert (told["path"], told["caption"], told["modality"]) == (str(picture), "the red house", "pair")
    assert told["box"] is not None
    assert [found.why for found in plain] == [None] * 3
