"""A broker or a cloud that does not take what a device sends: the device notices, tells, and loses nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from pydantic import SecretStr

from services.classifier.delivery_settings import OutboxSettings, UplinkSettings
from services.classifier.outbox import Outbox, open_outbox
from services.classifier.uplink import Uplink
from services.device import reload_broker
from services.embedded import free_port
from shared.messages import encode_ack
from shared.metrics import Metrics
from shared.mqtt import MqttLink, NotConnected
from shared.mqtt_metrics import measure_links
from shared.settings import MqttSettings
from tests.conftest import Mosquitto
from tests.integration.delivery import DEVICE, detection, frame, put_detections, put_frames, stop, until
from tests.support.secure_broker import secure_broker

QUICK = UplinkSettings(resend_after_s=0.5)


@dataclass
class Device:
    """An edge device from its outbox on."""

    outbox: Outbox
    uplink: Uplink
    link: MqttLink
    metrics: Metrics

    def titles(self) -> list[str]:
        return [problem.title for problem in self.uplink.problems()]

    def metric(self, line: str) -> float:
        text = self.metrics.render().decode()
        return next(float(each.rpartition(" ")[2]) for each in text.splitlines() if each.startswith(line + " "))


@contextlib.asynccontextmanager
async def device_at(
    mqtt: MqttSettings, folder: Path, uplink: UplinkSettings = QUICK, name: str = DEVICE
) -> AsyncIterator[Device]:
    metrics = Metrics("classifier")
    async with open_outbox(folder / "o.db", OutboxSettings(), metrics) as outbox:
        link = MqttLink(mqtt)
        measure_links(metrics, {"cloud": link})
        sender = Uplink(uplink, outbox, link, mqtt.topics, name, metrics)
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(sender.run())]
        try:
            yield Device(outbox, sender, link, metrics)
        finally:
            await stop(*tasks)


@dataclass
class Cloud:
    """Confirms what it gets, as ingest does."""

    link: MqttLink
    ignored: UUID | None = None
    seen: list[UUID] = field(default_factory=list)


@contextlib.asynccontextmanager
async def cloud_at(mqtt: MqttSettings, device: str = DEVICE, ignored: UUID | None = None) -> AsyncIterator[Cloud]:
    link = MqttLink(mqtt)
    cloud = Cloud(link, ignored)
    topics = mqtt.topics
    waiting: asyncio.Queue[UUID] = asyncio.Queue()

    def got(topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        assert parsed is not None
        text = parsed.rest if parsed.kind == "frames" else payload.split(b'"event_id":"', 1)[1][:36].decode()
        waiting.put_nowait(UUID(text))

    async def confirm() -> None:
        while True:
            batch = [await waiting.get()]
            while not waiting.empty():
                batch.append(waiting.get_nowait())
            stored = [one for one in batch if one != cloud.ignored]
            if not stored:
                continue
            cloud.seen += stored
            with contextlib.suppress(NotConnected):
                await link.publish(topics.ack(device), encode_ack(stored), qos=1)

    link.subscribe(topics.detections("+"), got, qos=1)
    link.subscribe(topics.frames("+", "+"), got, qos=1)
    tasks = [asyncio.create_task(link.run()), asyncio.create_task(confirm())]
    await link.connected.wait()
    try:
        yield cloud
    finally:
        await stop(*tasks)


async def test_a_refused_login_is_told_and_mended_without_a_loss(tmp_path: Path) -> None:
    with secure_broker(tmp_path) as broker:
        async with cloud_at(broker.service("ingest")) as cloud:
            password = "what add_device will give"
            wrong = broker.service("web").model_copy(update={"username": DEVICE, "password": SecretStr(password)})
            async with device_at(wrong, tmp_path) as device:
                events = await put_detections(device.outbox, 10)
                await until(lambda: device.link.login_refused)
                assert device.titles() == ["The cloud's broker refuses this device's login"]
                assert f"refuses the login of user '{DEVICE}'" in str(device.uplink.refusal())
                assert device.metric('emotion_classifier_broker_login_refused{broker="cloud"}') == 1
            right = broker.add_device(DEVICE)
            reload_broker(broker.pid_file)
            async with device_at(right, tmp_path) as device:
                await until(lambda: device.outbox.depth().detections == 0)
                assert device.titles() == []
                assert device.uplink.refusal() is None
                assert device.metric('emotion_classifier_broker_login_refused{broker="cloud"}') == 0
                assert device.metric('emotion_classifier_broker_connected{broker="cloud"}') == 1
                expires = 'emotion_classifier_broker_certificate_expires_timestamp_seconds{broker="cloud"}'
                assert device.metric(expires) > 1.7e9
            assert set(cloud.seen) == set(events)


async def test_a_device_that_is_let_in_again_goes_on_by_itself(tmp_path: Path) -> None:
    with secure_broker(tmp_path, DEVICE) as broker:
        settings = broker.settings(DEVICE)
        entry = next(line for line in broker.passwords.path.read_text().splitlines() if line.startswith(DEVICE))
        async with cloud_at(broker.service("ingest")), device_at(settings, tmp_path) as device:
            await device.link.connected.wait()
            broker.passwords.remove(DEVICE)
            reload_broker(broker.pid_file)
            await until(lambda: device.link.login_refused)
            await put_detections(device.outbox, 5)
            with broker.passwords.path.open("a") as file:
                file.write(entry + "\n")
            reload_broker(broker.pid_file)
            await until(lambda: device.outbox.depth().detections == 0)
            assert device.titles() == []


async def test_an_access_rule_that_throws_everything_away_is_noticed(tmp_path: Path) -> None:
    with secure_broker(tmp_path, DEVICE, without="pattern write emotion/%u/detections") as broker:
        async with cloud_at(broker.service("ingest")) as cloud, device_at(broker.settings(DEVICE), tmp_path) as device:
            await put_detections(device.outbox, 1)  # a single one, again and again
            await until(lambda: device.titles() == ["The cloud does not confirm detections"])
            (problem,) = device.uplink.problems()
            assert f"write to emotion/{DEVICE}/detections and read emotion/{DEVICE}/ack" in problem.next_step
            assert "The cloud does not confirm detections" in str(device.uplink.refusal())
            assert device.metric('emotion_classifier_uplink_silent{kind="detection"}') == 1
            assert device.outbox.depth().detections == 1
            assert cloud.seen == []


async def test_a_device_that_sends_under_a_name_that_is_not_its_user_s_is_told(tmp_path: Path) -> None:
    with secure_broker(tmp_path, "edge-9") as broker:
        async with cloud_at(broker.service("ingest")), device_at(broker.settings("edge-9"), tmp_path) as device:
            await put_detections(device.outbox, 300)
            await until(lambda: device.titles() == ["The cloud does not confirm detections"])
            assert device.outbox.depth().detections == 300


async def test_pictures_that_are_thrown_away_hold_up_no_detection(tmp_path: Path) -> None:
    with secure_broker(tmp_path, DEVICE, without="pattern write emotion/%u/frames/+") as broker:
        async with cloud_at(broker.service("ingest")) as cloud, device_at(broker.settings(DEVICE), tmp_path) as device:
            await put_frames(device.outbox, 60)
            events = await put_detections(device.outbox, 300)
            await until(lambda: device.outbox.depth().detections == 0)
            await until(lambda: device.titles() == ["The cloud does not confirm pictures"])
            assert set(cloud.seen) == set(events)
            assert device.outbox.depth().frames == 60
            assert device.metric('emotion_classifier_uplink_silent{kind="detection"}') == 0


async def test_acknowledgements_that_are_thrown_away_are_noticed_and_nothing_is_deleted(tmp_path: Path) -> None:
    with secure_broker(tmp_path, DEVICE, without="pattern read emotion/%u/ack") as broker:
        async with cloud_at(broker.service("ingest")) as cloud, device_at(broker.settings(DEVICE), tmp_path) as device:
            (event,) = await put_detections(device.outbox, 1)
            await until(lambda: device.titles() == ["The cloud does not confirm detections"])
            assert set(cloud.seen) == {event}
            assert device.outbox.depth().detections == 1


async def test_one_message_that_is_never_confirmed_is_set_aside_and_named(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    never, poison = frame()
    async with cloud_at(mqtt_settings, ignored=never) as cloud, device_at(mqtt_settings, tmp_path) as device:
        await device.outbox.put_frame(never, poison)
        sent: list[UUID] = []

        async def told() -> bool:
            sent.extend(await put_frames(device.outbox, 1))
            return device.titles() == ["The cloud does not confirm some messages"]

        await until(told)
        assert device.metric("emotion_classifier_uplink_unconfirmed") == 1
        await until(lambda: device.outbox.depth().frames == 1)  # all others arrive
        assert set(cloud.seen) == set(sent)
        cloud.ignored = None
        await until(lambda: device.outbox.depth().frames == 0)  # it is tried again
        assert device.titles() == []


async def test_what_is_set_aside_and_then_gives_way_in_the_outbox_is_not_sent(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    never, poison = frame()
    async with cloud_at(mqtt_settings, ignored=never) as cloud, device_at(mqtt_settings, tmp_path) as device:
        await device.outbox.put_frame(never, poison)

        async def is_set_aside() -> bool:
            await put_frames(device.outbox, 1)
            return device.metric("emotion_classifier_uplink_unconfirmed") == 1

        await until(is_set_aside)
        await device.outbox.delete([never])  # as the quota does, when newer items need its place
        cloud.ignored = None
        await until(lambda: device.metric("emotion_classifier_uplink_unconfirmed") == 0)
        (last,) = await put_frames(device.outbox, 1)
        await until(lambda: last in cloud.seen)
        assert never not in cloud.seen
        assert device.titles() == []


async def test_a_message_that_the_broker_confirms_and_hangs_up_at_is_found_among_the_others(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, "message_size_limit 20000")
    await asyncio.to_thread(broker.start)
    try:
        async with cloud_at(broker.settings) as cloud, device_at(broker.settings, tmp_path) as device:
            events = await put_detections(device.outbox, 30)
            await put_frames(device.outbox, 1)
            events += await put_detections(device.outbox, 30)
            # Some connections end before it is found, and the wait between them grows.
            await until(lambda: device.titles() == ["The cloud's broker hangs up at some messages"], wait_s=100)
            await until(lambda: device.outbox.depth().detections == 0)
            assert device.outbox.depth().frames == device.uplink.status_values()["uplink_parked"] == 1
            assert set(cloud.seen) == set(events)
    finally:
        broker.kill()


async def test_a_picture_above_the_broker_s_limit_is_not_sent_and_kept(tmp_path: Path) -> None:
    limit = UplinkSettings(resend_after_s=0.2, max_packet_bytes=300_000)
    broker = Mosquitto(tmp_path, "max_packet_size 300000")
    await asyncio.to_thread(broker.start)
    try:
        async with cloud_at(broker.settings) as cloud, device_at(broker.settings, tmp_path, limit) as device:
            large, jpeg = frame(size=310_000)
            await device.outbox.put_frame(large, jpeg)
            others = [*await put_frames(device.outbox, 5), *await put_detections(device.outbox, 5)]
            await until(lambda: device.outbox.depth().detections == 0 and device.outbox.depth().frames == 1)
            assert device.titles() == ["Some pictures are too large for the cloud's broker"]
            assert device.metric("emotion_classifier_uplink_too_large_total") == 1
            assert set(cloud.seen) == set(others)
            assert device.link.connections == 1  # the broker had no reason to hang up
        raised = UplinkSettings(resend_after_s=0.2, max_packet_bytes=400_000)
        await asyncio.to_thread(broker.kill)
        larger = tmp_path / "larger"
        larger.mkdir()
        generous = Mosquitto(larger, "max_packet_size 400000")
        await asyncio.to_thread(generous.start)
        try:
            async with cloud_at(generous.settings), device_at(generous.settings, tmp_path, raised) as device:
                await until(lambda: device.outbox.depth().frames == 0)
        finally:
            generous.kill()
    finally:
        broker.kill()


async def test_a_packet_of_just_the_limit_is_sent_and_taken(tmp_path: Path) -> None:
    with secure_broker(tmp_path, DEVICE) as broker:
        async with cloud_at(broker.service("ingest")), device_at(broker.settings(DEVICE), tmp_path) as device:
            topic = f"emotion/{DEVICE}/frames/{detection().event_id}"
            _, smallest = frame(size=0)
            size = 2_000_000 - (5 + 2 + len(topic) + 2) - len(smallest)
            await device.outbox.put_frame(*frame(size=size))
            await device.outbox.put_frame(*frame(size=size + 1))
            await until(lambda: device.outbox.depth().frames == 1)
            assert device.titles() == ["Some pictures are too large for the cloud's broker"]
            assert device.link.connections == 1


@pytest.mark.filterwarnings("ignore:The 'acl' option is deprecated")  # the option of the new name is not read
async def test_a_refused_subscription_is_told(tmp_path: Path) -> None:
    port = free_port()
    rules = {"anonymous": [f"emotion/{DEVICE}/desired"]}
    broker = Broker(
        BrokerConfig(
            listeners={"default": ListenerConfig(type=ListenerType.TCP, bind=f"127.0.0.1:{port}")},
            plugins={
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
                "amqtt.plugins.topic_checking.TopicAccessControlListPlugin": {"acl": rules},
            },
        )
    )
    await broker.start()
    try:
        async with device_at(MqttSettings(port=port), tmp_path) as device:
            await device.link.connected.wait()
            assert device.link.refused_topics == (f"emotion/{DEVICE}/ack",)
            assert device.titles() == ["The cloud's broker refuses this device's subscriptions"]
            assert f"emotion/{DEVICE}/ack" in str(device.uplink.refusal())
    finally:
        await broker.shutdown()
