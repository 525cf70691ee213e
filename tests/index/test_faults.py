"""What is there after an indexer was killed, interrupted, or had no room, no leave or a damaged store."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from index_cases import IDS, assert_same, contents, draw, index, write_pdf

from onespace.encoder import Encoder
from onespace.errors import LockedError, StoreError
from onespace.families import mini
from onespace.store import Store

NURSERY = Path(__file__).parent / "nursery.py"
PATHS = os.pathsep.join([*map(str, list(NURSERY.parents)[:2]), os.environ.get("PYTHONPATH", "")])
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PATHS}
NAMES = {f"data/{id}" if "/" in id or "#" in id else id for id in IDS}
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no kill -9 here")


class Nursery:
    """See ``nursery.py``."""

    def __init__(self, process: subprocess.Popen[str], model: Path) -> None:
        self.process = process
        self.model = model

    def start(self, *argv: str, moment: int = 0) -> int:
        """Starts an indexer, which may end at a moment of its own; its process number."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([str(Path.cwd()), [*argv, "--model", str(self.model)], moment]) + "\n")
        self.process.stdin.flush()
        return int(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def rest(self, before: Sequence[str] = ()) -> tuple[set[str], int | None]:
        """Waits until an indexer ended: the ids it acknowledged, and its exit code if it wasn't killed.

        ``before`` are lines that were read already.
        """
        lines = list(before)
        while "ended" not in lines:
            lines.append(self.line())
        acknowledged = {id for line in lines if line.startswith("+ ") for id in json.loads(line[2:])}
        return acknowledged, next((int(line[2:]) for line in lines if line.startswith("= ")), None)


@pytest.fixture(scope="module")
def nursery(tiny_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    model = mini.save(tiny_encoder, tmp_path_factory.mktemp("model") / "tiny")
    command = [sys.executable, str(NURSERY), "4"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        yield Nursery(process, model)


def meddle(random_: random.Random, number: int) -> None:
    """Changes something in the folder, as people do meanwhile."""
    draw(Path(f"data/pics/{random_.randrange(6)}.png"), 100 + number)
    draw(Path(f"data/more/{number}.png"), 200 + number)
    victim = Path(f"data/more/{random_.randrange(20)}.png")
    victim.unlink(missing_ok=True)
    rows = [json.dumps({"text": f"whale {random_.randrange(9)}"}) for _ in range(random_.randrange(8))]
    Path("data/things.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    write_pdf(Path("data/notes/two.pdf"), ["the red house"] * random_.randrange(1, 4))


@posix
def test_an_indexer_that_is_killed_20_times_loses_and_doubles_nothing(data, nursery, tiny_encoder):
    random_ = random.Random(0)
    for i in range(40):
        draw(Path(f"data/many/{i}.png"), 300 + i)
    killed = 0
    for number in range(60):
        pid, lines = nursery.start("data", moment=random_.randrange(2, 60) if number % 2 else 0), []
        while not number % 2 and len(lines) < random_.randrange(5) and "ended" not in lines:
            lines.append(nursery.line())  # a batch that was acknowledged, or the end
        if not number % 2:
            time.sleep(random_.uniform(0, 0.1 if lines else 0.5))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        acknowledged, code = nursery.rest(lines)
        assert acknowledged <= (contents(tiny_encoder).keys() if acknowledged else set())
        killed += code is None
        if killed == 20:
            break
        if code is not None or killed > 6:
            meddle(random_, number)
    assert killed == 20
    nursery.start("data")
    assert nursery.rest()[1] == 0
    found = contents(tiny_encoder)
    index(tiny_encoder, store="clean.db")
    assert_same(found, contents(tiny_encoder, "clean.db"))
    with Store.open("pictures.db", tiny_encoder) as store:
        assert store._keeper is not None
        assert store._keeper.engine.count() == len(found)
    nursery.start("data")
    assert nursery.rest() == (set(), 0)


@posix
def test_an_interrupted_indexer_finishes_its_batch_and_says_how_to_go_on(data, nursery, tiny_encoder):
    for i in range(200):
        draw(Path(f"data/many/{i}.png"), 300 + i)
    for interruption in (signal.SIGINT, signal.SIGTERM):
        pid = nursery.start("data")
        line = nursery.line()
        os.kill(pid, interruption)
        assert nursery.rest([line])[1] == 130
    told = Path("stderr.txt").read_text()
    assert told.count("stopping after the batch under way; Ctrl-C again stops at once") == 2
    assert told.count("stopped; the same command goes on from here.") == 2
    before = len(contents(tiny_encoder))
    assert before < len(NAMES) + 200
    report = index(tiny_encoder)
    assert (report.added, report.unchanged) == (len(NAMES) + 200 - before, before)


@posix
def test_a_second_indexer_is_told_who_has_the_store(data, nursery, tiny_encoder):
    for i in range(100):
        draw(Path(f"data/many/{i}.png"), 300 + i)
    pid = nursery.start("data")
    line = nursery.line()
    with pytest.raises(LockedError, match=f"is open in process {pid} on .*Close it there first"):
        index(tiny_encoder)
    assert nursery.rest([line])[1] == 0
    assert index(tiny_encoder).added == 0


SMALL = """
import os
import shutil
import sys
from pathlib import Path
from index_cases import assert_same, contents, draw, index
from tiny_model import tiny_fused, tiny_spec
from onespace.errors import StoreError
from onespace.index import indexer

indexer.BATCH = 4
room, model = Path(sys.argv[1]), tiny_fused(tiny_spec())
for i in range(40):
    draw(Path(f"data/many/{i}.png"), i, side=100)
index(model, "data/pics", store=room / "pictures.db")
before = contents(model, room / "pictures.db")
for left in (60_000_000, 64_100_000):  # below what an engine needs, and so that this is met on the way
    filler = room / "filler"
    with filler.open("wb") as file:
        free = shutil.disk_usage(room).free
        file.write(bytes(max(0, free - left)))
    try:
        index(model, store=room / "pictures.db")
    except StoreError as error:
        print(error)
    filler.unlink()
    now = contents(model, room / "pictures.db")
    assert (len(now) > len(before)) == (left > 64_000_000)
    assert_same({id: now[id] for id in before}, before)
index(model, store=room / "pictures.db")
index(model, store="clean.db")
assert_same(contents(model, room / "pictures.db"), contents(model, "clean.db"))
os.system(f"mount -o remount,ro {room}")
try:
    index(model, store=room / "pictures.db")
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a small disk of its own")
def test_a_full_disk_and_a_read_only_one_are_told_of_and_recovered_from(data):
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    Path("room").mkdir()
    command = 'mount -t tmpfs -o size=160m tmpfs room && exec "$0" -W error -c "$1" room'
    done = subprocess.run(
        [*mount, command, sys.executable, SMALL],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    if done.returncode and "mount" in done.stderr + done.stdout:
        pytest.skip(f"no small disk can be made: {done.stderr}")
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert "MB left" in first
    assert "Make room, and call again." in first
    assert "Make room" in second
    assert last.startswith("room/pictures.db can't be written (Read-only file system). Change its permissions, or")


@pytest.mark.parametrize("left", [0.3, 0.8])
def test_a_log_cut_short_is_an_error_and_an_engine_cut_short_is_built_anew(data, tiny_encoder, left):
    index(tiny_encoder)
    before = contents(tiny_encoder)
    for path in Path("pictures.db").glob("engine-*/**/*.json"):
        os.truncate(path, int(path.stat().st_size * left))
    draw(Path("data/pics/new.png"), 99)
    assert index(tiny_encoder).added == 1
    now = contents(tiny_encoder)
    assert_same({id: now[id] for id in before}, before)
    log = Path("pictures.db/log.sqlite")
    os.truncate(log, int(log.stat().st_size * left))
    draw(Path("data/pics/newer.png"), 98)
    with pytest.raises(StoreError, match=r"damaged or cut short.*or index the items anew"):
        index(tiny_encoder)
