"""What is in deploy/ fits the server: its options, its port, its user, its metrics."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from serving import serving

from onespace.cli.main import parser
from onespace.cli.serve import options_of
from onespace.encoder import Encoder
from onespace.serve.guard import OPEN
from onespace.serve.options import ServeOptions

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
UNIT = (DEPLOY / "onespace.service").read_text("utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
OBJECTS = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))


def served(words: list[str]) -> ServeOptions:
    """The options that a command line gives; argparse ends the test where one isn't known."""
    args: argparse.Namespace = parser().parse_args(words)
    return options_of(args)


def exec_start() -> list[str]:
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    return shlex.split(line)


def test_every_command_line_is_understood() -> None:
    docker = json.loads(re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[-1])
    assert served(docker).host == "0.0.0.0"
    compose = served(COMPOSE["services"]["server"]["command"])
    assert compose.store == "qdrant://qdrant:6334/items"
    assert "qdrant" in COMPOSE["services"]
    assert set(compose.hosts) <= set(COMPOSE["services"])
    assert served(CONTAINER["args"]).api_keys == "/etc/onespace/keys.txt"
    assert Path(exec_start()[0]).name == "onespace"
    assert served(exec_start()[1:]).host == "127.0.0.1"
    with pytest.raises(SystemExit):
        served(["serve", "--none"])


def test_the_port_is_the_servers() -> None:
    port = ServeOptions().port
    assert f"EXPOSE {port}" in DOCKERFILE
    assert f"http://127.0.0.1:{port}/health" in DOCKERFILE
    assert COMPOSE["services"]["server"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": port}]
    assert OBJECTS["Service"]["spec"]["ports"][0]["targetPort"] == "http"


def test_probes_ask_what_needs_no_key() -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = CONTAINER[probe]["httpGet"]
        assert asked["port"] == "http"
        assert OPEN.fullmatch(asked["path"])


def test_nobody_is_root() -> None:
    users = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert users == [("10001", "10001")]
    assert DOCKERFILE.index("USER 10001") < DOCKERFILE.index("ENTRYPOINT")
    assert POD["securityContext"]["runAsNonRoot"]
    assert str(POD["securityContext"]["runAsUser"]) == users[0][0]
    for confined in (CONTAINER["securityContext"]["capabilities"]["drop"], COMPOSE["services"]["server"]["cap_drop"]):
        assert confined == ["ALL"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert COMPOSE["services"]["server"]["read_only"]
    for line in ("DynamicUser=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict"):
        assert line in UNIT.splitlines()


def test_stopping_waits_as_long_as_the_server_does() -> None:
    grace = ServeOptions().grace
    assert POD["terminationGracePeriodSeconds"] > grace + 5
    assert int(COMPOSE["services"]["server"]["stop_grace_period"].rstrip("s")) > grace
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0]) > grace


def test_every_selector_and_mount_leads_somewhere() -> None:
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert OBJECTS["Service"]["spec"]["selector"].items() <= labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert {one["name"] for one in CONTAINER["volumeMounts"]} == {one["name"] for one in POD["volumes"]}
    mounted = [one.split(":")[0] for service in COMPOSE["services"].values() for one in service["volumes"]]
    assert set(mounted) == set(COMPOSE["volumes"])
    for file in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for name in file.split():
            assert (DEPLOY.parent / name).exists()
            assert f"!{name}" in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()


def names_of(told: str) -> set[str]:
    """The series that a page of /metrics announces."""
    endings = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    types = re.findall(r"^# TYPE (\S+) (\w+)$", told, re.MULTILINE)
    return {name + ending for name, kind in types for ending in endings[kind]}


@pytest.fixture(scope="module")
def metrics(tiny_encoder: Encoder) -> str:
    """``/metrics`` of a server that answered, and refused."""
    with serving(tiny_encoder) as client:
        assert client.post("/embed", json={"inputs": "sea"}).status_code == 200
        assert client.post("/v1/embeddings", json={}).status_code == 400
        return client.get("/metrics").text


def test_every_metric_of_the_dashboard_is_there(metrics: str) -> None:
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked += [one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    shown = {name for text in asked for name in re.findall(r"\bonespace_\w+", text)}
    assert shown <= names_of(metrics), shown - names_of(metrics)
    measured = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names_of(metrics)}
    drawn = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert {name for name in measured if not name.endswith("_created")} == drawn, "each metric has its panel"


def test_every_metric_of_the_alerts_is_there(metrics: str) -> None:
    page = (DEPLOY.parent / "docs" / "integrations.md").read_text("utf-8")
    named = set(re.findall(r"\bonespace_[a-z_]+", page))
    assert "onespace_canary_drift" in named
    assert named <= names_of(metrics)


def test_every_label_of_the_dashboard_is_there(metrics: str) -> None:
    labels = set(re.findall(r'[{,](\w+)="', metrics)) | {"instance"}  # Prometheus adds this one
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            grouped = {name for some in re.findall(r"by \(([^)]*)\)", target["expr"]) for name in some.split(", ")}
            assert grouped | set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, target["expr"]


def test_panels_dont_overlap() -> None:
    seen: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at: dict[str, Any] = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & seen, panel["title"]
        assert at["x"] + at["w"] <= 24
        seen |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
