"""Two processes on one machine learn what one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import train_toys

from onespace.errors import InputError
from onespace.families import mini
from onespace.train.loop import read_log
from onespace.train.options import Options
from onespace.train.ranks import Ranks
from onespace.train.run import fit

OPTIONS = Options(steps=4, batch=8, rate=1e-3, distil="self", symmetric=True, dims=(8,), log_every=1, negatives=1)
PROGRAM = """
import sys
from pathlib import Path
import torch
from onespace.families import mini
from onespace.train.run import fit
from test_ranks import OPTIONS
torch.set_num_threads(1)
fit(mini.tiny(), sys.argv[2:], Path(sys.argv[1]), options=OPTIONS)
"""


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Alternating batches of texts of many lengths, and of pictures on both sides, under all three heads."""
    texts, flags = train_toys.texts(tmp_path / "texts"), train_toys.pictures(tmp_path / "flags", 1)
    pictures = flags.with_name("pictures.jsonl")
    pictures.write_text(
        flags.read_text("utf-8").replace('"pos": ', '"pos_image": "red-over-blue-0.png", "id": '), "utf-8"
    )
    data = [str(texts), str(flags), str(pictures)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    here = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "PYTHONPATH": here}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "two"), *data],
            env=shared | {"RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]
    one = fit(mini.tiny(), data, tmp_path / "one", options=OPTIONS)
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()
    losses = [[row["loss"] for row in read_log(tmp_path / name)] for name in ("one", "two")]
    assert len(losses[0]) == 4
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert [row["hit"] for row in read_log(tmp_path / "two")] == [row["hit"] for row in read_log(one.folder)]
    weights = [torch.load(tmp_path / name / "state.pt", weights_only=True)["module"] for name in ("one", "two")]
    assert max(float((weights[0][k] - weights[1][k]).abs().max()) for k in weights[0]) < 2e-4


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(InputError, match="batch=9 can't be shared by 2 processes"):
        Ranks(rank=0, world=2).share(9)
