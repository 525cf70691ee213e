"""The command as it is used: load, signals, workers, and what it says when it can't start."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.load import SERVE, address_of, load
from onespace import load as load_model
from onespace.cli.main import main
from onespace.serve.keys import Keys, digest
from onespace.store import Store


@contextmanager
def running(*options: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*SERVE, *options], text=True, **pipes) as server:
        try:
            with httpx.Client(base_url=address_of(server), trust_env=False, timeout=20) as client:
                yield client, server
        finally:
            server.kill()


def test_under_load_only_200_and_429_and_a_stop_in_the_middle_loses_nothing():
    report = load(seconds=5, clients=16, stop_after=4, options=("--max-queue", "10"))
    assert set(report.statuses) <= {"200", "429", "lost"}, report.statuses
    assert report.statuses["200"] > 5
    assert report.statuses["429"] > 5
    assert report.accepted == report.answered == report.statuses["200"] + report.statuses["429"]
    assert report.exit_code == 0


def test_several_workers_share_a_port_their_numbers_and_a_store(tmp_path):
    with Store.open(tmp_path / "pictures.db", load_model()) as store:
        store.add(["sea whale"], ids=["t"])
    with running("--workers", "2", "--store", str(tmp_path / "pictures.db")) as (client, server):
        for _ in range(3):
            found = httpx.post(f"{client.base_url}/search", json={"text": "whale"}, trust_env=False, timeout=20)
            assert found.json()["hits"][0]["id"] == "t"
        assert client.post("/items", json={"items": [{"text": "x"}]}).status_code == 409
        told = [line for line in client.get("/metrics").text.splitlines() if 'route="/search",status="200"' in line]
        assert float(told[0].split()[-1]) == 3
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=30)
        assert server.returncode == 0
        assert log.count("requests accepted") == 2


def test_hanging_up_at_no_terminal_reloads_and_stopping_says_so():
    with running() as (client, server):
        server.send_signal(signal.SIGHUP)
        assert client.post("/embed", json={"inputs": "sea"}).status_code == 200
        server.send_signal(signal.SIGINT)
        _, log = server.communicate(timeout=30)
    assert server.returncode == 0
    assert "1 requests accepted, 1 answered" in log


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--workers", "0"], "--workers 0"),
        (["--deadline", "0"], "deadline"),
        (["--model", "nowhere/none.bin"], "nowhere"),
        (["--api-keys", "none.txt"], "can't be read"),
        (["--host", "256.0.0.1"], "--host"),
        (["--port", "70000"], "--port"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(options, told, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["serve", *options]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert told in said[-1]
    assert not [line for line in said if "Traceback" in line]


def test_a_store_that_is_not_there_or_held_by_another_is_said(capsys, tmp_path):
    lacking = str(tmp_path / "none.db")
    for option in (["--workers", "2"], ["--read-only"]):
        assert main(["serve", "--port", "0", "--store", lacking, *option]) == 2
        assert "none.db" in capsys.readouterr().err.splitlines()[-1]
    with Store.open(tmp_path / "held.db", load_model()):
        assert main(["serve", "--port", "0", "--store", str(tmp_path / "held.db")]) == 2
    assert "--read-only" in capsys.readouterr().err


def test_a_port_in_use_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "Choose another --host or --port" in capsys.readouterr().err


def test_a_new_key_is_shown_once_and_its_line_goes_to_the_file(capsys, tmp_path: Path):
    assert main(["serve", "--new-key", "reports", "--admin"]) == 0
    out, err = capsys.readouterr()
    key = err.split()[1]
    assert key not in out
    assert out.split() == ["reports", digest(key), "admin"]
    (tmp_path / "keys").write_text(out)
    assert Keys.read(tmp_path / "keys").find(key).admin
    assert main(["serve", "--new-key", "reports", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["line"] == f"reports {digest(told['key'])}"
