"""Two real brokers with the relay between them: what is forwarded, what is not, and that nothing circles."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.classifier.delivery_settings import OutboxSettings, UplinkSettings
from services.classifier.outbox import open_outbox
from services.classifier.relay import Relay, UplinkStatus, uplink_will
from services.classifier.uplink import Uplink
from shared.errors import SettingsError
from shared.messages import Desired, Status, decode
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.settings import MqttSettings
from tests.conftest import Mosquitto
from tests.integration.delivery import DEVICE, detection, stop, until
from tests.support.patience import WAIT_S


class Watcher:
    """A client of one broker that remembers what it saw, newest last, by topic's tail."""

    def __init__(self, settings: MqttSettings) -> None:
        self.settings = settings
        self.seen: dict[str, list[bytes]] = {}
        self.link = MqttLink(settings)
        self.link.subscribe(f"{settings.topic_prefix}/{DEVICE}/#", self._receive, qos=1)

    def _receive(self, topic: str, payload: bytes) -> None:
        self.seen.setdefault(topic.removeprefix(f"{self.settings.topic_prefix}/{DEVICE}/"), []).append(payload)

    def last(self, tail: str) -> bytes | None:
        return self.seen.get(tail, [None])[-1]

    async def publish(self, tail: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        topic = f"{self.settings.topic_prefix}/{DEVICE}/{tail}"
        await self.link.publish(topic, payload, qos=qos, retain=retain)


@dataclass
class Pair:
    local: Watcher
    cloud: Watcher
    cloud_link: MqttLink
    relay: Relay
    running: asyncio.Task[None]


@contextlib.asynccontextmanager
async def device_between(local: MqttSettings, cloud: MqttSettings, folder: Path) -> AsyncIterator[Pair]:
    metrics = Metrics("classifier")
    watchers = Watcher(local), Watcher(cloud)
    local_link = MqttLink(local)
    cloud_link = MqttLink(cloud, will=uplink_will(cloud.topics, DEVICE))
    async with open_outbox(folder / "o.db", OutboxSettings(), metrics) as outbox:
        one = detection()
        await outbox.put_detection(one.event_id, one.to_json())
        uplink = Uplink(UplinkSettings(), outbox, cloud_link, cloud.topics, DEVICE, metrics)
        relay = Relay(local_link, cloud_link, local.topics, cloud.topics, DEVICE, metrics)
        status = UplinkStatus(uplink, cloud_link, cloud.topics, DEVICE, relay.status_values)
        links = [w.link for w in watchers]
        tasks = [asyncio.create_task(link.run()) for link in links]
        await asyncio.gather(*(link.connected.wait() for link in links))
        running = asyncio.create_task(relay.run())
        tasks += [asyncio.create_task(work()) for work in (local_link.run, cloud_link.run, uplink.run)]
        said = asyncio.create_task(status.run())
        await asyncio.gather(local_link.connected.wait(), cloud_link.connected.wait())
        try:
            yield Pair(*watchers, cloud_link, relay, running)
        finally:
            await stop(said)
            await asyncio.gather(running, return_exceptions=True) if running.done() else await stop(running)
            await stop(*tasks)


@pytest.fixture
async def pair(mqtt_settings: MqttSettings, own_mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Pair]:
    async with device_between(own_mosquitto.settings, mqtt_settings, tmp_path) as made:
        yield made


def status(service: str, state: str = "online") -> bytes:
    return Status.model_validate(
        {"device": DEVICE, "service": service, "state": state, "at": datetime.now(UTC)}
    ).to_json()


async def test_live_preview_and_status_go_to_the_cloud(pair: Pair) -> None:
    await pair.local.publish("live", b"live 1", qos=0)
    await pair.local.publish("preview", b"jpeg", qos=0)
    await pair.local.publish("status/capture", status("capture"), retain=True)
    await until(lambda: pair.cloud.last("live") == b"live 1")
    await until(lambda: pair.cloud.last("preview") == b"jpeg")
    await until(lambda: pair.cloud.last("status/capture") is not None)


async def test_other_topics_stay_on_the_device(pair: Pair) -> None:
    await pair.local.publish("camera", b"picture", qos=0)
    await pair.local.publish("detections", b"not through here")
    await pair.local.publish("live", b"after them")
    await until(lambda: pair.cloud.last("live") == b"after them")
    assert "camera" not in pair.cloud.seen
    assert b"not through here" not in pair.cloud.seen.get("detections", [])


async def test_desired_comes_from_the_cloud_retained_and_only_once(pair: Pair) -> None:
    desired = Desired(device=DEVICE, paused=True).to_json()
    await pair.cloud.publish("desired", desired, retain=True)
    await pair.cloud.publish("desired", desired, retain=True)
    await pair.cloud.publish("desired", b"", retain=True)
    await until(lambda: pair.local.last("desired") == b"")
    assert pair.local.seen["desired"] == [desired, b""]


async def test_uplink_says_how_deep_the_outbox_is(pair: Pair) -> None:
    await until(lambda: pair.cloud.last("status/uplink") is not None)
    said = decode(Status, "", pair.cloud.last("status/uplink"))
    assert said.state == "online"
    assert said.values["outbox_detections"] == 1
    assert "status/uplink" not in pair.local.seen


async def test_device_that_vanishes_is_offline_in_the_cloud(pair: Pair) -> None:
    await until(lambda: pair.cloud.last("status/uplink") is not None)
    client = pair.cloud_link._client
    assert client is not None
    client._client._sock_close()  # the socket vanishes without a goodbye
    await until(lambda: any(decode(Status, "", s).state == "offline" for s in pair.cloud.seen["status/uplink"]))


async def test_device_that_stops_says_so(mqtt_settings: MqttSettings, own_mosquitto: Mosquitto, tmp_path: Path) -> None:
    watcher = Watcher(mqtt_settings)
    watching = asyncio.create_task(watcher.link.run())
    await watcher.link.connected.wait()
    async with device_between(own_mosquitto.settings, mqtt_settings, tmp_path):
        await until(lambda: watcher.last("status/uplink") is not None)
    await until(lambda: decode(Status, "", watcher.last("status/uplink")).state == "offline")
    await stop(watching)


async def test_statuses_are_said_again_when_the_cloud_comes_back(
    mqtt_settings: MqttSettings, own_mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with device_between(mqtt_settings, own_mosquitto.settings, tmp_path) as pair:
        said = status("capture")
        await pair.local.publish("status/capture", said, retain=True)
        await until(lambda: pair.cloud.last("status/capture") == said)
        await asyncio.to_thread(own_mosquitto.kill)
        pair.cloud.seen.clear()
        newer = status("capture", "degraded")
        await pair.local.publish("status/capture", newer, retain=True)
        await asyncio.to_thread(own_mosquitto.start)  # which has forgotten what was retained
        await until(lambda: pair.cloud.last("status/capture") == newer)


async def test_two_links_to_one_broker_are_refused_before_they_circle(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    async with device_between(mqtt_settings, mqtt_settings, tmp_path) as pair:
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(ExceptionGroup) as caught:
                await pair.running
    assert caught.group_contains(SettingsError, match="are the same one")
