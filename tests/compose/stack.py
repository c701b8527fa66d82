"""A stack as a person runs it: a copy of the checkout, its scripts, and Docker Compose."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import ROOT

VERSION: Final = "test"
"""`DEPLOY_VERSION` of the images that are tested."""
TARGETS: Final = ("proxy", "tools", "ingest", "web", "capture", "classifier")
"""The images that the stacks need."""
CLOUD: Final = {"broker-1", "postgres-1", "ingest-1", "web-1", "proxy-1"}
EDGE: Final = {"edge-broker-1", "capture-1", "classifier-1", "edge-web-1"}
"""What runs on each side, as `Stack.services` names it."""
PUBLIC_NAME: Final = "cloud.example.org"
"""What people call the cloud machine; here the browser and curl are told where that is."""
_CHECKOUT: Final = (
    ".dockerignore", ".env.example", ".npmrc", "Dockerfile", "LICENSE", "deploy", "docker-compose.jetson.yml",
    "docker-compose.yml", "models", "package-lock.json", "package.json", "requirements", "services", "shared",
    "training",
)  # fmt: skip


def run(*command: str, timeout_s: float = 600, **options: Any) -> str:
    """Run a command; its standard output. Fails the test with what it said."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s, **options)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return str(done.stdout)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 240) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {timeout_s:g} s still not: {what}")
        time.sleep(0.25)


def build(*targets: str) -> None:
    """Build images from this checkout, one after the other."""
    # As deploy/setup passes them, so that its builds find these in the engine's cache.
    settings = [f"--build-arg={name}={os.environ.get(name, '')}" for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")]
    for target in targets:
        tag = f"emotion-edge/{target}:{VERSION}"
        run("docker", "build", "-q", *settings, "--target", target, "-t", tag, ".", cwd=ROOT, timeout_s=3000)


def compose_command() -> list[str]:
    """Compose v2 where it is installed, else docker-compose."""
    done = subprocess.run(["docker", "compose", "version"], check=False, capture_output=True)
    return ["docker", "compose"] if done.returncode == 0 else ["docker-compose"]


class Stack:
    """One side, cloud or edge: a folder, a project of Compose, and the files that make it."""

    def __init__(self, folder: Path, project: str, files: list[str], env: dict[str, str]) -> None:
        self.folder = folder
        self.project = project
        self._files = [word for file in files for word in ("-f", file)]
        self.env = os.environ | env | {"COMPOSE_PROJECT_NAME": project}
        folder.mkdir()
        for name in _CHECKOUT:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "vendor", "detectors")
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy(source, folder / name)

    def compose(self, *arguments: str, timeout_s: float = 600) -> str:
        """Run Compose on this stack."""
        return run(*compose_command(), *self._files, *arguments, cwd=self.folder, env=self.env, timeout_s=timeout_s)

    def script(self, *command: str, **env: str) -> str:
        """Run one of deploy/'s scripts, as a person does."""
        return run(*command, cwd=self.folder, env=self.env | env, timeout_s=1800)

    def up(self, *arguments: str) -> None:
        """Start all, with the images that are there."""
        self.compose("up", "-d", "--no-build", *arguments)

    def begin(self) -> None:
        """Start all from nothing, and wait until they are ready. What a run that was cut off left goes first."""
        self._remove()
        self.up()
        self.wait_healthy()

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine says of each container, by its name without the project's."""
        ids = run("docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}").split()
        found = json.loads(run("docker", "inspect", *ids)) if ids else []
        return {
            f"{labels['com.docker.compose.service']}-{labels['com.docker.compose.container-number']}": container
            for container in found
            for labels in [container["Config"]["Labels"]]
            if labels["com.docker.compose.oneoff"] == "False"
        }

    def services(self) -> dict[str, dict[str, Any]]:
        """The containers that are meant to stay: without those that do one thing and end."""
        return {
            name: container
            for name, container in self.containers().items()
            if container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        }

    def healthy(self) -> bool:
        """Whether all services run and say that they are ready."""
        states = {name: one["State"] for name, one in self.services().items()}
        return bool(states) and all(s["Running"] and s["Health"]["Status"] == "healthy" for s in states.values())

    def wait_healthy(self) -> None:
        """Wait until all services are ready."""
        until(self.healthy, f"{self.project} is healthy")

    def execute(self, name: str, *command: str) -> str:
        """Run a command in the container `service-number`."""
        return run("docker", "exec", self.containers()[name]["Id"], *command)

    def down(self) -> None:
        """Remove containers, networks and volumes; say first what the services said, for a failed test's report."""
        print(self.compose("ps"))
        print(self.compose("logs", "--tail", "15"))
        self._remove()

    def _remove(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans")
