"""Both sides as containers, on networks of their own: only the broker's TLS port leads from the edge to the cloud.

The tests go through the life of one deployment, in the order of this file.
"""

import functools
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import sync_playwright

from services.embedded import free_port
from tests.compose.stack import Stack, run, until
from tests.conftest import ROOT, from_shelf

TARGETS: Final = ("proxy", "tools", "ingest", "web", "capture", "classifier")
BASE: Final = "python:3.11-slim-bookworm"
LARGEST_MB: Final = {"ingest": 130, "web": 130, "capture": 330, "classifier": 330, "tools": 130}
CLOUD: Final = {"broker-1", "postgres-1", "ingest-1", "web-1", "proxy-1"}
EDGE: Final = {"edge-broker-1", "capture-1", "classifier-1", "edge-web-1"}
VERSION: Final = "test"
CHROMIUM: Final = "/usr/bin/chromium"

pytestmark = pytest.mark.timeout(3600)


def build(*targets: str) -> None:
    """Build images from this checkout, one after the other."""
    # As deploy/setup passes them, so that its builds find these in the engine's cache.
    settings = [f"--build-arg={name}={os.environ.get(name, '')}" for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")]
    for target in targets:
        tag = f"emotion-edge/{target}:{VERSION}"
        run("docker", "build", "-q", *settings, "--target", target, "-t", tag, ".", cwd=ROOT, timeout_s=3000)


@pytest.fixture(scope="session")
def images() -> None:
    """Every image that the stacks need."""
    build(*TARGETS)


@pytest.fixture(scope="session")
def host() -> str:
    """This machine's own address: how containers of another network reach what it publishes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # sends nothing; the system chooses the address it would send from
        return str(sock.getsockname()[0])


@pytest.fixture(scope="session")
def cloud(images: None, host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The cloud's stack, set up and started as its document says."""
    ports = {f"DEPLOY_{name}_PORT": str(free_port()) for name in ("HTTP", "HTTPS", "MQTT")}
    env = {"DEPLOY_VERSION": VERSION} | ports
    stack = Stack(tmp_path_factory.mktemp("c") / "cloud", "emotiontestcloud", ["docker-compose.yml"], env)
    said = stack.script("deploy/setup", host)
    found = re.search(r"as admin, with the password (\S+)", said)
    assert found, said
    stack.env["TEST_PASSWORD"] = found[1]
    began = time.monotonic()
    try:
        stack.up()
        stack.wait_healthy()
        print(f"the cloud was up after {time.monotonic() - began:.0f} s")
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="session")
def edge(cloud: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The edge's stack with the file that `deploy/device add` printed, and a clip for a camera."""
    shelf = from_shelf("clips").parent
    env = {"DEPLOY_VERSION": VERSION, "DEPLOY_EDGE_WEB": f"127.0.0.1:{free_port()}", "SHELF": str(shelf)}
    files = ["docker-compose.jetson.yml", str(ROOT / "tests" / "compose" / "clip.yml")]
    stack = Stack(tmp_path_factory.mktemp("e") / "edge", "emotiontestedge", files, env)
    device_file = stack.folder / "device.env"
    device_file.write_text(cloud.script("deploy/device", "add", "lab"))
    device_file.chmod(0o600)
    began = time.monotonic()
    try:
        stack.up()
        stack.wait_healthy()
        print(f"the edge was up after {time.monotonic() - began:.0f} s")
        yield stack
    finally:
        stack.down()


def ask(cloud: Stack, query: str) -> str:
    """One value from the cloud's database."""
    return cloud.execute("postgres-1", "psql", "-U", "postgres", "-d", "emotion", "-Atc", query).strip()


def stored(cloud: Stack) -> int:
    return int(ask(cloud, "SELECT count(*) FROM detections"))


def wait_for_more(cloud: Stack, edge: Stack) -> None:
    """Wait until detections made from now on are stored."""
    before = stored(cloud)
    until(lambda: stored(cloud) > before + 20, "more detections are stored")


def reading(stack: Stack, container: str, port: int, name: str) -> float:
    """The sum of a metric of one container."""
    code = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
    text = stack.execute(container, "python", "-c", code)
    values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if re.match(rf"{name}(\{{|\s)", line)]
    assert values, f"{container} has no metric {name}"
    return sum(map(float, values))


def settle(cloud: Stack, edge: Stack) -> None:
    """Stop the camera and wait until everything that was seen is stored."""
    edge.compose("stop", "capture")
    until(lambda: reading(edge, "classifier-1", 9100, "emotion_classifier_outbox_items") == 0, "the outbox is empty")


def assert_nothing_lost(cloud: Stack) -> None:
    """Each detection of a device carries a number, without gaps: so what is missing can be seen."""
    gaps = ask(
        cloud,
        "SELECT coalesce(sum(missing), 0) FROM (SELECT max(seq) - min(seq) + 1 - count(*) AS missing "
        "FROM detections GROUP BY device, boot_id) AS boots",
    )
    twice = ask(cloud, "SELECT count(*) - count(DISTINCT event_id) FROM detections")
    assert (gaps, twice) == ("0", "0"), "missing, stored twice"


def test_a_face_before_the_camera_is_seen_in_the_clouds_dashboard(cloud: Stack, edge: Stack, host: str) -> None:
    address = f"https://{host}:{cloud.env['DEPLOY_HTTPS_PORT']}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            stranger = browser.new_context(ignore_https_errors=True).new_page()
            answer = stranger.request.get(address)
            assert answer.status == 401
            context = browser.new_context(
                ignore_https_errors=True,  # its authority is this test's own; the certificate is checked below
                http_credentials={"username": "admin", "password": cloud.env["TEST_PASSWORD"]},
            )
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.goto(address)
            page.get_by_text(re.compile(r"looks |not sure", re.IGNORECASE)).first.wait_for()
            page.locator("#rows tr").nth(3).wait_for()
            page.locator("#rows").get_by_text(re.compile("stored|yes", re.IGNORECASE)).first.wait_for()
            page.locator(".picture img:visible").first.wait_for()
            page.locator(".uplot").first.wait_for()
        finally:
            browser.close()
    authority = str(cloud.folder / "secrets" / "broker" / "ca.pem")
    login = f"admin:{cloud.env['TEST_PASSWORD']}"
    found = json.loads(
        run("curl", "-sSf", "--cacert", authority, "-u", login, f"{address}/api/v1/detections?device=lab&limit=1")
    )
    assert found["items"][0]["device"] == "lab"
    plain = f"http://{host}:{cloud.env['DEPLOY_HTTP_PORT']}/x"
    assert run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", plain) == f"308 https://{host}/x"


def test_the_edges_own_page_shows_it_too_without_the_cloud(edge: Stack) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = browser.new_page()
            page.set_default_timeout(120_000)
            page.goto(f"http://{edge.env['DEPLOY_EDGE_WEB']}")
            page.get_by_text(re.compile(r"looks |not sure", re.IGNORECASE)).first.wait_for()
        finally:
            browser.close()


def test_all_services_are_there_and_confined(cloud: Stack, edge: Stack) -> None:
    services = {**cloud.services(), **edge.services()}
    assert set(services) == CLOUD | EDGE
    for name, container in services.items():
        config, given = container["Config"], container["HostConfig"]
        assert config["User"].split(":")[0] not in ("", "0", "root"), name
        assert given["CapDrop"] == ["ALL"], name
        assert given["CapAdd"] in (None, []) or (name, given["CapAdd"]) == ("proxy-1", ["NET_BIND_SERVICE"])
        assert given["ReadonlyRootfs"], name
        assert not given["Privileged"], name
        assert given["SecurityOpt"] == ["no-new-privileges:true"], name
        assert given["Init"], name
        assert given["Memory"] > 0, name
        assert given["NanoCpus"] > 0, name
        assert given["PidsLimit"] > 0, name
        assert given["LogConfig"]["Config"]["max-size"], name
        assert container["State"]["Health"]["Status"] == "healthy", name
        stack = cloud if name in CLOUD else edge
        status = stack.execute(name, "cat", "/proc/1/status", "/proc/self/status")
        assert "0" not in re.findall(r"^Uid:\t(\d+)", status, re.MULTILINE), name
        wanted = {"0000000000000000"} | ({"0000000000000400"} if name == "proxy-1" else set())
        assert set(re.findall(r"^Cap(?:Eff|Prm|Bnd):\t(\w+)", status, re.MULTILINE)) <= wanted, name
        assert set(re.findall(r"^NoNewPrivs:\t(\d)", status, re.MULTILINE)) == {"1"}, name
        tried = stack.execute(name, "sh", "-c", "touch /etc/x /x 2>&1; true")
        assert tried.count("Read-only file system") == 2, (name, tried)


def test_of_the_devices_only_cameras_may_be_used(edge: Stack) -> None:
    probe = (
        "import os, pathlib; bad = []\n"
        "for path in pathlib.Path('/dev').iterdir():\n"
        "    if path.is_char_device() and os.major(path.stat().st_rdev) in (10, 4) or path.is_block_device():\n"
        "        try: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK)); bad.append(str(path))\n"
        "        except OSError: pass\n"
        "print(bad)"
    )
    assert edge.execute("capture-1", "python", "-c", probe).strip() == "[]"


def test_nothing_listens_outside_but_https_and_the_brokers_tls_port(cloud: Stack, edge: Stack) -> None:
    published = {
        (name, inside, binding["HostPort"])
        for name, container in {**cloud.services(), **edge.services()}.items()
        for inside, bindings in container["NetworkSettings"]["Ports"].items()
        for binding in bindings or []
    }
    assert published == {
        ("proxy-1", "8080/tcp", cloud.env["DEPLOY_HTTP_PORT"]),
        ("proxy-1", "8443/tcp", cloud.env["DEPLOY_HTTPS_PORT"]),
        ("broker-1", "8883/tcp", cloud.env["DEPLOY_MQTT_PORT"]),
        ("edge-web-1", "8000/tcp", edge.env["DEPLOY_EDGE_WEB"].split(":")[1]),
    }
    shared_networks = networks(cloud) & networks(edge)
    assert not shared_networks
    # From the device to the cloud's containers: nothing answers.
    for name, port in (("postgres-1", 5432), ("web-1", 8000), ("ingest-1", 9100), ("broker-1", 8883)):
        for network in cloud.services()[name]["NetworkSettings"]["Networks"].values():
            assert not reaches(edge, "classifier-1", network["IPAddress"], port), (name, port)


def networks(stack: Stack) -> set[str]:
    return {name for one in stack.services().values() for name in one["NetworkSettings"]["Networks"]}


def reaches(stack: Stack, container: str, address: str, port: int) -> bool:
    code = (
        "import socket, sys\n"
        f"try: socket.create_connection(({address!r}, {port}), timeout=3)\n"
        "except OSError: print('no')\n"
        "else: print('yes')"
    )
    return stack.execute(container, "python", "-c", code).strip() == "yes"


def test_the_broker_takes_tls_and_a_password_only(cloud: Stack, edge: Stack, host: str) -> None:
    port = int(cloud.env["DEPLOY_MQTT_PORT"])
    with socket.create_connection((host, port), timeout=10) as plain:
        plain.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04open")
        plain.settimeout(10)
        try:
            answer = plain.recv(4)
        except ConnectionResetError:
            answer = b""
    assert answer[:2] != b"\x20\x02", "the broker spoke MQTT without TLS"


def secrets_of(cloud: Stack, edge: Stack) -> set[str]:
    """Every password and key of the two stacks, as their files hold them."""
    found = {cloud.env["TEST_PASSWORD"]}
    for path in (cloud.folder / "secrets").rglob("*"):
        if not path.is_file() or path.name in ("ca.pem", "server.pem", "passwords.lock"):
            continue
        text = path.read_text()
        if path.suffix == ".env":
            found |= set(re.findall(r"PASSWORD=(\S+)", text))
        elif path.suffix == ".key":
            found |= {line for line in text.splitlines() if not line.startswith("-----")}
        else:
            found |= {word for word in text.split() if len(word) > 15}
    found |= set(re.findall(r"PASSWORD=(\S+)", (edge.folder / "device.env").read_text()))
    assert len(found) >= 9
    return found


def test_no_secret_is_in_an_image_an_environment_or_a_log(cloud: Stack, edge: Stack) -> None:
    secrets = secrets_of(cloud, edge)
    containers = {**cloud.containers(), **edge.containers()}
    places: dict[str, str] = {}
    for name, container in containers.items():
        places[f"inspect {name}"] = json.dumps(container)
        places[f"logs {name}"] = run("sh", "-c", f"docker logs {container['Id']} 2>&1")
    for target in TARGETS:
        image = f"emotion-edge/{target}:{VERSION}"
        places[f"history {target}"] = run("docker", "history", "--no-trunc", image)
        places[f"inspect {target}"] = run("docker", "inspect", image)
        folder = "/etc/caddy" if target == "proxy" else "/app"
        files = run("docker", "run", "--rm", "--entrypoint", "find", image, folder, "-type", "f")
        names = {Path(line).name for line in files.splitlines()}
        assert not {name for name in names if name.endswith((".env", ".pem", ".key")) or name == "passwords"}, target
    for place, text in places.items():
        assert not [secret for secret in secrets if secret in text], f"a secret is in {place}"


def test_secrets_are_for_their_reader_alone(cloud: Stack) -> None:
    for path in (cloud.folder / "secrets").rglob("*"):
        open_to_all = path.name == "ca.pem"
        assert path.stat().st_mode & 0o077 == (0o044 if open_to_all else 0), path


def test_images_are_small_and_hold_no_compiler(images: None) -> None:
    def size(image: str) -> int:
        return int(run("docker", "image", "inspect", image, "-f", "{{.Size}}"))

    base = size(BASE)
    sizes = {target: (size(f"emotion-edge/{target}:{VERSION}") - base) / 1e6 for target in LARGEST_MB}
    print("megabytes over the base image:", {target: round(size) for target, size in sizes.items()})
    assert {target: size for target, size in sizes.items() if size >= LARGEST_MB[target]} == {}
    packages = "ls /venv/lib/python3*/site-packages | grep -iE '^(tensorflow|keras|torch)$'"
    for target in LARGEST_MB:
        script = f"command -v gcc cc g++ make; {packages}; true"
        found = run("docker", "run", "--rm", "--entrypoint", "sh", f"emotion-edge/{target}:{VERSION}", "-c", script)
        assert found == "", target


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


def confined(*arguments: str) -> str:
    """Run an image as its stack does: no capabilities, nothing to write but /tmp."""
    return run("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", *arguments)


def test_the_image_for_csi_cameras_makes_jpegs_by_gstreamer(images: None) -> None:
    build("capture-csi")
    script = "gst-launch-1.0 -q videotestsrc num-buffers=1 ! jpegenc ! fdsink fd=1 | head -c 3 | od -An -tx1"
    said = confined("--entrypoint", "sh", f"emotion-edge/capture-csi:{VERSION}", "-c", script)
    assert said.split() == ["ff", "d8", "ff"]


def test_the_trainers_image_has_what_training_needs(images: None) -> None:
    build("trainer")
    backend = confined("--entrypoint", "python", f"emotion-edge/trainer:{VERSION}", "-c", "import tensorflow, keras")
    assert backend == ""
    said = confined(f"emotion-edge/trainer:{VERSION}", "training.train", "--help")
    assert "--data" in said
