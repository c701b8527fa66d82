"""Outbox and uplink against a real Mosquitto and a hand-written cloud that confirms as each test wants."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from services.classifier.delivery_settings import OutboxSettings, UplinkSettings
from services.classifier.outbox import Outbox, open_outbox
from services.classifier.uplink import Uplink
from shared.messages import encode_ack
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.settings import MqttSettings
from tests.conftest import Mosquitto
from tests.support.patience import WAIT_S

DEVICE = "edge-1"


@dataclass
class Cloud:
    """Records what comes, and confirms it if `confirms` says so."""

    link: MqttLink
    settings: MqttSettings
    confirms: Callable[[UUID], bool] = lambda _: True
    order: list[tuple[str, UUID]] = field(default_factory=list)
    times: Counter[UUID] = field(default_factory=Counter)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def receive(self, topic: str, payload: bytes) -> None:
        kind = "frame" if "/frames/" in topic else "detection"
        item_id = UUID(topic.rsplit("/", 1)[1]) if kind == "frame" else UUID(payload[:36].decode())
        self.order.append((kind, item_id))
        self.times[item_id] += 1
        self.came.set()
        if self.confirms(item_id):
            self.confirm([item_id])

    def confirm(self, ids: list[UUID]) -> None:
        task = asyncio.create_task(self._confirm(ids))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _confirm(self, ids: list[UUID]) -> None:
        await self.link.publish(self.settings.topics.ack(DEVICE), encode_ack(ids), qos=1)

    async def has(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.times) < count:
                self.came.clear()
                await self.came.wait()


@contextlib.asynccontextmanager
async def cloud_at(settings: MqttSettings) -> AsyncIterator[Cloud]:
    link = MqttLink(settings)
    cloud = Cloud(link, settings)
    topics = settings.topics
    link.subscribe(topics.detections("+"), cloud.receive, qos=1)
    link.subscribe(topics.frames("+", "+"), cloud.receive, qos=1)
    running = asyncio.create_task(link.run())
    await asyncio.wait_for(link.connected.wait(), WAIT_S)
    yield cloud
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def uplink_to(
    settings: MqttSettings, outbox: Outbox, uplink_settings: UplinkSettings, metrics: Metrics | None = None
) -> AsyncIterator[Uplink]:
    link = MqttLink(settings)
    uplink = Uplink(uplink_settings, outbox, link, settings.topics, DEVICE, metrics or Metrics("classifier"))
    running = [asyncio.create_task(link.run()), asyncio.create_task(uplink.run())]
    yield uplink
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


async def put(outbox: Outbox, count: int, *, frames: bool = False) -> list[UUID]:
    ids = [uuid4() for _ in range(count)]
    if frames:
        await asyncio.gather(*(outbox.put_frame(i, bytes(30_000)) for i in ids))
    else:
        await asyncio.gather(*(outbox.put_detection(i, str(i).encode() + b" " * 1000) for i in ids))
    return ids


async def test_what_was_put_arrives_in_order_and_leaves_when_confirmed(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    async with (
        cloud_at(mqtt_settings) as cloud,
        open_outbox(tmp_path / "o.db", OutboxSettings(), Metrics("classifier")) as outbox,
    ):
        before = await put(outbox, 300)
        async with uplink_to(mqtt_settings, outbox, UplinkSettings(window=50, resend_after_s=600)):
            after = await put(outbox, 300)
            await cloud.has(600)
            await until(lambda: outbox.depth().detections == 0)
        assert [item_id for _, item_id in cloud.order] == before + after
        assert set(cloud.times.values()) == {1}


async def test_nothing_leaves_the_outbox_without_confirmation(mqtt_settings: MqttSettings, tmp_path: Path) -> None:
    async with (
        cloud_at(mqtt_settings) as cloud,
        open_outbox(tmp_path / "o.db", OutboxSettings(), Metrics("classifier")) as outbox,
    ):
        cloud.confirms = lambda _: False
        ids = await put(outbox, 100)
        async with uplink_to(mqtt_settings, outbox, UplinkSettings(window=30, resend_after_s=600)) as uplink:
            await cloud.has(30)
            assert uplink.status_values()["uplink_in_flight"] == 30
            assert outbox.depth().detections == 100
            cloud.confirms = lambda _: True
            cloud.confirm(ids[:30])
            await until(lambda: outbox.depth().detections == 0)
        assert set(cloud.times.values()) == {1}


async def test_unconfirmed_is_sent_again_after_a_time(mqtt_settings: MqttSettings, tmp_path: Path) -> None:
    metrics = Metrics("classifier")
    async with (
        cloud_at(mqtt_settings) as cloud,
        open_outbox(tmp_path / "o.db", OutboxSettings(), metrics) as outbox,
    ):
        cloud.confirms = lambda item_id: cloud.times[item_id] >= 3
        ids = await put(outbox, 5)
        async with uplink_to(mqtt_settings, outbox, UplinkSettings(resend_after_s=0.2), metrics):
            await until(lambda: outbox.depth().detections == 0)
        assert set(cloud.times) == set(ids)
        assert all(times >= 3 for times in cloud.times.values())
        resent = metrics.registry.get_sample_value("emotion_classifier_uplink_resent_total")
        assert resent is not None
        assert resent >= 10


async def test_unknown_and_unreadable_confirmations_are_counted_and_harm_nothing(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    metrics = Metrics("classifier")
    async with (
        cloud_at(mqtt_settings) as cloud,
        open_outbox(tmp_path / "o.db", OutboxSettings(), metrics) as outbox,
        uplink_to(mqtt_settings, outbox, UplinkSettings(), metrics) as uplink,
    ):
        await until(lambda: uplink.status_values()["uplink_connected"] is True)
        for payload in (b"", b"{", b'["x"]', b"[1]", b"{}", b"\xff"):
            await cloud.link.publish(mqtt_settings.topics.ack(DEVICE), payload, qos=1)
        cloud.confirm([uuid4()])
        await put(outbox, 10)
        await until(lambda: outbox.depth().detections == 0)

        def value(name: str) -> float | None:
            return metrics.registry.get_sample_value(f"emotion_classifier_{name}_total")

        await until(lambda: value("uplink_acked_unknown") == 1)
        assert value("uplink_bad_acks") == 6
        await until(lambda: value("uplink_acked") == 10)


async def test_pictures_that_are_not_confirmed_do_not_hold_up_detections(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    async with (
        cloud_at(mqtt_settings) as cloud,
        open_outbox(tmp_path / "o.db", OutboxSettings(), Metrics("classifier")) as outbox,
    ):
        frames = await put(outbox, 50, frames=True)
        cloud.confirms = lambda item_id: item_id not in frames
        async with uplink_to(mqtt_settings, outbox, UplinkSettings(window=20)):
            await put(outbox, 200)
            await until(lambda: outbox.depth().detections == 0)
            assert outbox.depth().frames == 50
            cloud.confirms = lambda _: True
            cloud.confirm(frames)
            await until(lambda: outbox.depth().frames == 0)


async def test_restarted_program_sends_what_was_unconfirmed(mqtt_settings: MqttSettings, tmp_path: Path) -> None:
    async with cloud_at(mqtt_settings) as cloud:
        cloud.confirms = lambda _: False
        async with open_outbox(tmp_path / "o.db", OutboxSettings(), Metrics("classifier")) as outbox:
            ids = await put(outbox, 20)
            async with uplink_to(mqtt_settings, outbox, UplinkSettings()):
                await cloud.has(20)
        cloud.confirms = lambda _: True
        async with open_outbox(tmp_path / "o.db", OutboxSettings(), Metrics("classifier")) as outbox:
            assert outbox.depth().detections == 20
            async with uplink_to(mqtt_settings, outbox, UplinkSettings()):
                await until(lambda: outbox.depth().detections == 0)
        assert set(cloud.times) == set(ids)


async def test_broker_killed_midway_loses_nothing(own_mosquitto: Mosquitto, tmp_path: Path) -> None:
    settings = own_mosquitto.settings
    async with (
        cloud_at(settings) as cloud,
        open_outbox(tmp_path / "o.db", OutboxSettings(), Metrics("classifier")) as outbox,
        uplink_to(settings, outbox, UplinkSettings(window=50, resend_after_s=1.0)),
    ):
        ids = await put(outbox, 300)
        await cloud.has(60)
        await asyncio.to_thread(own_mosquitto.kill)
        ids += await put(outbox, 300)
        await asyncio.to_thread(own_mosquitto.start)
        await until(lambda: outbox.depth().detections == 0)
        assert set(cloud.times) == set(ids)


async def test_message_that_the_broker_hangs_up_at_does_not_stop_the_others(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, "max_packet_size 20000")
    await asyncio.to_thread(broker.start)
    try:
        async with (
            cloud_at(broker.settings) as cloud,
            open_outbox(tmp_path / "o.db", OutboxSettings(), Metrics("classifier")) as outbox,
        ):
            first = await put(outbox, 20)
            await put(outbox, 1, frames=True)
            last = await put(outbox, 20)
            async with uplink_to(broker.settings, outbox, UplinkSettings()) as uplink:
                await until(lambda: outbox.depth().detections == 0)
                assert uplink.status_values()["uplink_parked"] == 1
                assert [problem.title for problem in uplink.problems()] == [
                    "The cloud's broker hangs up at some messages"
                ]
            assert set(cloud.times) == {*first, *last}
            assert outbox.depth().frames == 1
    finally:
        broker.kill()
