"""The one connection to a broker, against a real Mosquitto."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import Any

import pytest
from paho.mqtt.enums import MQTTErrorCode

from services.embedded import embedded_broker, free_port
from shared.errors import SettingsError
from shared.mqtt import MqttLink, NotConnected, Will
from shared.settings import MqttSettings
from tests.conftest import Mosquitto
from tests.support.patience import STOPS_WITHIN_S, WAIT_S


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


@pytest.mark.parametrize("embedded", [False, True])
async def test_what_the_broker_had_kept_is_told_apart_from_what_is_published_now(
    mqtt_settings: MqttSettings, *, embedded: bool
) -> None:
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(embedded_broker(free_port())) if embedded else mqtt_settings
        topic = f"{mqtt_settings.topic_prefix}/a/status/capture"
        sender = MqttLink(settings)
        await stack.enter_async_context(running(sender))
        await sender.publish(topic, b"before", qos=1, retain=True)
        got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        link = MqttLink(settings)
        link.subscribe(
            topic,
            lambda _, payload: got.put_nowait(("now", payload)),
            qos=1,
            on_kept=lambda _, payload: got.put_nowait(("kept", payload)),
        )
        await stack.enter_async_context(running(link))
        assert await got.get() == ("kept", b"before")
        await sender.publish(topic, b"after", qos=1, retain=True)
        assert await got.get() == ("now", b"after")


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


async def test_a_connection_that_breaks_while_a_message_goes_out_leaves_other_sockets_alone(
    mqtt_settings: MqttSettings,
) -> None:
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    link = MqttLink(mqtt_settings)
    async with running(link):
        client = link._client
        assert client is not None
        sock = client._client.socket()
        assert sock is not None
        number = sock.fileno()
        sending = asyncio.create_task(link.publish(f"{mqtt_settings.topic_prefix}/x", b"", qos=1))
        with closing(socket.socket()) as other:
            await asyncio.sleep(0)  # it has asked that the socket be waited for
            client._client._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
            os.dup2(other.fileno(), number)  # the next to be opened gets the number that is free
            await asyncio.sleep(0)
            waited_for = loop.remove_writer(number)
            os.close(number)
        with pytest.raises(NotConnected):
            await sending
    assert not waited_for
    assert not complaints


class Silent:
    """A server that takes a connection and says nothing."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[MqttSettings]:
        """Settings that lead to it; a client that is left alone keeps its connection for ten minutes."""
        async with await asyncio.start_server(self._listen, "127.0.0.1", 0) as server:
            yield MqttSettings(port=server.sockets[0].getsockname()[1], keepalive_s=600)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        self.asked.set()
        await reader.read()
        self.hung_up.set()
        writer.close()


async def test_a_broker_that_never_answers_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.mqtt._CONNECT_TIMEOUT_S", 0.05)
    broker = Silent()
    async with broker.serving() as settings, asyncio.timeout(WAIT_S):
        task = asyncio.create_task(MqttLink(settings).run())
        await broker.hung_up.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_link_that_is_stopped_while_it_waits_for_an_answer_hangs_up() -> None:
    broker = Silent()
    async with broker.serving() as settings, asyncio.timeout(WAIT_S):
        task = asyncio.create_task(MqttLink(settings).run())
        await broker.asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await broker.hung_up.wait()


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
