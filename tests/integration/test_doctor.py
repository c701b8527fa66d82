"""Doctor, as it is started by a person, beside things that are really broken."""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from services.certs import Certificates
from services.doctor import camera, clock, disk, health
from services.embedded import free_port
from shared.db.migrate import upgrade
from shared.settings import DatabaseSettings, MqttSettings
from tests.conftest import ROOT
from tests.support.disks import NoSmallDisk, fill, small_disk
from tests.support.secure_broker import SecureBroker, secure_broker

DEVICE: Final = "edge-1"
SECRET: Final = "hidden-word"
NOBODY: Final = 65534


class Told:
    """What doctor printed with --json."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text
        self.findings: list[dict[str, str]] = json.loads(text)["findings"]

    def problems(self, check: str) -> list[str]:
        return [one["text"] for one in self.findings if one["check"] == check and one["level"] == "problem"]

    def of(self, check: str, level: str) -> list[dict[str, str]]:
        return [one for one in self.findings if one["check"] == check and one["level"] == level]


def doctor(*arguments: str, **environment: str) -> Told:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EMOTION_")}
    result = subprocess.run(
        [sys.executable, "-m", "services.main", "doctor", "--json", *arguments],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stdout, result.stderr
    told = Told(result.returncode, result.stdout)
    assert SECRET not in result.stdout + result.stderr
    assert told.status == (1 if any(one["level"] == "problem" for one in told.findings) else 0)
    for one in told.findings:
        if one["level"] == "problem":
            assert one["cause"], one
            assert one["command"], one
    return told


def cloud(settings: MqttSettings, **changes: str) -> dict[str, str]:
    """The environment of a device whose cloud broker is `settings`."""
    assert settings.password is not None
    return {
        "EMOTION_DEVICE": DEVICE,
        "EMOTION_CLOUD__HOST": settings.host,
        "EMOTION_CLOUD__PORT": str(settings.port),
        "EMOTION_CLOUD__TLS": "true",
        "EMOTION_CLOUD__CA_FILE": str(settings.ca_file),
        "EMOTION_CLOUD__USERNAME": settings.username or "",
        "EMOTION_CLOUD__PASSWORD": settings.password.get_secret_value(),
    } | changes


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with secure_broker(tmp_path_factory.mktemp("doctor"), DEVICE) as running:
        yield running


class TestBroker:
    def test_a_device_that_may_log_in_is_told_so(self, broker: SecureBroker) -> None:
        told = doctor("classifier", **cloud(broker.settings(DEVICE)))
        assert not told.problems("cloud's broker")
        good = " ".join(one["text"] for one in told.of("cloud's broker", "ok"))
        assert "certificate accepted" in good
        assert "logged in" in good

    def test_a_wrong_password(self, broker: SecureBroker) -> None:
        told = doctor("classifier", **cloud(broker.settings(DEVICE), EMOTION_CLOUD__PASSWORD=SECRET))
        assert told.problems("cloud's broker") == [f"the login at localhost:{broker.port} is refused"]

    def test_another_devices_login(self, broker: SecureBroker) -> None:
        told = doctor("classifier", **cloud(broker.settings(DEVICE), EMOTION_DEVICE="other"))
        assert told.problems("cloud's broker") == [f"user {DEVICE} may not write the topics of device other"]

    def test_a_name_that_the_certificate_does_not_have(self, broker: SecureBroker) -> None:
        told = doctor("classifier", **cloud(broker.settings(DEVICE), EMOTION_CLOUD__HOST="127.0.0.1"))
        (found,) = told.of("cloud's broker", "problem")
        assert "is not for '127.0.0.1'" in found["cause"]
        assert "certs renew --name 127.0.0.1" in found["command"]

    def test_another_authority(self, broker: SecureBroker, tmp_path: Path) -> None:
        Certificates(tmp_path).make(["localhost"])
        other = str(tmp_path / "broker" / "ca.pem")
        told = doctor("classifier", **cloud(broker.settings(DEVICE), EMOTION_CLOUD__CA_FILE=other))
        (found,) = told.of("cloud's broker", "problem")
        assert "not signed by an authority that is trusted" in found["cause"]
        assert other in found["cause"]

    def test_a_ca_file_that_is_not_there(self, broker: SecureBroker, tmp_path: Path) -> None:
        told = doctor("classifier", **cloud(broker.settings(DEVICE), EMOTION_CLOUD__CA_FILE=str(tmp_path / "none")))
        assert told.problems("cloud's broker") == ["its TLS files cannot be used"]

    @pytest.mark.parametrize(("days", "words"), [(-800, "has expired"), (40, "not valid yet")])
    def test_a_certificate_of_another_time(self, tmp_path: Path, days: int, words: str) -> None:
        with secure_broker(tmp_path, DEVICE, made_at=datetime.now(UTC) + timedelta(days=days)) as other:
            told = doctor("classifier", **cloud(other.settings(DEVICE)))
        (found,) = told.of("cloud's broker", "problem")
        assert words in found["cause"]

    def test_a_certificate_that_expires_soon(self, tmp_path: Path) -> None:
        with secure_broker(tmp_path, DEVICE, made_at=datetime.now(UTC) - timedelta(days=380)) as other:
            told = doctor("classifier", **cloud(other.settings(DEVICE)))
        (found,) = told.of("cloud's broker", "warning")
        assert "expires soon" in found["text"]

    def test_nothing_listens_and_no_such_name(self) -> None:
        port = free_port()
        told = doctor(
            "classifier", EMOTION_MQTT__PORT=str(port), EMOTION_CLOUD__HOST="nowhere.invalid", EMOTION_DEVICE=DEVICE
        )
        assert told.problems("local broker") == [f"127.0.0.1:{port} is not reached"]
        (problem,) = told.problems("cloud's broker")
        # Of a name server that does not answer, doctor is not told in time that there is no such name.
        assert "nowhere.invalid" in problem or problem == "gives no answer"

    def test_what_listens_and_never_answers(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            port = mute.getsockname()[1]
            told = doctor("capture", EMOTION_MQTT__PORT=str(port))
        assert told.problems("local broker") == [f"127.0.0.1:{port} does not answer as a broker"]


@pytest.fixture
async def migrated(database_settings: DatabaseSettings) -> DatabaseSettings:
    await upgrade(database_settings)
    return database_settings


class TestDatabase:
    async def test_a_good_one(self, migrated: DatabaseSettings) -> None:
        told = doctor("migrate", EMOTION_DATABASE__URL=migrated.url.get_secret_value())
        good = " ".join(one["text"] for one in told.of("database", "ok"))
        assert "has this version's tables" in good
        assert "agrees with the database's clock" in good

    async def test_one_that_was_not_migrated(self, database_settings: DatabaseSettings) -> None:
        told = doctor("migrate", EMOTION_DATABASE__URL=database_settings.url.get_secret_value())
        (found,) = told.of("database", "problem")
        assert (found["text"], found["command"]) == ("it has no tables", "emotion-edge migrate")

    async def test_one_that_does_not_exist(self, postgres_server: DatabaseSettings) -> None:
        url = postgres_server.url.get_secret_value().replace("/postgres?", "/nowhere?")
        assert doctor("migrate", EMOTION_DATABASE__URL=url).problems("database") == ["there is no database nowhere"]

    def test_a_wrong_password(self, password_postgres: int) -> None:
        url = f"postgresql://emotion:{SECRET}@127.0.0.1:{password_postgres}/postgres"
        told = doctor("migrate", EMOTION_DATABASE__URL=url)
        assert told.problems("database") == ["the password of user emotion is refused"]


@pytest.fixture
def password_postgres(tmp_path: Path) -> Iterator[int]:
    """A Postgres that asks for passwords, as the deployment's does; its port on the loopback address."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.fail("PostgreSQL's server is not installed; `make test` installs it, or: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="doctor-pg-") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        (folder / "password").write_text("right")
        (folder / "password").chmod(0o644)

        def run(program: str, *arguments: str) -> None:
            with (folder / "log").open("ab") as log:
                subprocess.run(
                    [binaries[-1] / program, *arguments], check=True, user=user, cwd=folder, stdout=log, stderr=log
                )

        data = str(folder / "data")
        run("initdb", "-A", "scram-sha-256", "-U", "emotion", f"--pwfile={folder / 'password'}", "-N", "-D", data)
        options = f"-c listen_addresses=127.0.0.1 -c fsync=off -p {port} -k {folder}"
        run("pg_ctl", "-w", "-D", data, "-o", options, "-l", f"{data}/log", "start")
        try:
            yield port
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "-D", data, "stop")


@contextlib.contextmanager
def as_user(uid: int) -> Iterator[None]:
    """Be another user for the time of a block. Skips the test where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class TestDisk:
    def test_a_folder_of_another_user(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o755)
            with as_user(NOBODY):
                found = list(disk.look(Path(name), 1))
        assert found[0].level == "problem"
        assert f"belongs to user 0; this program runs as user {NOBODY}" in found[0].cause

    def test_an_outbox_that_another_user_made(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o777)
            (Path(name) / disk.OUTBOX).touch(mode=0o644)
            with as_user(NOBODY):
                found = list(disk.look(Path(name), 1))
        assert found[0].level == "problem"
        assert disk.OUTBOX in found[0].text

    def test_a_read_only_disk(self, tmp_path: Path) -> None:
        try:
            with small_disk(tmp_path / "small", 32) as folder:
                subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
                assert doctor("capture", EMOTION_DATA_DIR=str(folder)).problems("disk") == [f"{folder} is read-only"]
        except NoSmallDisk as error:
            pytest.skip(str(error))

    def test_a_full_disk(self, tmp_path: Path) -> None:
        try:
            with small_disk(tmp_path / "small", 32) as folder:
                assert "the disk is full" not in doctor("classifier", EMOTION_DATA_DIR=str(folder)).problems("disk")
                fill(folder)
                assert doctor("classifier", EMOTION_DATA_DIR=str(folder)).problems("disk") == ["the disk is full"]
        except NoSmallDisk as error:
            pytest.skip(str(error))


class TestModel:
    def test_a_missing_one_and_a_damaged_one(self, tmp_path: Path) -> None:
        missing = doctor("classifier", EMOTION_MODEL="nothing")
        assert missing.problems("model") == ["the model nothing cannot be used"]
        folder = tmp_path / "slim_resnet"
        folder.mkdir()
        for name in ("preset.json", "model.tflite"):
            (folder / name).write_bytes((ROOT / "models" / "slim_resnet" / name).read_bytes())
        with (folder / "model.tflite").open("r+b") as file:
            file.seek(1000)
            file.write(b"damaged")
        damaged = doctor("classifier", EMOTION_MODELS_DIR=str(tmp_path), EMOTION_DETECTOR="yunet")
        assert damaged.problems("model") == [
            "the model slim_resnet cannot be used",
            "the face detector YuNet cannot be used",
        ]
        assert "sha256" in damaged.of("model", "problem")[0]["cause"]

    def test_the_projects_own_runs(self) -> None:
        told = doctor("classifier")
        assert "LiteRT runs it" in [one["text"] for one in told.of("model", "ok")]


class TestSource:
    def test_no_camera(self) -> None:
        assert doctor("capture", EMOTION_SOURCE="97").problems("camera") == ["there is no /dev/video97"]

    def test_a_node_without_permission_and_one_that_is_no_cameras(self) -> None:
        node = Path("/dev/shm") / f"doctor-{os.getpid()}"  # a file system that other users reach
        try:
            os.mknod(node, stat.S_IFCHR | 0o660, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("needs root to make a device node")
        try:
            os.chown(node, 0, 4242)
            node.chmod(0o660)  # whatever the umask is
            (no_camera,) = camera.look(node, container=False)
            with as_user(NOBODY):
                (refused,) = camera.look(node, container=True)
        finally:
            node.unlink()
        assert (no_camera.level, no_camera.text) == ("problem", f"{node} gives no pictures")
        assert refused.text == f"{node} may not be used by user {NOBODY}"
        assert "DEPLOY_VIDEO_GROUP=4242" in refused.command

    def test_who_uses_a_camera_is_found(self, tmp_path: Path) -> None:
        held = tmp_path / "video0"
        held.touch()
        program = "import sys, time; file = open(sys.argv[1]); print('open', flush=True); time.sleep(600)"
        with subprocess.Popen(
            [sys.executable, "-c", program, str(held), "emotion-edge", "capture"], stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            found = camera.holders_of(held)
            holder.kill()
        assert [one.pid for one in found] == [holder.pid]
        assert found[0].is_ours

    def test_passwords_of_an_address_are_not_shown(self) -> None:
        told = doctor("capture", EMOTION_SOURCE=f"rtsp://me:{SECRET}@127.0.0.1:{free_port()}/x?token={SECRET}")
        assert len(told.problems("camera")) == 1
        too_long = doctor("capture", EMOTION_SOURCE=f"rtsp://me:{SECRET}@camera/" + "x" * 3000)
        assert too_long.problems("settings") == ["the settings of capture do not fit"]

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        assert len(doctor("capture", EMOTION_SOURCE=str(tmp_path / "none.mp4")).problems("camera")) == 1


class TestSettings:
    def test_a_misspelt_one_and_one_that_does_not_fit(self) -> None:
        told = doctor("capture", "classifier", EMOTION_DEVCE="x", EMOTION_FPS="many")
        assert [one["text"] for one in told.of("settings", "warning")] == ["EMOTION_DEVCE is read by nobody"]
        assert told.problems("settings") == ["the settings of capture do not fit"]
        assert told.of("model", "ok"), "the classifier's own are looked at all the same"

    def test_a_service_that_there_is_none_of(self) -> None:
        result = subprocess.run(
            [sys.executable, "-m", "services.main", "doctor", "nothing"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 1
        assert "expected one of capture" in result.stderr


EDGE_LACKS: Final = ("alembic", "fastapi", "sqlalchemy", "asyncpg", "jinja2", "cryptography")
CLOUD_LACKS: Final = ("cv2", "numpy", "ai_edge_litert", "cryptography")


@pytest.mark.parametrize(
    ("service", "lacks"),
    [
        ("capture", (*EDGE_LACKS, "ai_edge_litert", "skimage")),
        ("classifier", EDGE_LACKS),
        ("ingest", (*CLOUD_LACKS, "fastapi", "jinja2")),
        ("web", (*CLOUD_LACKS, "alembic")),
    ],
)
def test_in_an_image_it_knows_the_service_and_needs_no_package_of_another(service: str, lacks: tuple[str, ...]) -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({lacks!r}))  # as if they were not installed\n"
        "from services.doctor.main import run_doctor\nrun_doctor((), as_json=True)"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(result.stdout)
    assert told["services"] == [service]
    assert not [one for one in told["findings"] if one["text"] in ("could not be checked", "cannot be looked at")]


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"status": "not ready", "service": "ingest", "missing": {"database": "away"}}).encode()
        self.send_response(503)
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def web_server() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_what_a_running_service_says_of_itself_is_told(web_server: int) -> None:
    (found,) = health.look("ingest", "0.0.0.0", web_server)
    assert (found.level, found.text) == ("problem", "ingest runs and is not ready: database")
    (other,) = health.look("classifier", "127.0.0.1", web_server)
    assert other.level == "warning"


def test_a_web_server_tells_the_time(web_server: int) -> None:
    there = clock.http_time("127.0.0.1", web_server)
    assert there is not None
    assert clock.compared(datetime.now(UTC), there, "it").level == "ok"
    assert clock.http_time("127.0.0.1", free_port()) is None
