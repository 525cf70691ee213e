"""Ray itself, on this machine: workers that are killed, and the whole way into a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ray_items import Loader, deadly

import onespace
from onespace.cli.main import main
from onespace.encoder import Encoder
from onespace.errors import InputError, StoreError
from onespace.index import Indexer
from onespace.index.actors import DEATHS, Actors
from onespace.index.cluster import connected, encode_on_ray
from onespace.index.documents import Document
from onespace.store import Store


@pytest.fixture(scope="module")
def model() -> Encoder:
    return onespace.load()


@pytest.fixture(scope="module")
def _ray() -> Iterator[None]:
    """One Ray for all these tests, whose workers find their module."""
    pytest.importorskip("ray.data", reason="ray isn't installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        with connected(None):
            yield


def test_a_cluster_that_is_not_there_is_told(model: Encoder) -> None:
    pytest.importorskip("ray.data", reason="ray isn't installed")
    batches = [[Document("a", "a whale", {})]]
    with pytest.raises(StoreError, match=r"Ray at '127\.0\.0\.1:1' can't be reached"):
        next(encode_on_ray(batches, model, Actors(onespace.load, address="127.0.0.1:1")))
    with pytest.raises(InputError, match="doesn't run through ray://"):
        next(encode_on_ray(batches, model, Actors(onespace.load, address="ray://127.0.0.1:10001")))


@pytest.mark.usefixtures("_ray")
def test_a_document_that_kills_its_worker_costs_itself_alone(model: Encoder, tmp_path: Path) -> None:
    batches = [[Document(f"{i}", f"whale {i}", {}) for i in range(start, start + 4)] for start in range(0, 40, 4)]
    batches.insert(1, [Document("deadly", deadly, {})])
    found: list[str] = []
    broken: list[str] = []
    for batch, encoded in encode_on_ray(batches, model, Actors(Loader(tmp_path), workers=1)):
        found += [batch[place].id for place in encoded.kept]
        broken += [batch[place].id for place, _ in encoded.broken]
    assert sorted(found, key=int) == [str(i) for i in range(40)]
    assert broken == ["deadly"]
    assert len(list(tmp_path.iterdir())) > DEATHS  # each was killed, and another one took over


@pytest.mark.usefixtures("_ray")
def test_indexing_on_ray_gives_the_same_store_and_goes_on_where_it_was(model: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(8):
        (folder / f"{i}.txt").write_text(f"whale number {i}")
    actors = Actors(Loader(tmp_path), workers=1)
    with Store.open(tmp_path / "here", model) as here, Indexer(here) as indexer:
        indexer.run([folder])
        wanted = {found.id: here.vectors([found.id]).dense for found in here.iterate()}
    with Store.open(tmp_path / "there", model) as there, Indexer(there) as indexer:
        assert indexer.run([folder / "3.txt", folder / "5.txt"]).added == 2
        assert indexer.run([folder], actors=actors).added == 6
        assert indexer.run([folder], actors=actors).unchanged == 8
        assert {found.id for found in there.iterate()} == set(wanted)
        for id, dense in wanted.items():
            np.testing.assert_allclose(there.vectors([id]).dense, dense, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "2"], "goes with --ray"),
        (["--ray", "--workers", "0"], "at least 1"),
        (["--ray", "--watch"], "Leave one of them out"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("a whale")
    assert main(["index", str(tmp_path), "--store", str(tmp_path / "s.db"), *options]) == 2
    assert said in capsys.readouterr().err
