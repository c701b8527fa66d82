"""What capture can be told."""

import pytest

from services.capture.settings import CaptureSettings
from shared.errors import SettingsError
from shared.settings import load


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in CaptureSettings.model_fields.values())


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_SOURCE", "/dev/video2")
    monkeypatch.setenv("EMOTION_PACE", "fast")
    monkeypatch.setenv("EMOTION_MQTT__PORT", "1884")
    monkeypatch.setenv("EMOTION_DATABASE__URL", "postgresql://of-another-service")
    settings = load(CaptureSettings)
    assert (settings.source, settings.pace, settings.mqtt.port) == ("/dev/video2", "fast", 1884)


def test_a_password_in_the_source_is_not_shown() -> None:
    assert "hunter2" not in repr(CaptureSettings(source="rtsp://admin:hunter2@cam/live"))


def test_a_setting_that_does_not_fit_is_told() -> None:
    with pytest.raises(SettingsError, match="EMOTION_JPEG_QUALITY is 101"):
        load(CaptureSettings, jpeg_quality=101)
