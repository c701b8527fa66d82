import re

import pytest
from pydantic import Field

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
