"""Batches that are encoded elsewhere: with actors in this process, so that every turn of events can be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image as PILImage
from tiny_model import tiny_fused, tiny_spec

from onespace.encoder import Encoder
from onespace.errors import MissingExtra, ModelError, StoreError
from onespace.index.actors import DEATHS, Actor, Actors, Deal, Result, Task, spread
from onespace.index.documents import Document
from onespace.index.encoding import Encoded, encode
from onespace.store.passport import Passport
from onespace.types import Pair

Told = list[tuple[list[str], Encoded]]


def documents(*texts: str) -> list[Document]:
    return [Document(text, text, {}) for text in texts]


def actor(model: Encoder, *, starts: int = 1) -> Actor:
    passport = Passport.of(model, model.spec.head_names, "float16")
    return Actor(Actors(lambda: model), passport, threads=1, starts=lambda _: starts)


def told(batches: list[list[Document]], deal: Deal) -> Told:
    return [([document.id for document in batch], encoded) for batch, encoded in spread(batches, deal)]


def test_every_batch_comes_back_once_with_what_encoding_it_here_gives(tiny_encoder: Encoder) -> None:
    worker = actor(tiny_encoder)
    batches = [documents(f"whale {i}", f"sea {i}") for i in range(150)]
    rounds: list[int] = []

    def deal(tasks: list[Task]) -> Iterator[Result]:
        rounds.append(len(tasks))
        yield from (worker.run(task) for task in reversed(tasks))

    found = told(batches, deal)
    assert sorted(ids for ids, _ in found) == sorted([d.id for d in batch] for batch in batches)
    assert rounds == [32, 64, 54]  # ever more, for actors are made anew for each round
    here = encode(tiny_encoder, batches[3])
    (there,) = (encoded for ids, encoded in found if ids == ["whale 3", "sea 3"])
    assert there.kept == here.kept
    assert there.references == here.references
    assert (there.embeddings.dense == here.embeddings.dense).all()  # type: ignore[union-attr]


def test_a_batch_of_which_actors_die_is_taken_apart(tiny_encoder: Encoder) -> None:
    worker = actor(tiny_encoder)

    def deal(tasks: list[Task]) -> Iterator[Result]:
        for task in tasks:
            deadly = any(document.id == "deadly" for document in task.documents)
            yield Result(task.number) if deadly else worker.run(task)

    found = told([documents("sea", "deadly", "whale"), documents("house")], deal)
    assert [ids for ids, _ in found] == [["house"], ["sea"], ["deadly"], ["whale"]]
    assert [encoded.kept for _, encoded in found] == [(0,), (0,), (), (0,)]
    assert f"ended {DEATHS} workers" in found[2][1].broken[0][1]


def test_an_actor_gives_up_a_task_of_which_others_died(tiny_encoder: Encoder) -> None:
    task = Task(0, documents("sea"))
    assert actor(tiny_encoder, starts=DEATHS).run(task).encoded is not None
    assert actor(tiny_encoder, starts=DEATHS + 1).run(task).encoded is None


def test_files_that_an_actor_does_not_see_are_sent(tiny_encoder: Encoder, tmp_path: Path) -> None:
    path, lost = tmp_path / "a.png", tmp_path / "lost.png"
    PILImage.new("RGB", (20, 20), "red").save(path)
    batch = [
        Document("a", path, {}),
        Document("text", "a whale", {}),
        Document("pair", Pair("a whale", path), {}),
        Document("lost", lost, {}),
    ]
    here = encode(tiny_encoder, batch)
    worker = actor(tiny_encoder)
    away = tmp_path / "away"

    def deal(tasks: list[Task]) -> Iterator[Result]:
        path.rename(away)  # out of sight while the actor is at work
        results = [worker.run(task) for task in tasks]
        away.rename(path)
        yield from results

    found = told([batch, documents("house")], deal)
    assert [(ids, encoded.kept, [place for place, _ in encoded.broken]) for ids, encoded in found] == [
        (["a", "text", "pair", "lost"], (1,), []),
        (["house"], (0,), []),
        (["a", "pair", "lost"], (0, 1), [2]),
    ]
    assert "doesn't exist" in found[2][1].broken[0][1]
    assert found[2][1].references == (here.references[0], here.references[2])
    assert found[2][1].references[0].pictures[0].path == str(path)


def test_an_actor_with_another_model_is_refused(tiny_encoder: Encoder) -> None:
    other = tiny_fused(tiny_spec(name="other"))
    passport = Passport.of(tiny_encoder, tiny_encoder.spec.head_names, "float16")
    worker = Actor(Actors(lambda: other), passport, threads=1, starts=lambda _: 1)
    with pytest.raises(StoreError, match=r"the worker on .* has another model than the store: the model is 'other'"):
        told([documents("sea")], lambda tasks: [worker.run(task) for task in tasks])


def test_an_actor_that_finds_no_model_is_refused(tiny_encoder: Encoder) -> None:
    def load() -> Encoder:
        raise ModelError("nothing is there.")

    passport = Passport.of(tiny_encoder, tiny_encoder.spec.head_names, "float16")
    worker = Actor(Actors(load), passport, threads=1, starts=lambda _: 1)
    with pytest.raises(StoreError, match=r"can't load the model: nothing is there"):
        told([documents("sea")], lambda tasks: [worker.run(task) for task in tasks])


def test_a_package_that_an_actor_lacks_is_told(tiny_encoder: Encoder) -> None:
    def lacking() -> str:
        raise MissingExtra("reading PDF", "pypdfium2", "pdf")

    worker = actor(tiny_encoder)
    with pytest.raises(StoreError, match=r"the worker on .*: reading PDF needs pypdfium2"):
        told([[Document("page", lacking, {})]], lambda tasks: [worker.run(task) for task in tasks])


def test_what_is_lost_on_the_way_is_an_error(tiny_encoder: Encoder) -> None:
    worker = actor(tiny_encoder)
    with pytest.raises(StoreError, match="Ray lost 1 batches"):
        told([documents("sea"), documents("whale")], lambda tasks: [worker.run(tasks[0])])


def test_what_comes_twice_counts_once(tiny_encoder: Encoder) -> None:
    worker = actor(tiny_encoder)
    found = told([documents("sea")], lambda tasks: [worker.run(tasks[0]), worker.run(tasks[0])])
    assert len(found) == 1
