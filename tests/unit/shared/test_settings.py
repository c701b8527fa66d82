import re
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import Field

from shared import settings as settings_module
from shared.errors import SettingsError
from shared.messages import DEVICE_PATTERN
from shared.settings import MqttSettings, ServiceSettings, default_device_name, load


class Example(ServiceSettings):
    """Settings of a service that exists in this test only."""

    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    fps: int = Field(default=15, ge=1)


def test_values_come_from_the_environment_with_groups_by_double_underscore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_MQTT__HOST", "broker.example")
    monkeypatch.setenv("EMOTION_FPS", "7")
    settings = load(Example)
    assert (settings.mqtt.host, settings.fps) == ("broker.example", 7)


def test_a_bad_value_is_told_with_its_variable_and_what_was_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_MQTT__PORT", "99999")
    monkeypatch.setenv("EMOTION_FPS", "fast")
    with pytest.raises(SettingsError, match=r"EMOTION_MQTT__PORT is '99999'.*65535") as caught:
        load(Example)
    assert "EMOTION_FPS is 'fast'" in str(caught.value)


@pytest.mark.parametrize("host", ["", "broker..example.org", "b" * 64 + ".example.org", "a\0b"])
def test_a_host_that_cannot_be_looked_up_is_told(host: str) -> None:
    with pytest.raises(SettingsError, match=r"EMOTION_MQTT__HOST is .*expected a host name"):
        load(Example, mqtt={"host": host})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "broker", "broker.example.org.", "bücher.example", "under_score"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert load(Example, mqtt={"host": host}).mqtt.host == host


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_MQTT__PASSWORD", "s3cret")
    settings = load(Example)
    assert "s3cret" not in repr(settings)
    assert settings.mqtt.password is not None
    monkeypatch.setenv("EMOTION_MQTT__PORT", "x")
    with pytest.raises(SettingsError) as caught:
        load(Example)
    assert "s3cret" not in str(caught.value)


def test_a_misspelt_setting_of_a_group_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_MQTT__HSOT", "x")
    with pytest.raises(SettingsError, match="HSOT"):
        load(Example)


def test_certificates_without_tls_are_refused() -> None:
    with pytest.raises(SettingsError, match="set tls to true"):
        load(Example, mqtt={"ca_file": "ca.pem"})


def test_the_default_device_name_is_a_valid_one() -> None:
    assert re.match(DEVICE_PATTERN, default_device_name())


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder in which Compose puts secrets."""
    monkeypatch.setattr(settings_module, "SECRETS_DIR", tmp_path)
    return tmp_path


def test_a_password_comes_from_a_file_of_its_variables_name(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "emotion_mqtt__password").write_text("s3cret\n")
    (secrets / "ca.pem").write_text("another program's")
    monkeypatch.setenv("EMOTION_MQTT__HOST", "broker.example")
    mqtt = load(Example).mqtt
    assert mqtt.password is not None
    assert (mqtt.host, mqtt.password.get_secret_value()) == ("broker.example", "s3cret")
    monkeypatch.setenv("EMOTION_MQTT__PASSWORD", "newer")
    mqtt = load(Example).mqtt
    assert mqtt.password is not None
    assert mqtt.password.get_secret_value() == "newer"


def test_a_secret_that_is_not_text_is_told(secrets: Path) -> None:
    (secrets / "emotion_mqtt__password").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is not text"):
        load(Example)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EMOTION_MQTT__PASWORD", "s3cret"),
        ("EMOTION_MQTT", '{"password": "s3cret"'),
        ("EMOTION_MQTT", '{"password": {"is": "s3cret"}}'),
        ("EMOTION_MQTT__HOST__X", "s3cret"),
        ("EMOTION_FPS", "rtsp://me:s3cret@camera/1"),
    ],
)
def test_a_secret_in_a_setting_that_does_not_fit_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load(Example)
    assert "s3cret" not in str(caught.value)


def test_settings_come_from_a_file_too_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "emotion.env"
    file.write_text("EMOTION_MQTT__PASSWORD=s3cret\nEMOTION_MQTT__PORT=8883\nEMOTION_OTHER_SERVICE=1\n")
    monkeypatch.setitem(Example.model_config, "env_file", file)
    monkeypatch.setenv("EMOTION_MQTT__PORT", "1884")
    mqtt = load(Example).mqtt
    assert mqtt.password is not None
    assert (mqtt.password.get_secret_value(), mqtt.port) == ("s3cret", 1884)


def test_a_settings_file_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "emotion.env"
    file.write_text("EMOTION_FPS=7\n")
    monkeypatch.setitem(Example.model_config, "env_file", file)

    def refused(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pydantic_settings.sources.providers.dotenv.dotenv_values", refused)
    with pytest.raises(SettingsError, match=r"settings cannot be read: .*Permission denied"):
        load(Example)
