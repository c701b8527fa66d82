"""Two stacks, for the tests that need a Docker engine: `make test-compose` runs them, `make test` the others."""

import os
import re
import socket
import time
from collections.abc import Iterator
from typing import Final

import pytest

from services.embedded import free_port
from tests.compose.stack import PUBLIC_NAME, TARGETS, VERSION, Stack, build
from tests.conftest import ROOT, from_shelf

_WITH_ENGINE: Final = bool(os.environ.get("COMPOSE_TESTS"))
collect_ignore = [] if _WITH_ENGINE else [f"test_{what}.py" for what in ("coming_up", "images", "life", "one_machine")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that images and containers were not tested, where they were not: nobody should take silence for a yes."""
    if not _WITH_ENGINE:
        terminalreporter.section("NOT TESTED: images and containers", red=True, bold=True)
        terminalreporter.line("No image was built and no container was started. Where there is a Docker engine:")
        terminalreporter.line("    make test-compose")


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
    said = stack.script("deploy/setup", host, PUBLIC_NAME)
    found = re.search(r"as admin, with the password (\S+)", said)
    assert found, said
    stack.env["TEST_PASSWORD"] = found[1]
    began = time.monotonic()
    try:
        stack.begin()
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
        stack.begin()
        print(f"the edge was up after {time.monotonic() - began:.0f} s")
        yield stack
    finally:
        stack.down()
