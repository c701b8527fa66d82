"""The life of one deployment, in the order of this file: restarts, replicas, backup, upgrade, renewal, removal."""

import functools
import json
import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.compose.readings import ask, assert_nothing_lost, reading, settle, stored, wait_for_more
from tests.compose.stack import CLOUD, EDGE, VERSION, Stack, run, until
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(3600)


@pytest.mark.parametrize("name", sorted(CLOUD | EDGE))
def test_after_a_restart_of_one_container_detections_are_stored_again(cloud: Stack, edge: Stack, name: str) -> None:
    stack = cloud if name in CLOUD else edge
    container = stack.containers()[name]["Id"]
    run("docker", "restart", container)
    cloud.wait_healthy()
    edge.wait_healthy()
    wait_for_more(cloud, edge)
    code = run("docker", "inspect", container, "-f", "{{.State.OOMKilled}}").strip()
    assert code == "false"


def test_a_killed_container_comes_back(cloud: Stack, edge: Stack) -> None:
    """As after a power cut: the engine starts it again, and nothing is lost."""
    for stack, name in ((cloud, "ingest-1"), (edge, "classifier-1"), (cloud, "postgres-1"), (cloud, "broker-1")):
        before = started(stack, name)
        run("sh", "-c", f"kill -9 {children(stack.containers()[name]['State']['Pid'])}")
        until(functools.partial(started_since, stack, name, before), f"{name} is back")
    cloud.wait_healthy()
    edge.wait_healthy()
    wait_for_more(cloud, edge)


def started(stack: Stack, name: str) -> str:
    return str(stack.containers()[name]["State"]["StartedAt"])


def started_since(stack: Stack, name: str, before: str) -> bool:
    return started(stack, name) != before


def children(pid: int) -> str:
    """The processes below a container's init."""
    return " ".join(run("ps", "-o", "pid=", "--ppid", str(pid)).split())


def test_a_stop_and_start_of_everything_loses_nothing(cloud: Stack, edge: Stack) -> None:
    before = stored(cloud)
    edge.compose("stop")
    cloud.compose("stop")
    exits = {name: one["State"]["ExitCode"] for name, one in {**cloud.services(), **edge.services()}.items()}
    assert set(exits.values()) == {0}, exits
    cloud.up()
    edge.up()
    cloud.wait_healthy()
    edge.wait_healthy()
    assert stored(cloud) >= before
    wait_for_more(cloud, edge)


@pytest.mark.skipif(
    "ENGINE_RESTART" not in os.environ,
    reason="set ENGINE_RESTART to a command that restarts the Docker engine: it stops what else runs in it, too",
)
def test_a_restart_of_the_engine_brings_everything_back(cloud: Stack, edge: Stack) -> None:
    before = {name: started(stack, name) for stack in (cloud, edge) for name in stack.services()}
    run("sh", "-c", os.environ["ENGINE_RESTART"])
    until(functools.partial(quietly, "docker", "info"), "the engine answers")
    for stack in (cloud, edge):
        stack.wait_healthy()
        assert all(started_since(stack, name, before[name]) for name in stack.services())
    wait_for_more(cloud, edge)
    settle(cloud, edge)
    assert_nothing_lost(cloud)
    edge.up()
    edge.wait_healthy()


def quietly(*command: str) -> bool:
    """Run a command that may fail; whether it did not."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_three_replicas_of_ingest_share_the_load_and_lose_nothing(cloud: Stack, edge: Stack) -> None:
    cloud.up("--scale", "ingest=3")
    cloud.wait_healthy()
    replicas = [name for name in cloud.services() if name.startswith("ingest")]
    assert len(replicas) == 3
    until(
        lambda: all(reading(cloud, name, 9100, "emotion_ingest_stored_total") > 10 for name in replicas),
        "each replica stores detections",
    )
    cloud.up("--scale", "ingest=1")
    cloud.wait_healthy()
    wait_for_more(cloud, edge)
    settle(cloud, edge)
    assert_nothing_lost(cloud)
    edge.up()
    edge.wait_healthy()


def test_prometheus_finds_the_services_and_each_panel_of_the_dashboard_has_numbers(cloud: Stack, edge: Stack) -> None:
    image = str(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["prometheus"]["image"])
    if not any(quietly("docker", *words, image) for words in (("image", "inspect"), ("pull",))):
        pytest.skip(f"{image} is not here and cannot be pulled")
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "emotion.json").read_text())
    expressions = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    cloud.compose("--profile", "metrics", "up", "-d", "--no-build", "prometheus")
    try:
        cloud.wait_healthy()
        for expression in expressions | {'up{job="ingest"} == 1', 'up{job="web"} == 1'}:
            until(functools.partial(has_numbers, cloud, expression), f"Prometheus has numbers for {expression}")
    finally:
        print(cloud.compose("logs", "--tail", "10", "prometheus"))
        cloud.compose("rm", "--stop", "--force", "prometheus")


def has_numbers(cloud: Stack, expression: str) -> bool:
    """Whether Prometheus finds any series for an expression."""
    command = ("promtool", "query", "instant", "http://127.0.0.1:9090", expression)
    return cloud.execute("prometheus-1", *command).strip() != ""


def test_a_backup_brings_back_what_was_deleted(cloud: Stack, edge: Stack) -> None:
    settle(cloud, edge)
    before = stored(cloud)
    said = cloud.script("deploy/backup", "backups/one")
    assert "Saved: backups/one" in said
    assert "broker/server.key" in run("tar", "-tf", str(cloud.folder / "backups" / "one" / "secrets.tar"))
    ask(cloud, "DELETE FROM detections")
    assert stored(cloud) == 0
    cloud.script("deploy/restore", "backups/one")
    cloud.wait_healthy()
    assert stored(cloud) == before > 0
    assert_nothing_lost(cloud)
    edge.up()
    edge.wait_healthy()
    wait_for_more(cloud, edge)


NEXT_MIGRATION: Final = '''"""A change that a next version could bring."""
from alembic import op
revision = "9001"
down_revision = {newest!r}
branch_labels = None
depends_on = None
def upgrade() -> None:
    op.execute("ALTER TABLE devices ADD COLUMN note text")
def downgrade() -> None:
    op.execute("ALTER TABLE devices DROP COLUMN note")
'''


def test_an_upgrade_changes_the_tables_and_a_roll_back_takes_that_back(
    cloud: Stack, edge: Stack, tmp_path: Path
) -> None:
    newest = ask(cloud, "SELECT version_num FROM alembic_version")
    (tmp_path / "v9001_note.py").write_text(NEXT_MIGRATION.format(newest=newest))
    (tmp_path / "Dockerfile").write_text(
        f"FROM emotion-edge/ingest:{VERSION}\nCOPY v9001_note.py /app/shared/db/migrations/versions/\n"
    )
    run("docker", "build", "-q", "-t", "emotion-edge/ingest:testnext", str(tmp_path))
    for target in ("web", "proxy"):
        run("docker", "tag", f"emotion-edge/{target}:{VERSION}", f"emotion-edge/{target}:testnext")
    before = stored(cloud)

    cloud.compose("stop", "ingest", "web")
    cloud.env["DEPLOY_VERSION"] = "testnext"
    cloud.up()
    cloud.wait_healthy()
    assert ask(cloud, "SELECT version_num FROM alembic_version") == "9001"
    wait_for_more(cloud, edge)

    cloud.compose("stop", "ingest", "web")
    cloud.compose("run", "--rm", "--no-deps", "migrate", "migrate", "--back-to", newest)
    cloud.env["DEPLOY_VERSION"] = VERSION
    cloud.up()
    cloud.wait_healthy()
    assert ask(cloud, "SELECT version_num FROM alembic_version") == newest
    assert stored(cloud) > before
    wait_for_more(cloud, edge)
    settle(cloud, edge)
    assert_nothing_lost(cloud)
    edge.up()
    edge.wait_healthy()


def serial_shown(host: str, port: str, authority: Path) -> int:
    """The serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        shown = encrypted.getpeercert()
        assert shown is not None
        return int(str(shown["serialNumber"]), 16)


def test_certificates_are_renewed_while_everything_runs(cloud: Stack, edge: Stack, host: str) -> None:
    authority = cloud.folder / "secrets" / "broker" / "ca.pem"
    doors = [cloud.env["DEPLOY_HTTPS_PORT"], cloud.env["DEPLOY_MQTT_PORT"]]
    before = {serial_shown(host, port, authority) for port in doors}
    assert len(before) == 1
    assert "broker" in cloud.script("deploy/certs", "show")
    cloud.script("deploy/certs", "renew")
    cloud.wait_healthy()
    after = {serial_shown(host, port, authority) for port in doors}
    assert len(after) == 1
    assert after != before
    run("docker", "restart", edge.containers()["classifier-1"]["Id"])
    edge.wait_healthy()
    wait_for_more(cloud, edge)


def test_a_device_that_was_removed_is_shut_out_and_the_setup_changes_nothing_when_run_again(
    cloud: Stack, edge: Stack, host: str
) -> None:
    secrets = {path: path.read_bytes() for path in (cloud.folder / "secrets").rglob("*") if path.is_file()}
    said = cloud.script("deploy/setup", host)
    assert "password" not in said
    assert {path: path.read_bytes() for path in (cloud.folder / "secrets").rglob("*") if path.is_file()} == secrets
    assert cloud.script("deploy/device", "list").split() == ["lab"]
    cloud.script("deploy/device", "remove", "lab")
    until(
        lambda: reading(edge, "classifier-1", 9100, "emotion_classifier_broker_login_refused") == 1,
        "the device is refused",
    )
    assert edge.healthy(), "the device works on, its page too"
