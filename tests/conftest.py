"""Fixtures that every kind of test shares: the reference shelf, a real Mosquitto, a real Postgres."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from services.embedded import embedded_postgres, free_port
from shared.settings import DatabaseSettings, MqttSettings
from tests.support.patience import WAIT_S

ROOT = Path(__file__).resolve().parents[1]
SHELF = ROOT.parent / "shared"
"""Clips, data and third-party model files that are never committed; CI has it beside the checkout."""

# A pause of the machine in one example is no defect of what it shows.
hypothesis.settings.register_profile("any machine", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("any machine")

_MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def from_shelf(name: str) -> Path:
    """A file of the reference shelf; skips the test where there is none, fails it where there has to be one."""
    path = SHELF / name
    if not path.exists():
        message = f"needs {name} of the reference shelf, expected at {path}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real footage."""
    return from_shelf("clips")


@pytest.fixture(scope="session")
def head_pose_clip(clips: Path) -> Path:
    """Two people close up, turning their heads; two faces in every frame."""
    return clips / "head-pose-face-detection-female-and-male.gif"


@pytest.fixture(scope="session")
def walking_clip(clips: Path) -> Path:
    """People walking towards the camera."""
    return clips / "face-demographics-walking.gif"


@pytest.fixture(scope="session")
def yunet_file() -> Path:
    """The YuNet face detector."""
    return from_shelf("models/face_detection_yunet_2023mar.onnx")


class Mosquitto:
    """A real Mosquitto on the loopback address that a test can kill and start again."""

    def __init__(self, folder: Path, extra_config: str = "") -> None:
        self.settings = MqttSettings(host="127.0.0.1", port=free_port())
        self._folder = folder
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.settings.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n{extra_config}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert _MOSQUITTO is not None
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([_MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                asyncio.run(_knock(self.settings.port))
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail("mosquitto did not start: " + (self._folder / "mosquitto.log").read_text())
                time.sleep(0.02)
            else:
                return

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


async def _knock(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()


@pytest.fixture(scope="session")
def mosquitto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """One Mosquitto for all tests of a run; each test uses its own topic prefix."""
    if _MOSQUITTO is None:
        pytest.fail("mosquitto is not installed; `make test` installs it, or: apt-get install mosquitto")
    server = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A Mosquitto for one test, which may kill it."""
    if _MOSQUITTO is None:
        pytest.fail("mosquitto is not installed; `make test` installs it, or: apt-get install mosquitto")
    server = Mosquitto(tmp_path)
    server.start()
    yield server
    server.kill()


_prefix_number = 0


@pytest.fixture
def mqtt_settings(mosquitto_server: Mosquitto) -> MqttSettings:
    """A connection to the run's Mosquitto under a topic prefix that no other test uses."""
    global _prefix_number
    _prefix_number += 1
    return mosquitto_server.settings.model_copy(update={"topic_prefix": f"t{os.getpid()}-{_prefix_number}"})


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseSettings]:
    """One real Postgres for all tests of a run."""
    # Its socket's path must be short, so pytest's own deep folders do not do.
    context = embedded_postgres(tmp_path_factory.mktemp("pg") / "data")
    loop = asyncio.new_event_loop()
    settings = loop.run_until_complete(context.__aenter__())
    loop.run_until_complete(_without_autovacuum(settings))
    yield settings
    loop.run_until_complete(context.__aexit__(None, None, None))
    loop.close()


async def _without_autovacuum(settings: DatabaseSettings) -> None:
    """It takes locks and counts rows when it likes."""
    import asyncpg

    connection = await asyncpg.connect(settings.url.get_secret_value())
    await connection.execute("ALTER SYSTEM SET autovacuum = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest.fixture
async def database_settings(postgres_server: DatabaseSettings) -> AsyncIterator[DatabaseSettings]:
    """An empty database of its own for each test, without tables."""
    import asyncpg
    from pydantic import SecretStr

    global _prefix_number
    _prefix_number += 1
    name = f"t{_prefix_number}"
    url = postgres_server.url.get_secret_value()
    admin = await asyncpg.connect(url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    try:
        yield DatabaseSettings(url=SecretStr(url.replace("/postgres?", f"/{name}?")))
    finally:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()


@pytest.fixture
async def no_leftover_tasks() -> AsyncIterator[None]:
    """Fails a test whose service leaves tasks behind."""
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()]
    assert not left, f"left running: {left}"
