"""Twelve hours without a link, at a hundredth of the real rate: nothing lost, in order, live data not held up."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from services.classifier.delivery_settings import OutboxSettings, UplinkSettings
from services.classifier.outbox import Outbox, open_outbox
from services.classifier.outbox_file import Kind
from services.classifier.relay import Relay
from services.classifier.uplink import Uplink
from services.embedded import free_port
from shared.db.migrate import upgrade
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.settings import DatabaseSettings, HealthSettings, MqttSettings
from tests.conftest import Mosquitto
from tests.integration.delivery import (
    DEVICE,
    detection,
    frame,
    ingest,
    ingest_settings,
    is_ready,
    put_frames,
    rows_of,
    stop,
    until,
)

HOURS = 12
DETECTIONS = 2160
DETECTIONS_A_FRAME = 25


async def be_offline(outbox: Outbox, detections: int = DETECTIONS) -> tuple[list[UUID], list[UUID]]:
    """Fill the outbox as in twelve hours up to now; return the ids that it kept."""
    began = datetime.now(UTC) - timedelta(hours=HOURS)
    kept: list[UUID] = []
    frames: list[UUID] = []
    for number in range(detections):
        if number % DETECTIONS_A_FRAME == 0:
            frame_id, jpeg = frame()
            if await outbox.put_frame(frame_id, jpeg):
                frames.append(frame_id)
        one = detection(number, faces=1, captured_at=began + timedelta(hours=HOURS) * number / detections)
        if await outbox.put_detection(one.event_id, one.to_json()):
            kept.append(one.event_id)
    return kept, frames


@contextlib.asynccontextmanager
async def device_between(outbox: Outbox, local: MqttSettings, cloud: MqttSettings) -> AsyncIterator[Uplink]:
    """Uplink and relay of a device with a broker of its own, connected."""
    metrics = Metrics("classifier")
    links = MqttLink(local), MqttLink(cloud)
    uplink = Uplink(UplinkSettings(resend_after_s=1.0), outbox, links[1], cloud.topics, DEVICE, metrics)
    relay = Relay(*links, local.topics, cloud.topics, DEVICE, metrics)
    works = (links[0].run, links[1].run, uplink.run, relay.run)
    tasks = [asyncio.create_task(work()) for work in works]
    try:
        for link in links:
            await link.connected.wait()
        yield uplink
    finally:
        await stop(*tasks)


def in_flight(uplink: Uplink) -> int:
    return int(uplink.status_values()["uplink_in_flight"] or 0)


@contextlib.asynccontextmanager
async def connected(link: MqttLink) -> AsyncIterator[MqttLink]:
    task = asyncio.create_task(link.run())
    try:
        await link.connected.wait()
        yield link
    finally:
        await stop(task)


async def test_twelve_hours_drain_in_order_while_live_data_passes(
    mqtt_settings: MqttSettings, own_mosquitto: Mosquitto, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    await upgrade(database_settings)
    local, cloud = own_mosquitto.settings, mqtt_settings
    passed: list[bytes] = []
    screen = MqttLink(cloud)
    screen.subscribe(cloud.topics.live(DEVICE), lambda _, payload: passed.append(payload))
    async with (
        open_outbox(tmp_path / "outbox.db", OutboxSettings(), Metrics("classifier")) as outbox,
        connected(screen),
        connected(MqttLink(local)) as camera,
    ):
        events, frames = await be_offline(outbox)
        assert len(events) == DETECTIONS
        async with device_between(outbox, local, cloud) as uplink:
            # The cloud stores nothing yet: the window is full and stays so, and live data passes all the same.
            await until(lambda: in_flight(uplink) == UplinkSettings().window)
            await camera.publish(local.topics.live(DEVICE), b"behind a full window")
            await until(lambda: b"behind a full window" in passed)
            assert outbox.depth().detections == DETECTIONS
        health = HealthSettings(port=free_port())
        async with ingest(ingest_settings(cloud, database_settings, health=health)):
            await until(lambda: is_ready(health))
            async with rows_of(database_settings) as rows, device_between(outbox, local, cloud):
                await until(lambda: outbox.depth().detections < DETECTIONS)
                await camera.publish(local.topics.live(DEVICE), b"beside a drain")
                await until(lambda: b"beside a drain" in passed)
                await until(lambda: outbox.depth().detections == outbox.depth().frames == 0)
                stored = await rows.all("SELECT event_id FROM detections ORDER BY received_at, seq")
                assert [row[0] for row in stored] == events
                assert sorted(await rows.ids("frames")) == sorted(frames)
                days = await rows.all("SELECT DISTINCT captured_at::date FROM detections")
                partitions = await rows.all("SELECT DISTINCT tableoid FROM detections")
                assert len(days) == len(partitions)


async def test_live_data_waits_behind_a_bounded_part_of_what_is_sent(own_mosquitto: Mosquitto, tmp_path: Path) -> None:
    mqtt = own_mosquitto.settings
    metrics = Metrics("classifier")
    order: list[int] = []
    watcher = MqttLink(mqtt)  # QoS 0, so that what comes is in the order in which the broker took it
    watcher.subscribe(mqtt.topics.frames(DEVICE, "+"), lambda _, payload: order.append(len(payload)))
    watcher.subscribe(mqtt.topics.live(DEVICE), lambda _, payload: order.append(0))
    async with connected(watcher), open_outbox(tmp_path / "outbox.db", OutboxSettings(), metrics) as outbox:
        link = MqttLink(mqtt)
        uplink = Uplink(UplinkSettings(window=1000), outbox, link, mqtt.topics, DEVICE, metrics)
        async with connected(link):
            own_mosquitto.signal(signal.SIGSTOP)
            await put_frames(outbox, 100)
            sending = asyncio.create_task(uplink.run())
            await until(lambda: in_flight(uplink) == 100)
            live = asyncio.create_task(link.publish(mqtt.topics.live(DEVICE), b"now"))
            await asyncio.sleep(0)
            own_mosquitto.signal(signal.SIGCONT)
            await live
            await until(lambda: 0 in order)
            assert sum(order[: order.index(0)]) <= 300_000
            await until(lambda: len(order) == 101)
            await stop(sending)


async def test_outage_beyond_the_quota_costs_the_oldest_frames_then_new_detections_and_all_is_counted(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    await upgrade(database_settings)
    metrics = Metrics("classifier")
    async with open_outbox(tmp_path / "outbox.db", OutboxSettings(max_mb=2), metrics) as outbox:
        first, frames = await be_offline(outbox, 1000)
        # The frames have paid for it so far, the oldest first.
        left = [item.id for item in await outbox.after(Kind.FRAME, 0, 1000, 10**9)]
        assert len(first) == 1000
        assert left == frames[len(frames) - len(left) :]
        assert 0 < len(left) < len(frames) == 40
        assert outbox.evicted_frames == outbox.dropped_frames == 40 - len(left)
        more, later = await be_offline(outbox, 2000)
        assert outbox.depth().frames == 0
        assert 0 < outbox.dropped_detections == 2000 - len(more)
        assert outbox.dropped_frames == 40 + 80
        assert outbox.evicted_frames == 40 + len(later)
        assert outbox.depth().detections == len(first) + len(more)
        link = MqttLink(mqtt_settings)
        uplink = Uplink(UplinkSettings(resend_after_s=1.0), outbox, link, mqtt_settings.topics, DEVICE, metrics)
        health = HealthSettings(port=free_port())
        async with ingest(ingest_settings(mqtt_settings, database_settings, health=health)), connected(link):
            await until(lambda: is_ready(health))
            sending = asyncio.create_task(uplink.run())
            await until(lambda: outbox.depth().detections == 0)
            await stop(sending)
        async with rows_of(database_settings) as rows:
            assert sorted(await rows.ids("detections")) == sorted(first + more)
            assert await rows.ids("frames") == []
