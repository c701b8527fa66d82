"""A broker, a database and services as processes, for the time of a measurement."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from services.embedded import free_port
from shared.settings import MqttSettings


@contextmanager
def mosquitto(folder: Path) -> Iterator[MqttSettings]:
    """A Mosquitto on the loopback address."""
    program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        raise SystemExit("mosquitto is not installed: apt-get install mosquitto")
    settings = MqttSettings(port=free_port())
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {settings.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield settings
    finally:
        process.terminate()
        process.wait()


@contextmanager
def service(*arguments: str, env: dict[str, str], ready: str | None) -> Iterator[subprocess.Popen[bytes]]:
    """A command of `emotion-edge` as its own process; waits until `ready` (an address) answers 200."""
    process = subprocess.Popen(
        [sys.executable, "-m", "services.main", *arguments], env=os.environ | {"EMOTION_LOG__LEVEL": "warning"} | env
    )
    try:
        while ready is not None:
            if process.poll() is not None:
                raise SystemExit(f"emotion-edge {' '.join(arguments)} ended with {process.returncode}")
            try:
                if httpx.get(ready).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()
