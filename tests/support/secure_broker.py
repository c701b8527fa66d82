"""The cloud's broker as it is deployed: a real Mosquitto under deploy/mosquitto/cloud, with its own authority."""

import getpass
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from services.certs import Certificates
from services.device import PasswordFile, user_of
from services.embedded import free_port
from shared.settings import MqttSettings
from tests.support.patience import WAIT_S

DEPLOYED: Final = Path(__file__).resolve().parents[2] / "deploy" / "mosquitto" / "cloud"
HOST: Final = "localhost"
OBSERVER: Final = "observer"


class SecureBroker:
    """Mosquitto with the configuration of the deployment; only its folders, port and user are this machine's.

    Beside the services' users there is `observer`, who reads everything and writes nothing.

    Args:
        changes: of the configuration: the line that begins with a key, also as a comment, becomes `key value`.
        without: lines left out of the access rules.
        made_at: when the certificates are made.
    """

    def __init__(
        self,
        folder: Path,
        changes: dict[str, str] | None = None,
        *,
        without: str | None = None,
        made_at: datetime | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.certificates = Certificates(folder / "secrets", made_at)
        self.certificates.make([HOST])
        self.passwords = PasswordFile(folder / "secrets" / "broker" / "passwords")
        self.ca_file = folder / "secrets" / "broker" / "ca.pem"
        self.log_file = folder / "mosquitto.log"
        self.pid_file = folder / "mosquitto.pid"
        self._logins = {user: self.passwords.add(user) for user in (user_of("ingest"), user_of("web"), OBSERVER)}
        (folder / "data").mkdir(parents=True)
        rules = (DEPLOYED / "acl").read_text().splitlines()
        assert without is None or without in rules
        rules = [line for line in rules if line != without]
        rules += [f"user {OBSERVER}", "topic read #", "topic read $SYS/#"]
        (folder / "acl").write_text("\n".join(rules) + "\n")
        text = (
            (DEPLOYED / "mosquitto.conf")
            .read_text()
            .replace("/mosquitto/config/", f"{folder}/")
            .replace("/mosquitto/secrets/", f"{folder}/secrets/broker/")
            .replace("/mosquitto/data/", f"{folder}/data/")
        )
        own = {"listener": f"{self.port} 127.0.0.1"} | (changes or {})
        lines = [_changed(line, own) for line in text.splitlines()]
        lines += [f"user {getpass.getuser()}", f"pid_file {self.pid_file}"]
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def add_device(self, name: str) -> MqttSettings:
        """Give a device its credentials; the broker has to be started, or told, after this."""
        self._logins[name] = self.passwords.add(name)
        return self.settings(name)

    def settings(self, user: str) -> MqttSettings:
        """How `user` connects."""
        return MqttSettings(
            host=HOST,
            port=self.port,
            tls=True,
            ca_file=self.ca_file,
            username=user,
            password=SecretStr(self._logins[user]),
        )

    def service(self, name: str) -> MqttSettings:
        """How one of the cloud's services connects."""
        return self.settings(user_of(name))

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if program is None:
            raise FileNotFoundError("mosquitto is not installed; `make test` installs it")
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("mosquitto did not start: " + self.log_file.read_text()) from None
                time.sleep(0.02)
            else:
                return

    def tell_to_reload(self) -> None:
        """What `docker compose kill -s HUP` does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def serial_served(self) -> int:
        """The serial number of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=self.ca_file)
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as encrypted,
        ):
            shown = encrypted.getpeercert()
            assert shown is not None
            return int(str(shown["serialNumber"]), 16)


def _changed(line: str, changes: dict[str, str]) -> str:
    key = line.removeprefix("#").split(" ", 1)[0]
    return f"{key} {changes[key]}" if key in changes else line


@contextmanager
def secure_broker(
    folder: Path,
    *devices: str,
    changes: dict[str, str] | None = None,
    without: str | None = None,
    made_at: datetime | None = None,
) -> Iterator[SecureBroker]:
    """A running broker that lets `devices` and the services in."""
    broker = SecureBroker(folder, changes, without=without, made_at=made_at)
    for device in devices:
        broker.add_device(device)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
