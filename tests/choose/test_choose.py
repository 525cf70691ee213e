"""The seed question on 300 drawings with names: which model fits?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from onespace.choose import Candidate, Choice, Limits, Weak, candidates, choose, installed, weak_queries
from onespace.choose.candidates import distinct
from onespace.choose.memory import peak_bytes
from onespace.choose.run import _measure
from onespace.encoder import Encoder
from onespace.errors import InputError
from onespace.families import SHIPPED, mini

DRAWINGS, GOLDEN = (Path(__file__).parents[1] / name for name in ("data/drawings", "golden"))
PICTURES = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 drawings in a style that the shipped model never saw, as files with names such as a person would give."""
    folder = tmp_path_factory.mktemp("pictures")
    names = json.loads((DRAWINGS / "names.json").read_text("utf-8"))
    for code, spelled in list(names.items())[:PICTURES]:
        shutil.copy(DRAWINGS / f"{code}.png", folder / f"{spelled['en'].replace(' ', '_').replace('/', '-')}.png")
    return folder


@pytest.fixture(scope="module")
def tiny(tiny_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """A model that was never trained."""
    return Candidate("tiny", str(mini.save(tiny_encoder, tmp_path_factory.mktemp("models") / "tiny")))


@pytest.fixture(scope="module")
def choice(folder: Path, tiny: Candidate) -> Choice:
    copy = Candidate("a copy", str(SHIPPED))
    gone = Candidate("gone", str(folder / "gone"))
    return choose(weak_queries([folder]), [tiny, Candidate("onespace-mini"), copy, gone])


def test_the_shipped_model_is_far_above_an_untrained_one(choice: Choice) -> None:
    assert choice.documents == PICTURES
    assert choice.queries > 0.9 * PICTURES
    options = {option.label: option for option in choice.options}
    best, tiny = options["onespace-mini"], options["tiny"]
    assert choice.best is not None
    assert choice.best.label in ("onespace-mini", "a copy")
    assert choice.options[-1] is tiny
    assert not tiny.close
    assert tiny.behind.low > 0.2  # a significant gap, query by query
    assert best.quality.low > tiny.quality.high


def test_two_copies_of_one_model_are_too_close_to_call(choice: Choice) -> None:
    first, second = choice.options[:2]
    assert {first.label, second.label} == {"onespace-mini", "a copy"}
    assert (second.close, second.behind.mean, second.behind.high) == (True, 0, 0)
    assert choice.rivals == (second,)
    assert f"Too close to call between it and {second.label} on {choice.queries} queries" in choice.verdict


def test_what_it_costs_is_measured(choice: Choice) -> None:
    options = {option.label: option for option in choice.options}
    best, tiny = options["onespace-mini"], options["tiny"]
    assert best.bytes_per_item == 4 * 256
    assert tiny.items_per_s > best.items_per_s > 0
    assert best.peak_bytes is None or best.peak_bytes > 50e6
    assert best.query_ms > 0
    assert (best.licence, best.device) == ("Apache-2.0", "cpu")
    assert set(best.measures) >= {"ndcg@10", "recall@1", "recall@10", "mrr@10", "map"}
    assert {option.label for option in choice.front} >= {"tiny"}


def test_what_cant_be_loaded_is_told(choice: Choice) -> None:
    ((label, why),) = choice.failures
    assert label == "gone"
    assert "can't be" in why or "no name that onespace knows" in why


def test_plain_values(choice: Choice) -> None:
    plain = json.loads(json.dumps(choice.to_dict()))
    assert plain["best"]["by"] == "dense"
    assert len(plain["too_close_to_call"]) == 1
    assert plain["options"][0]["limits_broken"] == []
    assert plain["options"][-1]["behind"]["low"] > 0.2
    assert plain["failures"][0]["label"] == "gone"


@pytest.fixture(scope="module")
def few(folder: Path) -> Weak:
    """A dozen pictures are enough for everything but quality."""
    (task,) = weak_queries([folder]).tasks
    return Weak((task.only(sorted({d for some in task.answers[:12] for d in some}), range(12)),), ())


def test_all_heads_tasks_that_share_their_pictures_and_limits_that_nothing_keeps(few: Weak, tiny: Candidate) -> None:
    told: list[str] = []
    again = replace(few.tasks[0], name="again", queries=[f"{q}!" for q in few.tasks[0].queries])
    both = Weak((*few.tasks, again), ())
    found = choose(both, [tiny], heads=None, limits=Limits(speed=1e9), told=told.append)
    options = {option.way: option for option in found.options}
    assert set(options) == {"dense", "sparse", "multi", "blend"}
    parts = [options[way].bytes_per_item for way in ("dense", "sparse", "multi")]  # type: ignore[index]
    assert options["blend"].bytes_per_item == pytest.approx(sum(parts))
    assert found.documents == len(few.tasks[0].documents)
    assert len(found.options[0].by_task) == 2
    assert told == ["1/1: tiny ..."]
    assert found.best is None
    assert found.verdict == "No candidate keeps the limits."


def test_limits(choice: Choice) -> None:
    tiny = choice.options[-1]
    assert Limits(memory=10).broken_by(tiny) == (() if tiny.peak_bytes is None else ("memory",))
    assert Limits(bytes_per_item=100, speed=1e9).broken_by(tiny) == ("speed", "bytes an item")
    assert Limits(memory=10**12, bytes_per_item=128, speed=0.001).broken_by(tiny) == ()
    small = replace(choice, best=tiny, limits=Limits(bytes_per_item=200))
    assert small.rivals == ()
    assert small.verdict.endswith("There is no other to compare it with.")
    clear = replace(choice, options=choice.options[::2])
    assert f"The next, tiny, is {tiny.behind} behind: more than chance explains." in clear.verdict


def test_a_model_of_texts_is_left_out_where_there_are_pictures(few: Weak) -> None:
    found = choose(few, [Candidate("texts", str(GOLDEN / "bge-m3-tiny" / "model" / "bge-m3"))])
    assert found.failures[0][0] == "texts"
    assert "takes text with dense; here are items of kind image, text" in found.failures[0][1]
    assert found.verdict == "No candidate could be measured."


def test_broken_pictures_are_left_out_and_named(few: Weak, tiny: Candidate, tmp_path: Path) -> None:
    task = few.tasks[0]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    documents = [tmp_path / "broken.png", *task.documents[1:]]
    names = ([str(path) for path in documents], task.names[1])
    found = choose(Weak((replace(task, documents=documents, names=names),), ()), [tiny])
    assert found.queries == len(task.queries) - sum(0 in answers for answers in task.answers)
    assert "broken.png was left out: isn't a picture" in found.notes[0]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize(
    ("program", "said"),
    [("echo first; echo boom >&2; exit 3", "its process failed: boom"), ("exit 1", "failed: it said nothing"),
     ("kill -9 $$", "ended by SIGKILL (the system ran out of memory, most likely)")],
)  # fmt: skip
def test_a_process_that_dies_is_told_by_its_end(
    program: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert said in _measure(Candidate("x"), [], ["dense"], tmp_path)["error"]


def test_no_head_is_refused(few: Weak) -> None:
    with pytest.raises(InputError, match="no head"):
        choose(few, heads=())


def test_candidates() -> None:
    assert Candidate.parse("mini") == Candidate("onespace-mini")
    assert Candidate.parse(" BAAI/bge-m3 ").source == "BAAI/bge-m3"
    for text in ("", ",w", "a,", "a,b,c"):
        with pytest.raises(InputError, match="isn't a model"):
            Candidate.parse(text)
    twice = distinct([Candidate("a", "x"), Candidate("a", "y")])
    assert [(c.label, c.source) for c in twice] == [("a", "x"), ("a (2)", "y")]


def test_installed_models_are_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert [c.label for c in installed()] == ["onespace-mini"]
    snapshot = tmp_path / "models--BAAI--bge-small-en-v1.5" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    assert len(installed()) == 1  # no weights yet
    (snapshot / "model.safetensors").touch()
    assert installed()[1:] == [Candidate("BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5")]
    monkeypatch.setattr(candidates, "find_spec", lambda _: None)
    assert len(installed()) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the kernel's mark")
def test_the_memory_of_a_child_is_its_own() -> None:
    """A process that was started by a large one says what it took itself."""
    ballast = bytearray(400_000_000)
    program = "from onespace.choose.memory import peak_bytes; print(peak_bytes())"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert len(ballast) < (peak_bytes() or 0)
    assert 1e6 < int(done.stdout) < 200e6
