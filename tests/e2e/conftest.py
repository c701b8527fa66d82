"""The real thing as separate processes: services, Debian's Postgres, Mosquitto."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, expect

from services.embedded import free_port
from tests.conftest import ROOT
from tests.support.browser import chromium
from tests.support.patience import WAIT_S

Env = dict[str, str]

expect.set_options(timeout=WAIT_S * 1000)  # for what a page shows; its own are 5 s


class Program:
    """A service of ours running as its own process, its output in a file."""

    def __init__(self, arguments: list[str], env: Env, log: Path, health: str | None = None) -> None:
        self.log = log
        self.health = health
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.main", *arguments],
                env=os.environ | env,
                cwd=ROOT,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
            )

    def wait_ready(self, timeout_s: float = WAIT_S) -> None:
        """Wait until /readyz says ready."""
        assert self.health is not None
        deadline = time.monotonic() + timeout_s
        answer = "no answer"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                pytest.fail(f"it ended with {self.process.returncode}: {self.log.read_text()}")
            try:
                response = httpx.get(f"{self.health}/readyz")
            except httpx.TransportError as error:
                answer = repr(error)
            else:
                if response.status_code == 200:
                    return
                answer = response.text
            time.sleep(0.05)
        pytest.fail(f"not ready after {timeout_s} s: {answer}\n{self.log.read_text()}")

    def stop(self) -> tuple[int, float]:
        """SIGTERM; returns the exit code and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60), time.monotonic() - began


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A real Chromium for one test."""
    async with chromium() as opened:
        yield opened


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start a command of `emotion-edge`; whatever still runs at the end is killed."""
    running: list[Program] = []

    def begin(*arguments: str, env: Env, health: str | None = None) -> Program:
        program = Program(list(arguments), env, tmp_path / f"{arguments[0]}-{len(running)}.log", health)
        running.append(program)
        return program

    yield begin
    for program in running:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()


@pytest.fixture
def models_dir(tmp_path: Path, yunet_file: Path) -> Path:
    """The project's models with YuNet beside them, as `emotion-edge models fetch` would leave it."""
    folder = tmp_path / "models"
    shutil.copytree(ROOT / "models", folder, ignore=shutil.ignore_patterns("detectors"))
    (folder / "detectors").mkdir()
    shutil.copy(yunet_file, folder / "detectors" / yunet_file.name)
    return folder


@pytest.fixture(scope="session")
def debian_postgres() -> Iterator[str]:
    """A Postgres server from Debian's package on a TCP port; yields its address."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.fail("Debian's postgresql is not installed; `make test` installs it, or: apt-get install postgresql")
    initdb, pg_ctl = binaries[-1] / "initdb", binaries[-1] / "pg_ctl"
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user: str | None = None
    if os.geteuid() == 0:
        user = "postgres"
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    port = free_port()
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder)

    run(str(initdb), "-D", str(data), "-U", "emotion", "-A", "trust")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder}"
    run(str(pg_ctl), "-w", "-D", str(data), "-o", options, "-l", str(folder / "log"), "start")
    run(str(binaries[-1] / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "emotion", "emotion")
    yield f"postgresql://emotion@127.0.0.1:{port}/emotion"
    run(str(pg_ctl), "-w", "-m", "immediate", "-D", str(data), "stop")
    shutil.rmtree(folder)


@pytest.fixture
async def database(debian_postgres: str) -> AsyncIterator[Any]:
    """A connection to that server, to look at what is stored."""
    connection = await asyncpg.connect(debian_postgres)
    yield connection
    await connection.close()
