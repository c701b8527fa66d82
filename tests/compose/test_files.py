"""The Compose files as they stand: what every container must have, and what docker-compose 1.29 understands."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.conftest import ROOT

CLOUD: Final = "docker-compose.yml"
EDGE: Final = "docker-compose.jetson.yml"
ENDS: Final = {"migrate", "device-settings", "models", "trainer"}
"""Services that do one thing and end."""
MAY_BE_ROOT: Final = {"device-settings"}
"""It gives a file to the user of the others, and ends."""
SERVICE_KEYS: Final = {
    "build", "cap_add", "cap_drop", "command", "cpus", "depends_on", "device_cgroup_rules", "entrypoint",
    "environment", "group_add", "healthcheck", "image", "init", "logging", "mem_limit", "network_mode", "networks",
    "pids_limit", "ports", "profiles", "read_only", "restart", "runtime", "secrets", "security_opt", "shm_size",
    "stop_grace_period", "stop_signal", "tmpfs", "user", "volumes",
}  # fmt: skip
"""Keys that docker-compose 1.29 and Compose v2 both know."""


def services(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / name).read_text())["services"]
    return found


ALL: Final = [(file, service) for file in (CLOUD, EDGE) for service in services(file)]


@pytest.mark.parametrize(("file", "service"), ALL)
def test_every_container_is_confined_limited_and_watched(file: str, service: str) -> None:
    given = services(file)[service]
    assert set(given) <= SERVICE_KEYS, "a key that one of the two Composes does not know"
    assert given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges:true"]
    assert given["read_only"] is True
    assert given["init"] is True
    assert given["logging"]["options"]["max-size"]
    assert given["mem_limit"]
    assert given["pids_limit"]
    # The engine refuses more processors than a machine has; 1 is always there.
    assert given["cpus"] in (1.0, "${DEPLOY_TRAINER_CPUS:-1.0}")
    assert service in MAY_BE_ROOT or given["user"].split(":")[0] not in ("0", "root")
    if service in ENDS:
        assert given["restart"] == "no"
        assert given["healthcheck"] == {"disable": True}
    else:
        assert given["restart"] == "unless-stopped"
        assert given["stop_grace_period"]
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(given["healthcheck"])


@pytest.mark.parametrize(("file", "service"), ALL)
def test_no_password_stands_in_an_environment_and_no_image_is_latest(file: str, service: str) -> None:
    given = services(file)[service]
    for name in given.get("environment", {}):
        assert "PASSWORD" not in name or name.endswith("_FILE"), name
    assert re.search(r":(?!latest).+$", given["image"])
    assert "docker.sock" not in json.dumps(given.get("volumes", []))


@pytest.mark.parametrize("name", [CLOUD, EDGE])
def test_the_file_has_no_key_that_one_of_the_two_composes_refuses(name: str) -> None:
    keys = {key for key in yaml.safe_load((ROOT / name).read_text()) if not key.startswith("x-")}
    assert keys <= {"services", "networks", "volumes", "secrets"}


def test_nothing_is_published_but_the_front_doors() -> None:
    published = {service: given["ports"] for _, service, given in each() if "ports" in given}
    assert published == {
        "broker": ["${DEPLOY_MQTT_PORT:-8883}:8883"],
        "proxy": ["${DEPLOY_HTTP_PORT:-80}:8080", "${DEPLOY_HTTPS_PORT:-443}:8443"],
        "edge-web": ["${DEPLOY_EDGE_WEB:-127.0.0.1:8000}:8000"],
    }


def test_database_and_ingest_and_the_edges_broker_have_no_way_out() -> None:
    networks = {service: given.get("networks") for _, service, given in each()}
    assert yaml.safe_load((ROOT / CLOUD).read_text())["networks"]["inside"] == {"internal": True}
    assert yaml.safe_load((ROOT / EDGE).read_text())["networks"]["device"] == {"internal": True}
    assert networks["postgres"] == networks["ingest"] == networks["web"] == networks["migrate"] == ["inside"]
    assert networks["edge-broker"] == ["device"]


def each() -> list[tuple[str, str, dict[str, Any]]]:
    return [(file, service, given) for file in (CLOUD, EDGE) for service, given in services(file).items()]


def test_no_service_of_one_side_has_the_name_of_the_others_so_that_both_run_on_one_machine() -> None:
    assert not set(services(CLOUD)) & set(services(EDGE))


def test_the_example_environment_names_what_the_files_ask_for() -> None:
    text = "".join((ROOT / name).read_text() for name in (CLOUD, EDGE, "deploy/csi-camera.yml"))
    asked = set(re.findall(r"\$\{([A-Z_]+)", text)) - {"DEPLOY_TRAINER_MEMORY", "DEPLOY_TRAINER_CPUS"}
    named = set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)) - {"COMPOSE_FILE"}
    assert named == asked


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "emotion.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {found for text in expressions for found in re.findall(r"emotion_(ingest|web)_([a-z_]+)", text)}
    assert len(names) >= 10
    for service, name in names:
        plain = re.sub(r"(_total|_seconds_bucket)$", "", name)
        sources = [*(ROOT / "services" / service).glob("*.py"), ROOT / "shared" / "mqtt_metrics.py"]
        made = rf'\.(counter|gauge|seconds)\(\s*"{plain}"'
        assert any(re.search(made, source.read_text()) for source in sources), f"emotion_{service}_{name}"


@pytest.mark.parametrize("files", [(CLOUD,), (EDGE,), (CLOUD, EDGE), (EDGE, "deploy/csi-camera.yml")])
def test_compose_understands_the_files(files: tuple[str, ...], tmp_path: Path) -> None:
    found = [command for command in (["docker-compose"], ["docker", "compose"]) if understands(command)]
    if not found:
        pytest.skip("no Docker Compose on this machine; `make test-compose` needs one")
    for command in found:
        words = [word for file in files for word in ("-f", str(ROOT / file))]
        done = subprocess.run(
            [*command, *words, "--project-directory", str(tmp_path), "config", "-q"],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def understands(command: list[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "version"], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file() and path.suffix in ("", ".sh")],
    ids=str,
)
def test_scripts_can_be_read_by_their_shell(path: Path) -> None:
    first = path.read_text().split("\n", 1)[0]
    if "python" in first:
        compile(path.read_text(), str(path), "exec")
    elif first.endswith(("sh", "bash")) or path.suffix == ".sh":
        subprocess.run(["bash", "-n", str(path)], check=True)
    executable = bool(path.stat().st_mode & 0o100)
    assert executable == first.startswith("#!")
