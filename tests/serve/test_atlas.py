from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from onespace.encoder import Encoder
from onespace.errors import InputError, MissingExtra
from onespace.serve import atlas
from onespace.serve.atlas import Atlas, dense_of, flat
from onespace.store import Store, StoreOptions

TEXTS = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("house", "sea", "dragon", "lake")]


@pytest.fixture
def store(tiny_encoder: Encoder, tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", tiny_encoder, options=StoreOptions(build=False)) as opened:
        opened.add(TEXTS, ids=list(range(len(TEXTS))))
        yield opened


def test_pca_keeps_the_two_widest_directions() -> None:
    random = np.random.default_rng(0)
    plane = random.normal(size=(40, 2)) * [9, 3]
    turn, _ = np.linalg.qr(random.normal(size=(8, 8)))
    vectors = np.hstack([plane, np.zeros((40, 6))]) @ turn + 5
    centred = plane - plane.mean(0)
    kept = flat(vectors.astype(np.float32))
    distances = np.linalg.norm(centred[:, None] - centred[None], axis=-1) / np.abs(kept - kept.mean(0)).max()
    shrunk = np.linalg.norm(kept[:, None] - kept[None], axis=-1)
    assert np.allclose(shrunk / shrunk.max(), distances / distances.max(), atol=1e-4)
    assert np.abs(kept).max() == pytest.approx(1)
    assert np.allclose(kept.mean(0), 0, atol=1e-6)


def test_the_map_is_the_same_each_time_and_mirrored_one_way() -> None:
    vectors = np.random.default_rng(1).normal(size=(12, 5)).astype(np.float32)
    assert np.allclose(flat(vectors), flat(vectors.astype(np.float64)), atol=1e-5)
    assert np.allclose(flat(vectors[::-1])[::-1], flat(vectors), atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_items_have_a_place_too(n: int) -> None:
    places = flat(np.eye(3, dtype=np.float32)[:n])
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()


def test_a_map_is_drawn_again_only_when_the_store_has_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Atlas(store)
    first = drawn.draw()
    assert [item.id for item in first.items] == list(range(len(TEXTS)))
    assert first.places.shape == (len(TEXTS), 2)
    assert drawn.draw() is first
    store.add("a mountain", ids=[3])  # as many as before, but another
    second = drawn.draw()
    assert second is not first
    assert second.total == first.total
    assert not np.allclose(first.places, second.places)


def test_of_a_large_store_every_nth_item_is_shown(store: Store) -> None:
    seen = Atlas(store, most=5).draw()
    assert [item.id for item in seen.items] == [0, 3, 6, 9]
    assert seen.total == len(TEXTS)


def test_an_item_in_parts_lies_at_their_mean(tiny_encoder: Encoder, tmp_path: Path) -> None:
    options = StoreOptions(build=False, on_loss="chunk")
    with Store.open(tmp_path / "store", tiny_encoder, options=options) as store:
        store.add("the red dragon flies over the snow mountain. " * 6, ids=["long"])
        e = store.vectors(["long"])
        assert len(e) > 1
        assert e.dense is not None
        assert np.allclose(dense_of(store, ["long"])[0], e.dense.mean(0))


def test_a_method_that_isnt_known_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match=r"'tsne'.*pca, umap"):
        Atlas(store).draw("tsne")  # type: ignore[arg-type]


def test_umap_says_how_to_install_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"umap-learn.*onespace\[map\]"):
        Atlas(store).draw("umap")


def test_umap_is_given_what_it_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """UMAP compiles for half a minute, so that its own work is tried elsewhere."""
    told: dict[str, object] = {}

    class Umap:
        def __init__(self, **options: object) -> None:
            told.update(options)

        def fit_transform(self, vectors: np.ndarray) -> np.ndarray:
            return np.stack([np.arange(len(vectors)), -np.arange(len(vectors))], 1)

    monkeypatch.setitem(__import__("sys").modules, "umap", type("umap", (), {"UMAP": Umap}))
    vectors = np.random.default_rng(2).normal(size=(9, 4)).astype(np.float32)
    places = flat(vectors, method="umap")
    assert told["n_neighbors"] == 8
    assert places[0].tolist() == [-1, 1]
    assert flat(vectors[:3], method="umap").tolist() == flat(vectors[:3]).tolist()


def test_pictures_are_on_the_map(tiny_encoder: Encoder, tmp_path: Path, pictures: list[PILImage.Image]) -> None:
    with Store.open(tmp_path / "store", tiny_encoder, options=StoreOptions(build=False)) as store:
        store.add([*pictures, "a whale"])
        seen = Atlas(store).draw()
    assert [item.reference.modality for item in seen.items] == ["image"] * 4 + ["text"]
    assert atlas.MOST >= 5
