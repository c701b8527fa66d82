"""Everything between a camera and the database as real processes: producer, link, broker, ingest, Postgres.

    producer ── TLS ──▶ link ──▶ Mosquitto ──▶ ingest ──▶ Postgres

Each server keeps its files on a small disk of its own where this user may mount one.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from pydantic import SecretStr

from services.embedded import free_port
from shared.db.migrate import upgrade
from shared.settings import DatabaseSettings, HealthSettings, MqttSettings
from tests.chaos.certificates import Certificates
from tests.chaos.ledger import settle
from tests.chaos.link import Link, open_link
from tests.chaos.producer import OUTBOX_FILE
from tests.chaos.programs import Program, running
from tests.integration.delivery import is_ready, until
from tests.support.disks import NoSmallDisk, small_disk
from tests.support.patience import WAIT_S

DEVICE: Final = "edge-1"
OUTBOX_DISK_MB: Final = 24
BROKER_DISK_MB: Final = 2
POSTGRES_DISK_MB: Final = 160
_STARTS_WITHIN_S: Final = 120.0


class CannotRun(Exception):
    """Something that the harness needs is not there."""


class Clock:
    """The time of day of one program, by libfaketime; what counts seconds (the monotonic clock) is left alone."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0.0)

    def set(self, hours: float) -> None:
        """Let the clock be `hours` off."""
        self._file.write_text(f"{hours * 3600:+.0f}")

    @property
    def environment(self) -> dict[str, str]:
        """What the program is to be started with."""
        return {
            "LD_PRELOAD": str(_faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Its remedy for older C libraries makes every timed wait on a lock 50 ms longer than it should be.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }


class Stack:
    """What runs, and what can be done to it. Made by `stack`."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self.outbox = folder / "outbox" / OUTBOX_FILE
        self.broker_files = folder / "broker"
        self.postgres_files = folder / "postgres"
        self.ledger = folder / "ledger"
        self.go = folder / "go"
        self.small_disks = False
        self.mqtt = MqttSettings(port=free_port())
        self.clocks = {name: Clock(folder / f"{name}.clock") for name in ("producer", "ingest")}
        self.certificates = Certificates(folder)
        self.link: Link
        self._link_port = free_port()
        self._tls_port = free_port()
        self._postgres_port = free_port()
        self._health = {name: HealthSettings(port=free_port()) for name in ("producer", "ingest")}
        self.database = DatabaseSettings(
            url=SecretStr(f"postgresql://postgres@127.0.0.1:{self._postgres_port}/postgres")
        )
        logging = {"EMOTION_LOG__LEVEL": "info", "EMOTION_LOG__FORMAT": "json"}
        self.producer = Program(
            "producer",
            [sys.executable, "-m", "tests.chaos.producer"],
            logs / "producer.log",
            environment=logging
            | self.clocks["producer"].environment
            | {
                "EMOTION_DEVICE": DEVICE,
                "EMOTION_DATA_DIR": str(self.outbox.parent),
                "EMOTION_LEDGER": str(self.ledger),
                "EMOTION_GO": str(self.go),
                "EMOTION_HEALTH__PORT": str(self._health["producer"].port),
                "EMOTION_MQTT__PORT": str(self._link_port),
                "EMOTION_MQTT__TLS": "true",
                "EMOTION_MQTT__CA_FILE": str(self.certificates.authority),
                "EMOTION_MQTT__KEEPALIVE_S": "5",
                "EMOTION_UPLINK__RESEND_AFTER_S": "2",
            },
            before_start=partial(settle, self.ledger, self.outbox),
        )
        self.ingest = Program(
            "ingest",
            [sys.executable, "-m", "services.main", "ingest"],
            logs / "ingest.log",
            environment=logging
            | self.clocks["ingest"].environment
            | {
                "EMOTION_MQTT__PORT": str(self.mqtt.port),
                "EMOTION_MQTT__KEEPALIVE_S": "5",
                "EMOTION_DATABASE__URL": self.database.url.get_secret_value(),
                "EMOTION_HEALTH__PORT": str(self._health["ingest"].port),
            },
        )
        config = folder / "mosquitto.conf"
        self.broker = Program("broker", [_program("mosquitto", "/usr/sbin"), "-c", str(config)], logs / "broker.log")
        self._config = config
        self.postgres = Program(
            "Postgres",
            [_postgres("postgres"), "-D", str(self.postgres_files / "data"), "-c", f"port={self._postgres_port}"],
            logs / "postgres.log",
            user=_postgres_user(),
        )

    def prepare(self) -> None:
        """Write what the servers read at their start."""
        self._config.write_text(
            f"""
{"user root" if os.geteuid() == 0 else ""}
allow_anonymous true
max_queued_messages 0
persistence true
persistence_location {self.broker_files}/
autosave_interval 1
listener {self.mqtt.port} 127.0.0.1
listener {self._tls_port} 127.0.0.1
certfile {self.certificates.server}
keyfile {self.certificates.key}
tls_version tlsv1.2
"""
        )
        user = _postgres_user()
        data = self.postgres_files / "data"
        data.mkdir()
        if user is not None:
            shutil.chown(data, user, user)
        command = [_postgres("initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync"]
        command += ["--wal-segsize=1", "--encoding=UTF8"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, group=user, cwd="/")
        with (data / "postgresql.conf").open("a") as config:
            config.write("listen_addresses='127.0.0.1'\nunix_socket_directories=''\n")
            config.write("shared_buffers=16MB\nmin_wal_size=2MB\nmax_wal_size=16MB\n")

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Keep everything running; returns when the first detections can be stored."""
        async with (
            open_link(self._link_port, self._tls_port) as self.link,
            running(self.postgres, self.broker, self.ingest, self.producer),
        ):
            await eventually(self._connects, "Postgres does not start")
            await upgrade(self.database)
            await eventually(partial(is_ready, self._health["ingest"]), "ingest does not become ready")
            await eventually(partial(is_ready, self._health["producer"]), "the producer does not become ready")
            yield

    async def waiting(self) -> int | None:
        """How many items the outbox holds, as the producer says; None while it does not answer."""
        try:
            async with httpx.AsyncClient(timeout=WAIT_S) as client:
                answer = await client.get(f"http://127.0.0.1:{self._health['producer'].port}/metrics")
        except httpx.TransportError:
            return None
        lines = [line for line in answer.text.splitlines() if line.startswith("emotion_classifier_outbox_items{")]
        return int(sum(float(line.rpartition(" ")[2]) for line in lines))

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask Postgres."""
        connection = await asyncpg.connect(self.database.url.get_secret_value())
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    async def _connects(self) -> bool:
        try:
            await self.rows("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True


@contextlib.asynccontextmanager
async def stack(folder: Path, logs: Path) -> AsyncIterator[Stack]:
    """Everything, running, with its files in `folder` and what it says in `logs`.

    Raises:
        CannotRun: if a program is missing, or something does not start.
    """
    folder.chmod(0o711)  # Postgres runs as another user than root, and its files are inside
    async with AsyncExitStack() as disks:
        made = Stack(folder, logs)
        places = {
            made.outbox.parent: OUTBOX_DISK_MB,
            made.broker_files: BROKER_DISK_MB,
            made.postgres_files: POSTGRES_DISK_MB,
        }
        for place, megabytes in places.items():
            try:
                disks.enter_context(small_disk(place, megabytes))
            except NoSmallDisk:
                break
        else:
            made.small_disks = True
        made.prepare()
        async with made.run():
            yield made


async def eventually(
    condition: Callable[[], Coroutine[Any, Any, bool]], otherwise: str, within_s: float = _STARTS_WITHIN_S
) -> None:
    """Wait until `condition` holds.

    Raises:
        CannotRun: saying `otherwise`, if it does not within so many seconds.
    """
    try:
        await until(condition, within_s)
    except TimeoutError:
        raise CannotRun(f"{otherwise} within {within_s:g} s") from None


def _postgres_user() -> str | None:
    """Postgres refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


def _program(name: str, folder: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + folder)
    if found is None:
        raise CannotRun(f"{name} is not installed; `make chaos` installs it as root")
    return found


def _postgres(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(versions[-1]) if versions else _program(name, "")


def _faketime() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise CannotRun("libfaketime is not installed; `make chaos` installs it as root")
    return found[0]
