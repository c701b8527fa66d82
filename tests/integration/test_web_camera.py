"""A browser's pictures for a device, over a real broker: from one camera at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest

import services.web.camera_holds
from shared.messages import StatusValue
from shared.mqtt import MqttLink
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.accounts import add_person, logged_in
from tests.support.web import check_problem, records, running_web, web_settings

DEVICE = "phone"
PATH = f"/api/v1/devices/{DEVICE}/camera-frames"
JPEG = {"Content-Type": "image/jpeg"}


@asynccontextmanager
async def a_device_that_waits_for_a_browser(mqtt: MqttSettings) -> AsyncIterator[list[bytes]]:
    """Its capture as the broker knows it; gives the pictures that reach it."""
    taken: list[bytes] = []
    link = MqttLink(mqtt)
    link.subscribe(mqtt.topics.browser(DEVICE), lambda _, payload: taken.append(payload))
    task = asyncio.create_task(link.run())
    await link.connected.wait()
    values: dict[str, StatusValue] = {"source": "browser"}
    status = scenes.status(DEVICE, "capture").model_copy(update={"values": values})
    await link.publish(mqtt.topics.status(DEVICE, "capture"), status.to_json(), qos=1, retain=True)
    try:
        yield taken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def sent(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """The answer to a picture, once more where the last one was just before."""
    while True:
        more = {f"X-{name}": value for name, value in headers.items()}
        answer = await client.post(PATH, content=scenes.picture(), headers=JPEG | more)
        if answer.status_code != 429:
            return answer


async def test_two_browsers_do_not_become_one_recording(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.web.camera_holds, "HOLD_S", 60.0)  # however slow this machine is
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        for name in ("ada", "ben"):
            await add_person(engine, name, "researcher")
        settings = web_settings(mqtt_settings, database_settings, login="required")
        async with (
            a_device_that_waits_for_a_browser(mqtt_settings) as taken,
            running_web(settings) as base,
            logged_in(base, "ada") as first,
            logged_in(base, "ada") as same_person,
            logged_in(base, "ben") as another,
        ):

            async def known() -> bool:
                return (await sent(first)).status_code == 204

            await until(known)
            for _ in range(3):
                for other in (same_person, another):
                    problem = check_problem(await sent(other), 409, "in-use")
                    assert "ada" in problem["detail"]
                    assert "Stop the other camera" in problem["next_step"]
                check_problem(await sent(first, Camera="b"), 409, "in-use")  # another page of the same browser
                assert (await sent(first)).status_code == 204
            await until(lambda: len(taken) == 4)


async def test_the_next_camera_is_taken_when_the_first_has_stopped(
    mqtt_settings: MqttSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        a_device_that_waits_for_a_browser(mqtt_settings) as taken,
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as api,
    ):

        async def is_taken(camera: str) -> bool:
            return (await sent(api, Camera=camera)).status_code == 204

        await until(lambda: is_taken("a"))
        monkeypatch.setattr(services.web.camera_holds, "HOLD_S", 0.0)
        await until(lambda: is_taken("b"))
        await until(lambda: len(taken) == 2)
        check_problem(await sent(api, Camera="a b"), 422, "bad-parameters")
