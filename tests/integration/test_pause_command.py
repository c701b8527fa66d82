"""`emotion-edge pause` and `resume` at a device, beside a running capture."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.capture.pause import HERE
from services.main import app
from services.pause import answer, run_pause
from shared.errors import SettingsError
from shared.messages import Problem, Status
from shared.settings import MqttSettings
from tests.integration.test_capture_service import DEVICE, FakeCamera, capturing, settings
from tests.support.patience import WAIT_S


@pytest.fixture
def at_the_device(
    monkeypatch: pytest.MonkeyPatch, mqtt_settings: MqttSettings, tmp_path: Path
) -> Callable[[bool], None]:
    """The command as a person gives it: settings come from the environment."""
    for name, value in {
        "EMOTION_DEVICE": DEVICE,
        "EMOTION_DATA_DIR": str(tmp_path),
        "EMOTION_MQTT__PORT": str(mqtt_settings.port),
        "EMOTION_MQTT__TOPIC_PREFIX": mqtt_settings.topic_prefix,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("services.pause._ANSWER_S", WAIT_S)
    monkeypatch.setattr("services.pause.logs.setup", lambda *_: None)  # it is for a whole process
    return lambda pause: run_pause(pause=pause)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without capture's log."""
    lines = capsys.readouterr().out.splitlines()
    return "\n".join(line for line in lines if not line[:1].isdigit())


async def test_the_command_says_what_capture_did(
    mqtt_settings: MqttSettings,
    tmp_path: Path,
    at_the_device: Callable[[bool], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    camera = FakeCamera()
    async with capturing(settings(mqtt_settings, "0", data_dir=tmp_path), camera.open) as watcher:
        await watcher.frame()
        await asyncio.to_thread(at_the_device, True)
        assert said(capsys) == "Paused. The camera is released."
        assert camera.closed.is_set()
        await asyncio.to_thread(at_the_device, True)
        assert said(capsys) == "Paused. The camera is released."
        await asyncio.to_thread(at_the_device, False)
        assert said(capsys) == "Resumed."
        await watcher.wish(paused=True)
        await watcher.status(lambda status: status.values["paused_by"] == "dashboard")
        await asyncio.to_thread(at_the_device, False)
        assert "still paused from the dashboard" in said(capsys)
    assert camera.openings == 2


async def test_without_a_running_capture_the_mark_is_set_all_the_same(
    tmp_path: Path,
    at_the_device: Callable[[bool], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.pause._ANSWER_S", 0.2)
    await asyncio.to_thread(at_the_device, True)
    assert "Capture was not heard" in said(capsys)
    assert (tmp_path / HERE).exists()


def test_a_folder_that_cannot_be_written_is_told(
    at_the_device: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMOTION_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(SettingsError, match="expected the folder that capture uses"):
        at_the_device(True)


def test_a_camera_that_was_not_let_go_is_not_called_released() -> None:
    problem = Problem(title="The camera may still be on")
    status = Status(device="d", service="capture", state="paused", at=datetime.now(UTC), problems=(problem,))
    assert answer(status, pause=True) == "Paused, but the camera may still be on: unplug it."
    assert {"pause", "resume"} <= {command.callback.__name__ for command in app.registered_commands if command.callback}
