"""Who may log in to the cloud's broker: Mosquitto's password file, and the settings that go to a device.

A line of the file is `user:$7$iterations$salt$hash`: PBKDF2 with SHA-512, salt and hash in base64, as
`mosquitto_passwd` of Mosquitto 2.0 writes it. The passwords are made here, 192 random bits each, so that no number of
iterations could matter; Mosquitto's own 101 keep the broker's one thread free, which works them out at every login.
"""

import base64
import fcntl
import hashlib
import os
import re
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.private_files import private_folder, replace_file
from shared.errors import EmotionEdgeError
from shared.messages import DEVICE_PATTERN
from shared.paths import unusable

SERVICES: Final = ("ingest", "web")
"""The cloud's services that log in. Their user names begin with an underscore, which no device's can."""
_ITERATIONS: Final = 101
_SALT_BYTES: Final = 12
_PASSWORD_BYTES: Final = 24


class DeviceError(EmotionEdgeError):
    """Credentials cannot be made or taken back. The text says why and what to do."""


class PasswordFile:
    """Mosquitto's password file: read, changed under a lock, and replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def devices(self) -> list[str]:
        """The names of the devices that may log in.

        Raises:
            DeviceError: if the file cannot be read.
        """
        return sorted(user for user in self._read() if re.fullmatch(DEVICE_PATTERN, user))

    def add(self, user: str) -> str:
        """Let `user` in; return the password, which is kept nowhere else.

        Raises:
            DeviceError: if there is such a user already, or the file cannot be changed.
        """
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        with self._locked() as entries:
            if user in entries:
                raise DeviceError(
                    f"{user!r} has a password already, which cannot be shown again; take it back first with "
                    f"`emotion-edge device remove {user}`"
                )
            entries[user] = hashed(password)
        return password

    def set(self, user: str) -> str:
        """Give `user` a new password, whether there was one or not; return it.

        Raises:
            DeviceError: if the file cannot be changed.
        """
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        with self._locked() as entries:
            entries[user] = hashed(password)
        return password

    def remove(self, user: str) -> None:
        """Let `user` in no more, from when the broker reads the file again.

        Raises:
            DeviceError: if there is no such user, or the file cannot be changed.
        """
        with self._locked() as entries:
            if user not in entries:
                known = ", ".join(self.devices()) or "none"
                raise DeviceError(f"there is no device {user!r} in {self.path}; those there: {known}")
            del entries[user]

    @contextmanager
    def _locked(self) -> Iterator[dict[str, str]]:
        """What the file holds, to be changed; written when the block ends without an error."""
        try:
            private_folder(self.path.parent)
            # A file of its own: the password file is replaced, and a lock on it would be on the one that is gone.
            handle = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._cannot("be changed", error) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            entries = self._read()
            yield entries
            text = "".join(f"{user}:{entry}\n" for user, entry in entries.items())
            try:
                replace_file(self.path, text.encode())
            except OSError as error:
                raise self._cannot("be changed", error) from None
        finally:
            os.close(handle)

    def _read(self) -> dict[str, str]:
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise self._cannot("be read", error) from None
        entries: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            user, colon, entry = line.partition(":")
            if not user or not colon or not entry:
                raise DeviceError(
                    f"line {number} of {self.path} is no entry of Mosquitto's password file; expected user:$7$…"
                )
            entries[user] = entry
        return entries

    def _cannot(self, what: str, error: Exception) -> DeviceError:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return DeviceError(f"{self.path} cannot {what} ({reason}); expected the password file of the cloud's broker")


def hashed(password: str) -> str:
    """The entry of a password, with a new salt."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def checked_name(name: str) -> str:
    """`name`, if a device can have it.

    Raises:
        DeviceError: if not.
    """
    if not re.fullmatch(DEVICE_PATTERN, name):
        raise DeviceError(
            f"{name!r} cannot be a device's name; expected 1 to 32 small letters, digits and hyphens, "
            "for example lab-jetson"
        )
    return name


def user_of(service: str) -> str:
    """The broker's user name of one of the cloud's services."""
    return f"_{service}"


def device_environment(name: str, password: str, *, host: str, port: int, ca: str) -> str:
    """All that device `name` is told, as a file of settings; `ca` is the line that names the authority it trusts."""
    return (
        f"EMOTION_DEVICE={name}\n"
        "# Where frames come from: a camera (0, /dev/video1), rtsp://user:password@host/path, a file, gst:PIPELINE\n"
        "EMOTION_SOURCE=0\n"
        f"EMOTION_CLOUD__HOST={host}\n"
        f"EMOTION_CLOUD__PORT={port}\n"
        "EMOTION_CLOUD__TLS=true\n"
        f"{ca}\n"
        f"EMOTION_CLOUD__USERNAME={name}\n"
        f"EMOTION_CLOUD__PASSWORD={password}\n"
    )


def service_environment(service: str, password: str, *, host: str, port: int, ca_file: str) -> str:
    """The settings that let one of the cloud's services reach the broker, as a file of environment variables."""
    return (
        f"EMOTION_MQTT__HOST={host}\n"
        f"EMOTION_MQTT__PORT={port}\n"
        "EMOTION_MQTT__TLS=true\n"
        f"EMOTION_MQTT__CA_FILE={ca_file}\n"
        f"EMOTION_MQTT__USERNAME={user_of(service)}\n"
        f"EMOTION_MQTT__PASSWORD={password}\n" + (_shared_group() if service == "ingest" else "")
    )


def _shared_group() -> str:
    # Access rules do not reach the name of a shared subscription: Mosquitto would give a device that joins ingest's
    # group its share of all messages, and drop each as forbidden. So the name is one that no device can know.
    return f"EMOTION_SHARED_GROUP=ingest-{secrets.token_hex(8)}\n"


def trusted_authority(certificate: Path, ca_file: str | None) -> str:
    """The setting by which a device trusts the cloud: the path of a file on the device, or else the certificate itself.

    Raises:
        DeviceError: if the certificate cannot be read.
    """
    if ca_file is not None:
        return f"EMOTION_CLOUD__CA_FILE={ca_file}"
    try:
        lines = certificate.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DeviceError(
            f"the authority's certificate {certificate} cannot be read ({reason}); `emotion-edge certs make` makes it, "
            "or name with --ca-file where the device has it"
        ) from None
    return "EMOTION_CLOUD__CA=" + "".join(line for line in lines if not line.startswith("-----"))


def add_device(passwords: PasswordFile, name: str, env_file: Path | None, *, host: str, port: int, ca: str) -> str:
    """Let device `name` in; return its settings, and write them to `env_file` where one is named.

    Raises:
        DeviceError: nothing was changed.
    """
    checked_name(name)
    if env_file is not None:
        _refuse_to_overwrite(env_file)
    password = passwords.add(name)
    text = device_environment(name, password, host=host, port=port, ca=ca)
    if env_file is not None:
        try:
            replace_file(env_file, text.encode())
        except OSError as error:
            passwords.remove(name)
            raise DeviceError(f"{env_file} cannot be written ({error.strerror}); {name!r} was not added") from None
    return text


def add_services(passwords: PasswordFile, folder: Path, *, host: str, port: int, ca_file: str) -> list[Path]:
    """Give each of the cloud's services a new password, and write its settings to `folder`; return the files.

    Raises:
        DeviceError: if a file cannot be written; running it again gives all of them new passwords.
    """
    written = []
    for service in SERVICES:
        path = folder / f"{service}.env"
        password = passwords.set(user_of(service))
        text = service_environment(service, password, host=host, port=port, ca_file=ca_file)
        try:
            replace_file(path, text.encode())
        except OSError as error:
            raise DeviceError(f"{path} cannot be written ({error.strerror}); mend it and run this again") from None
        written.append(path)
    return written


def reload_broker(pid_file: Path) -> None:
    """Have Mosquitto read its passwords and certificates again; it ends the sessions of who may no longer log in.

    Raises:
        DeviceError: if the file does not name a running Mosquitto.
    """
    try:
        pid = int(pid_file.read_text())
        program = Path(f"/proc/{pid}/comm").read_text().strip()
        if program != "mosquitto":
            raise DeviceError(f"{pid_file} names process {pid}, which is {program}, not mosquitto; nothing was done")
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError) as error:
        why = unusable(pid_file, error, "expected the number of a process")
        raise DeviceError(
            f"the broker cannot be told: {why.rstrip('.')}. Send it SIGHUP, or it reads the change at its next "
            "start only"
        ) from None


def _refuse_to_overwrite(path: Path) -> None:
    if path.exists():
        raise DeviceError(f"{path} is there already and is not overwritten; name another file or move it away")
