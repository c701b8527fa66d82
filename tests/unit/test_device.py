"""Credentials of devices: the password file and the settings that go to the device."""

import base64
import hashlib
import os
import re
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.certs import Certificates
from services.classifier.settings import ClassifierSettings
from services.device import DeviceError, PasswordFile, add_device, hashed, reload_broker
from services.ingest.settings import IngestSettings
from services.main import app
from shared.settings import load


@pytest.fixture
def passwords(tmp_path: Path) -> PasswordFile:
    return PasswordFile(tmp_path / "broker" / "passwords")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_entry_is_pbkdf2_of_the_password_with_a_salt_of_its_own() -> None:
    entry = hashed("secret")
    _, kind, iterations, salt, digest = entry.split("$")
    assert kind == "7"
    expected = hashlib.pbkdf2_hmac("sha512", b"secret", base64.b64decode(salt), int(iterations))
    assert base64.b64decode(digest) == expected
    assert hashed("secret") != entry


def test_passwords_are_strong_and_never_the_same_and_not_in_the_file(passwords: PasswordFile) -> None:
    made = {passwords.add(f"d{number}") for number in range(20)}
    assert len(made) == 20
    assert min(len(password) for password in made) >= 32
    text = passwords.path.read_text()
    assert not any(password in text for password in made)
    assert mode(passwords.path) == 0o600


def test_a_device_that_is_there_is_not_given_another_password(passwords: PasswordFile) -> None:
    passwords.add("lab")
    before = passwords.path.read_bytes()
    with pytest.raises(DeviceError, match="'lab' has a password already"):
        passwords.add("lab")
    assert passwords.path.read_bytes() == before


def test_removing_takes_one_and_leaves_the_others_as_they_are(passwords: PasswordFile) -> None:
    for name in ("a", "b", "c"):
        passwords.add(name)
    a, _, c = passwords.path.read_text().splitlines()
    passwords.remove("b")
    assert passwords.path.read_text().splitlines() == [a, c]
    with pytest.raises(DeviceError, match=r"no device 'b' in .*; those there: a, c"):
        passwords.remove("b")


def test_changes_at_the_same_time_lose_none(passwords: PasswordFile) -> None:
    names = [f"d{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: PasswordFile(passwords.path).add(name), names))
    assert passwords.devices() == sorted(names)
    assert sorted(path.name for path in passwords.path.parent.iterdir()) == ["passwords", "passwords.lock"]


def test_a_file_of_another_kind_is_not_touched(passwords: PasswordFile) -> None:
    passwords.path.parent.mkdir()
    passwords.path.write_text("a:$7$101$x$y\n# a comment\n")
    with pytest.raises(DeviceError, match=r"line 2 of .* is no entry"):
        passwords.add("lab")
    assert passwords.path.read_text() == "a:$7$101$x$y\n# a comment\n"


@pytest.mark.parametrize("name", ["", "Lab", "a b", "a/b", "a:b", "_web", "+", "#", "x" * 33, "lab\n", "ä"])
def test_what_no_device_can_be_called_is_refused(passwords: PasswordFile, name: str) -> None:
    with pytest.raises(DeviceError, match="cannot be a device's name; expected 1 to 32 small letters"):
        add_device(passwords, name, None, host="h", port=1, ca="EMOTION_CLOUD__CA_FILE=c")
    assert not passwords.path.exists()


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    if arguments[0] == "add" and "--ca-file" not in arguments:
        arguments = (*arguments, "--ca-file", "ca.pem")
    result = CliRunner().invoke(app, ["device", *arguments, "--folder", str(folder)])
    return result.exit_code, result.output


def environment(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"EMOTION_[A-Z_]+=", line))


def test_the_settings_that_are_printed_are_those_the_classifier_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = tmp_path / "ca.pem"
    code, said = run(tmp_path, "add", "lab-jetson", "--host", "cloud.example.org", "--ca-file", str(ca))
    assert code == 0
    for name, value in environment(said).items():
        monkeypatch.setenv(name, value)
    settings = load(ClassifierSettings)
    assert settings.device == "lab-jetson"
    assert settings.cloud is not None
    assert (settings.cloud.host, settings.cloud.port, settings.cloud.tls) == ("cloud.example.org", 8883, True)
    assert (settings.cloud.username, settings.cloud.ca_file) == ("lab-jetson", ca)
    assert settings.cloud.password is not None
    assert settings.cloud.password.get_secret_value() in said


def test_the_authority_stands_in_the_settings_so_that_a_device_needs_one_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["device", "add", "lab", "--host", "h", "--folder", str(tmp_path)])
    assert result.exit_code == 1
    assert "`emotion-edge certs make` makes it" in result.output
    Certificates(tmp_path).make(["h"])
    result = CliRunner().invoke(app, ["device", "add", "lab", "--host", "h", "--folder", str(tmp_path)])
    assert result.exit_code == 0, "nothing was changed before"
    pem = (tmp_path / "broker" / "ca.pem").read_text()
    assert ssl.PEM_cert_to_DER_cert(pem) == base64.b64decode(environment(result.output)["EMOTION_CLOUD__CA"])


def test_a_file_of_settings_is_for_its_owner_alone_and_nothing_is_printed_or_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "lab.env"
    code, said = run(tmp_path, "add", "lab", "--host", "h", "--env-file", str(path))
    assert code == 0
    assert mode(path) == 0o600
    assert environment(path.read_text())["EMOTION_CLOUD__PASSWORD"] not in said
    before = path.read_bytes()
    code, said = run(tmp_path, "add", "other", "--host", "h", "--env-file", str(path))
    assert (code, "is there already and is not overwritten" in said) == (1, True)
    assert path.read_bytes() == before
    assert "other" not in run(tmp_path, "list")[1]


def test_a_file_that_cannot_be_written_adds_no_device(tmp_path: Path) -> None:
    code, said = run(tmp_path, "add", "lab", "--host", "h", "--env-file", str(tmp_path / "no" / "lab.env"))
    assert (code, "'lab' was not added" in said) == (1, True)
    assert "No device" in run(tmp_path, "list")[1]


def test_the_services_get_passwords_of_their_own_and_are_no_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, "services", "--host", "broker")[0] == 0
    ingest, web = (environment((tmp_path / f"{name}.env").read_text()) for name in ("ingest", "web"))
    assert (ingest["EMOTION_MQTT__USERNAME"], web["EMOTION_MQTT__USERNAME"]) == ("_ingest", "_web")
    assert ingest["EMOTION_MQTT__PASSWORD"] != web["EMOTION_MQTT__PASSWORD"]
    assert mode(tmp_path / "ingest.env") == mode(tmp_path / "web.env") == 0o600
    assert "No device" in run(tmp_path, "list")[1]
    for name, value in ingest.items():
        monkeypatch.setenv(name, value)
    assert re.fullmatch(r"ingest-[0-9a-f]{16}", load(IngestSettings).shared_group)
    assert run(tmp_path, "services", "--host", "broker")[0] == 0  # new ones
    assert environment((tmp_path / "web.env").read_text())["EMOTION_MQTT__PASSWORD"] != web["EMOTION_MQTT__PASSWORD"]


def test_the_commands_add_list_and_remove(tmp_path: Path) -> None:
    for name in ("b", "a"):
        assert run(tmp_path, "add", name, "--host", "h")[0] == 0
    assert run(tmp_path, "list")[1] == "a\nb\n"
    code, said = run(tmp_path, "remove", "a")
    assert (code, "still logged in" in said, "SIGHUP" in said) == (0, True, True)
    assert run(tmp_path, "list")[1] == "b\n"
    assert run(tmp_path, "remove", "a")[0] == 1


@pytest.mark.parametrize("content", ["", "no number", "999999999"])
def test_a_pid_file_of_no_broker_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pid"
    path.write_text(content)
    with pytest.raises(DeviceError, match="cannot be told"):
        reload_broker(path)


def test_a_process_that_is_no_broker_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(str(os.getpid()))
    with pytest.raises(DeviceError, match="not mosquitto; nothing was done"):
        reload_broker(path)
