"""`emotion-edge pause` and `resume`, given at the device: set or lift the mark, then hear what capture did."""

import asyncio
import contextlib
from typing import Final

from services.capture.pause import HERE, set_mark
from services.capture.report import SERVICE
from shared import logs
from shared.errors import BadMessage, SettingsError
from shared.messages import Status, decode
from shared.mqtt import MqttLink
from shared.settings import EdgeSettings, load

_ANSWER_S: Final = 5.0
_STILL: Final = ("paused", "finished")


def run_pause(*, pause: bool) -> None:
    """Set or lift this device's own pause, and tell on standard output what came of it.

    Raises:
        SettingsError: if the data folder cannot be written.
    """
    settings = load(EdgeSettings)
    logs.setup(settings.log.model_copy(update={"level": "error"}), "pause")
    try:
        set_mark(settings.data_dir, HERE, there=pause)
    except OSError as error:
        raise SettingsError(
            f"the mark in data_dir {settings.data_dir} cannot be changed ({error.strerror}); expected the folder that "
            "capture uses (EMOTION_DATA_DIR), and the right to write it"
        ) from None
    print(answer(asyncio.run(_hear(settings, pause=pause)), pause=pause))


def answer(status: Status | None, *, pause: bool) -> str:
    """What to tell a person, by the status that capture came to; None: it was not heard."""
    if status is None:
        what = "will not open the camera while this device is paused" if pause else "goes on when it is started"
        return (
            f"{'Paused' if pause else 'No longer paused'} here. Capture was not heard: if it does not run, it {what}."
        )
    released = not any("may still be on" in problem.title for problem in status.problems)
    if pause:
        return "Paused. The camera is released." if released else "Paused, but the camera may still be on: unplug it."
    if status.values.get("paused_by") is not None:
        return "No longer paused here, but still paused from the dashboard: it can be resumed there."
    return "Resumed."


async def _hear(settings: EdgeSettings, *, pause: bool) -> Status | None:
    """The status with which capture answers to the mark; None if none comes in time."""
    heard: asyncio.Future[Status] = asyncio.get_running_loop().create_future()

    def on_status(topic: str, payload: bytes) -> None:
        with contextlib.suppress(BadMessage):
            status = decode(Status, topic, payload)
            marked = "device" in str(status.values.get("paused_by")).split()
            if status.state == "offline" or heard.done() or marked != pause or (pause and status.state not in _STILL):
                return
            heard.set_result(status)

    link = MqttLink(settings.mqtt)
    link.subscribe(settings.mqtt.topics.status(settings.device, SERVICE), on_status, qos=1)
    linking = asyncio.create_task(link.run(), name="broker")
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await heard
    except TimeoutError:
        return None
    finally:
        linking.cancel()
        await asyncio.wait([linking])
