"""The one connection to a broker, against a real Mosquitto."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.errors import SettingsError
from shared.mqtt import MqttLink, NotConnected, Will
from shared.settings import MqttSettings
from tests.conftest import Mosquitto
from tests.support.patience import STOPS_WITHIN_S


@asynccontextmanager
async def running(*links: MqttLink) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(link.run()) for link in links]
    try:
        for link in links:
            await link.connected.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_published_is_handed_to_the_matching_handlers_in_order(mqtt_settings: MqttSettings) -> None:
    got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    prefix = mqtt_settings.topic_prefix
    link = MqttLink(mqtt_settings)
    link.subscribe(f"{prefix}/+/live", lambda topic, payload: got.put_nowait((topic, payload)), qos=1)
    async with running(link):
        for number in range(50):
            await link.publish(f"{prefix}/a/live", str(number).encode(), qos=1)
        assert [(await got.get())[1] for _ in range(50)] == [str(n).encode() for n in range(50)]


async def test_publishing_without_a_connection_says_so() -> None:
    link = MqttLink(MqttSettings(port=1))
    with pytest.raises(NotConnected, match=r"no connection to the broker at 127\.0\.0\.1:1"):
        await link.publish("x", b"")


async def test_the_will_is_published_when_the_client_vanishes(mqtt_settings: MqttSettings) -> None:
    topic = f"{mqtt_settings.topic_prefix}/d/status/capture"
    got: asyncio.Queue[bytes] = asyncio.Queue()
    watcher = MqttLink(mqtt_settings)
    watcher.subscribe(topic, lambda _, payload: got.put_nowait(payload), qos=1)
    doomed = MqttLink(mqtt_settings, will=Will(topic, b"offline"))
    async with running(watcher):
        task = asyncio.create_task(doomed.run())
        await doomed.connected.wait()
        client = doomed._client
        assert client is not None
        client._client._sock_close()  # the socket vanishes without a goodbye
        assert await got.get() == b"offline"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_link_comes_back_by_itself_and_subscribes_again(own_mosquitto: Mosquitto) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()
    link = MqttLink(own_mosquitto.settings)
    link.subscribe("x", lambda _, payload: got.put_nowait(payload), qos=1)
    reconnected = asyncio.Event()
    link.on_connect(lambda: reconnected.set() if link.connections > 1 else None)
    async with running(link):
        await asyncio.to_thread(own_mosquitto.kill)
        await asyncio.to_thread(own_mosquitto.start)
        await reconnected.wait()
        await link.publish("x", b"again", qos=1)
        assert await got.get() == b"again"


def test_a_certificate_that_cannot_be_read_is_told() -> None:
    with pytest.raises(SettingsError, match=r"cannot be used \(/nowhere/ca\.pem does not exist"):
        MqttLink(MqttSettings(tls=True, ca_file="/nowhere/ca.pem"))  # type: ignore[arg-type]  # pydantic makes it a Path


def test_an_authority_that_is_none_is_told_at_the_start() -> None:
    with pytest.raises(SettingsError, match="the authority itself in ca"):
        MqttLink(MqttSettings(tls=True, ca="AAAA"))


async def test_a_publisher_that_is_cancelled_stops_even_while_its_message_goes_out(mqtt_settings: MqttSettings) -> None:
    link = MqttLink(mqtt_settings)

    async def flood() -> None:
        while True:
            await link.publish(f"{mqtt_settings.topic_prefix}/x", b"")

    async with running(link):
        for turns in range(300):
            task = asyncio.create_task(flood())
            for _ in range(turns % 50):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=STOPS_WITHIN_S)
            assert done, "the cancellation was lost"
