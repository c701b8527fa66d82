"""From the outbox to Postgres, through a real broker: exactly once, whatever dies in between."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import pytest

from services.embedded import embedded_broker, embedded_postgres, free_port
from shared.db.migrate import upgrade
from shared.messages import decode_ack
from shared.mqtt import MqttLink
from shared.settings import DatabaseSettings, HealthSettings, MqttSettings
from tests.conftest import Mosquitto
from tests.integration.delivery import (
    DEVICE,
    Rows,
    bare_jpeg,
    detection,
    edge,
    frame,
    ingest,
    ingest_settings,
    put_detections,
    put_frames,
    rows_of,
    stop,
    until,
)
from tests.support.patience import STOPS_WITHIN_S, WAIT_S


@pytest.fixture
async def database(database_settings: DatabaseSettings) -> DatabaseSettings:
    await upgrade(database_settings)
    return database_settings


@pytest.fixture
async def rows(database: DatabaseSettings) -> AsyncIterator[Rows]:
    async with rows_of(database) as found:
        yield found


async def test_detections_and_frames_arrive_exactly_once_with_all_they_hold(
    mqtt_settings: MqttSettings, database: DatabaseSettings, rows: Rows, tmp_path: Path
) -> None:
    async with ingest(ingest_settings(mqtt_settings, database)), edge(mqtt_settings, tmp_path) as outbox:
        events = await put_detections(outbox, 500)
        frames = await put_frames(outbox, 60)
        one = detection(7, faces=1, frame_id=frames[0])
        await outbox.put_detection(one.event_id, one.to_json())
        await until(lambda: outbox.depth().detections == outbox.depth().frames == 0)
    assert sorted(await rows.ids("detections")) == sorted([*events, one.event_id])
    assert sorted(await rows.ids("frames")) == sorted(frames)
    assert await rows.count("faces") == 1001
    assert await rows.count("dead_letters") == 0
    (stored,) = await rows.all(
        "SELECT device, boot_id, seq, captured_at, source_kind, source_name, frame_number, frame_id, frame_width, "
        "frame_height, model_name, model_version, face_count, latency_ms FROM detections WHERE event_id = $1",
        one.event_id,
    )
    assert stored[:13] == (
        *(DEVICE, one.boot_id, 7, one.captured_at, "sample", "two people", 7, frames[0]),
        *(640, 360, "slim_resnet", "1.0.0", 1),
    )
    assert json.loads(stored[13]) == {"total": 12.5}
    (face,) = await rows.all(
        "SELECT track_id, x, y, w, h, happy, dominant_emotion, shown_state, shown_since, quality_reasons, quality_yaw "
        "FROM faces WHERE event_id = $1",
        one.event_id,
    )
    assert face[:5] == (0, 10, -3, 80, 90)
    assert face[5] == pytest.approx(0.7)
    assert one.faces[0].shown is not None
    assert face[6:] == ("happy", "unsure", one.faces[0].shown.since, ["dark", "small"], None)
    ((device, first, last, newest),) = await rows.all(
        "SELECT device, first_seen, last_seen, (SELECT max(captured_at) FROM detections) FROM devices"
    )
    assert device == DEVICE
    assert first <= last == newest
    partitions = await rows.all("SELECT DISTINCT tableoid::regclass::text FROM detections")
    assert all(name.startswith("detections_2") for (name,) in partitions)


async def test_stored_picture_is_byte_for_byte_what_was_kept(
    mqtt_settings: MqttSettings, database: DatabaseSettings, rows: Rows, tmp_path: Path
) -> None:
    frame_id, jpeg = frame()
    async with ingest(ingest_settings(mqtt_settings, database)), edge(mqtt_settings, tmp_path) as outbox:
        await outbox.put_frame(frame_id, jpeg)
        await until(lambda: outbox.depth().frames == 0)
    stored = await rows.all("SELECT jpeg, width, height, sha256 = sha256(jpeg), device, source_name FROM frames")
    assert stored == [(jpeg, 640, 360, True, DEVICE, "two people")]


async def test_broker_killed_midway_loses_nothing_and_doubles_nothing(
    own_mosquitto: Mosquitto, database: DatabaseSettings, rows: Rows, tmp_path: Path
) -> None:
    mqtt = own_mosquitto.settings
    async with ingest(ingest_settings(mqtt, database)), edge(mqtt, tmp_path) as outbox:
        frames = await put_frames(outbox, 50)
        events: list[UUID] = []
        for _ in range(2):
            before = await rows.count("detections")
            events += await put_detections(outbox, 500)
            await until(partial(_more_than, rows, before))
            await asyncio.to_thread(own_mosquitto.kill)
            events += await put_detections(outbox, 300)
            await asyncio.to_thread(own_mosquitto.start)
        await until(lambda: outbox.depth().detections == outbox.depth().frames == 0)
    assert sorted(await rows.ids("detections")) == sorted(events)
    assert sorted(await rows.ids("frames")) == sorted(frames)


async def _more_than(rows: Rows, count: int) -> bool:
    return await rows.count("detections") > count


async def test_ingest_killed_midway_loses_nothing(
    mqtt_settings: MqttSettings, database: DatabaseSettings, rows: Rows, tmp_path: Path
) -> None:
    async with edge(mqtt_settings, tmp_path) as outbox:
        events: list[UUID] = []
        frames: list[UUID] = []
        for _ in range(3):
            before = await rows.count("detections")
            process = await start_ingest(mqtt_settings, database)
            events += await put_detections(outbox, 400)
            frames += await put_frames(outbox, 20)
            await until(partial(_more_than, rows, before))
            process.kill()
            await process.wait()
        process = await start_ingest(mqtt_settings, database)
        events += await put_detections(outbox, 10)
        await until(lambda: outbox.depth().detections == outbox.depth().frames == 0)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), STOPS_WITHIN_S) == 0
    assert sorted(await rows.ids("detections")) == sorted(events)
    assert sorted(await rows.ids("frames")) == sorted(frames)


async def test_what_ingest_holds_while_the_database_cannot_take_it_is_not_confirmed(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    health = HealthSettings(port=free_port())
    async with edge(mqtt_settings, tmp_path) as outbox:
        process = await start_ingest(mqtt_settings, database_settings, health.port)  # there are no tables yet
        await until(lambda: _answers(health))
        events = await put_detections(outbox, 50)
        retries = 'emotion_ingest_retries_total{kind="detection"}'
        await until(lambda: _at_least(health, retries, 3))
        assert outbox.depth().detections == 50
        process.kill()
        await process.wait()
        await upgrade(database_settings)
        async with ingest(ingest_settings(mqtt_settings, database_settings)):
            await until(lambda: outbox.depth().detections == 0)
    async with rows_of(database_settings) as rows:
        assert sorted(await rows.ids("detections")) == sorted(events)


async def _at_least(health: HealthSettings, name: str, value: float) -> bool:
    return await _metric(health.port, name) >= value


async def start_ingest(
    mqtt: MqttSettings, database: DatabaseSettings, health_port: int = 0
) -> asyncio.subprocess.Process:
    """Ingest as a process of its own, as in a deployment."""
    program = """
from services.ingest.main import run
from services.ingest.settings import IngestSettings
from shared.runner import run_service
from shared.settings import load
settings = load(IngestSettings)
raise SystemExit(run_service("ingest", settings.log, lambda: run(settings)))
"""
    environment = os.environ | {
        "EMOTION_MQTT__PORT": str(mqtt.port),
        "EMOTION_MQTT__TOPIC_PREFIX": mqtt.topic_prefix,
        "EMOTION_HEALTH__PORT": str(health_port),
        "EMOTION_DATABASE__URL": database.url.get_secret_value(),
    }
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment)


async def test_postgres_restarted_midway_loses_nothing(
    mqtt_settings: MqttSettings, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    folder = tmp_path_factory.mktemp("pg") / "data"
    health = HealthSettings(port=free_port())
    first = embedded_postgres(folder)
    database = await first.__aenter__()
    await upgrade(database)
    async with ingest(ingest_settings(mqtt_settings, database, health=health)), edge(mqtt_settings, tmp_path) as outbox:
        events = await put_detections(outbox, 800)
        async with rows_of(database) as rows:
            await until(lambda: _more_than(rows, 0))
            # What a restart says to each of its clients: 57P01.
            await rows.all(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%ingest'"
            )
        events += await put_detections(outbox, 300)
        await until(lambda: outbox.depth().detections == 0)

        postmaster = psutil.Process(postmaster_of(folder))
        postmaster.send_signal(signal.SIGQUIT)  # a crash: no goodbye, recovery at the next start
        await until(lambda: not postmaster.is_running() or postmaster.status() == psutil.STATUS_ZOMBIE)
        await first.__aexit__(None, None, None)
        events += await put_detections(outbox, 300)
        await until(lambda: _missing(health, "database"))
        assert outbox.depth().detections == 300
        async with embedded_postgres(folder) as again:
            assert again.url == database.url
            await until(lambda: outbox.depth().detections == 0)
            await until(lambda: _ready(health))
            async with rows_of(database) as rows:
                assert sorted(await rows.ids("detections")) == sorted(events)


def postmaster_of(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().splitlines()[0])


async def _missing(health: HealthSettings, part: str) -> bool:
    async with httpx.AsyncClient(timeout=WAIT_S) as client:
        answer = await client.get(f"http://127.0.0.1:{health.port}/readyz")
    return part in answer.json()["missing"]


async def _ready(health: HealthSettings) -> bool:
    async with httpx.AsyncClient(timeout=WAIT_S) as client:
        return (await client.get(f"http://127.0.0.1:{health.port}/readyz")).status_code == 200


async def test_duplicates_are_stored_once_and_confirmed_each_time(
    mqtt_settings: MqttSettings, database: DatabaseSettings, rows: Rows
) -> None:
    one, (frame_id, jpeg) = detection(), frame()
    health = HealthSettings(port=free_port())
    settings = ingest_settings(mqtt_settings, database, health=health)
    async with ingest(settings), device_at(mqtt_settings) as (link, acked):
        await until(lambda: _answers(health))
        await until(lambda: _ready(health))
        topics = mqtt_settings.topics
        for _ in range(3):
            for _ in range(2):
                await link.publish(topics.detections(DEVICE), one.to_json(), qos=1)
                await link.publish(topics.frames(DEVICE, frame_id), jpeg, qos=1)
            await until(lambda: {one.event_id, frame_id} <= set(acked))
            acked.clear()
    assert await rows.count("detections") == await rows.count("frames") == 1
    assert await rows.count("faces") == 2


class device_at:  # noqa: N801 - used as a function
    """A device that sends by hand, and the ids it was told."""

    def __init__(self, mqtt: MqttSettings, device: str = DEVICE) -> None:
        self._link = MqttLink(mqtt)
        self._acked: list[UUID] = []
        topic = mqtt.topics.ack(device)
        self._link.subscribe(topic, lambda _, payload: self._acked.extend(decode_ack(topic, payload)), qos=1)

    async def __aenter__(self) -> tuple[MqttLink, list[UUID]]:
        self._task = asyncio.create_task(self._link.run())
        await self._link.connected.wait()
        return self._link, self._acked

    async def __aexit__(self, *_: object) -> None:
        await stop(self._task)


def _changed(**changes: Any) -> tuple[UUID, bytes]:
    one = detection()
    data = json.loads(one.to_json()) | changes
    return one.event_id, json.dumps({key: value for key, value in data.items() if value != "gone"}).encode()


async def test_poison_is_kept_with_its_reason_and_confirmed_and_the_good_around_it_is_stored(
    mqtt_settings: MqttSettings, database: DatabaseSettings, rows: Rows, tmp_path: Path
) -> None:
    nan_id, nan = _changed(frame_number="here")
    nan = nan.replace(b'"here"', b"NaN")
    poison: dict[str, tuple[UUID, bytes, str]] = {
        "NaN": (nan_id, nan, "not JSON: NaN"),
        "missing field": (*_changed(captured_at="gone"), "captured_at: Field required"),
        "schema version": (*_changed(schema=2), "unknown version '2'"),
        "other device": (*_changed(device="edge-2"), "'edge-2'"),
        "NUL in a text": (*_changed(source={"kind": "file", "name": "a\0b"}), "source.name: a zero byte"),
        "no real number": (*_blur(1e300), "quality.blur"),
        "refused by its table": (*_changed(source={"kind": "file", "name": "unwanted"}), "CheckViolationError"),
    }
    pictures: dict[str, tuple[UUID, bytes, str]] = {
        "corrupt": (*_cut(frame()), "damaged JPEG"),
        "20,000 x 20,000": (*frame(jpeg=bare_jpeg(20_000, 20_000)), "20000x20000"),
        "no comment": (uuid4(), bare_jpeg(), "no comment"),
        "other device": (*frame("edge-2"), "'edge-2'"),
        "NUL in its source": (*_nul_in_source(), "source.name: a zero byte"),
    }
    # The contract refuses whatever the columns do; a rule that it does not know shows that the database has a say too.
    await rows.all("ALTER TABLE detections ADD CHECK (source_name <> 'unwanted')")
    async with ingest(ingest_settings(mqtt_settings, database)), edge(mqtt_settings, tmp_path) as outbox:
        good = await put_detections(outbox, 20)
        good_frames = await put_frames(outbox, 5)
        for item_id, payload, _ in poison.values():
            await outbox.put_detection(item_id, payload)
            good += await put_detections(outbox, 3)
        for item_id, payload, _ in pictures.values():
            await outbox.put_frame(item_id, payload)
        good += await put_detections(outbox, 20)
        good_frames += await put_frames(outbox, 5)
        await until(lambda: outbox.depth().detections == outbox.depth().frames == 0)
    assert sorted(await rows.ids("detections")) == sorted(good)
    assert sorted(await rows.ids("frames")) == sorted(good_frames)
    letters = {
        row[0]: row[1:] for row in await rows.all("SELECT message_id, reason, payload, device FROM dead_letters")
    }
    assert len(letters) == len(poison) + len(pictures)
    for item_id, payload, words in (*poison.values(), *pictures.values()):
        reason, kept, device = letters[item_id]
        assert words in reason
        assert kept == payload
        assert device == DEVICE


def _blur(value: float) -> tuple[UUID, bytes]:
    one = detection()
    data = json.loads(one.to_json())
    data["faces"][0]["quality"]["blur"] = value
    return one.event_id, json.dumps(data).encode()


def _cut(made: tuple[UUID, bytes]) -> tuple[UUID, bytes]:
    return made[0], made[1][:100]


def _nul_in_source() -> tuple[UUID, bytes]:
    frame_id, jpeg = frame()
    return frame_id, jpeg.replace(b'"two people"', b'"wo\\u0000le"')


async def test_poison_that_comes_again_is_one_dead_letter_that_counts(
    mqtt_settings: MqttSettings, database: DatabaseSettings, rows: Rows
) -> None:
    async with (
        ingest(ingest_settings(mqtt_settings, database, dead_letter_kb=1)),
        device_at(mqtt_settings) as (link, _),
    ):

        async def came() -> bool:
            await link.publish(mqtt_settings.topics.detections(DEVICE), b"no json" * 1000, qos=1)
            return bool(await rows.all("SELECT 1 FROM dead_letters WHERE times >= 3"))

        await until(came)
    ((size, kept, message_id),) = await rows.all("SELECT payload_bytes, length(payload), message_id FROM dead_letters")
    assert (size, kept, message_id) == (7000, 1024, None)


async def test_two_replicas_share_the_load_and_store_nothing_twice(
    mqtt_settings: MqttSettings, database: DatabaseSettings, rows: Rows, tmp_path: Path
) -> None:
    ports = [free_port(), free_port()]
    replicas = [
        ingest_settings(mqtt_settings, database, instance=f"r{port}", health=HealthSettings(port=port))
        for port in ports
    ]
    async with ingest(replicas[0]), ingest(replicas[1]):
        await until(lambda: _all_ready(replicas))
        async with edge(mqtt_settings, tmp_path) as outbox:
            events = await put_detections(outbox, 600)
            frames = await put_frames(outbox, 40)
            await until(lambda: outbox.depth().detections == outbox.depth().frames == 0)
        shares = [await _metric(port, 'emotion_ingest_stored_total{kind="detection"}') for port in ports]
    assert sum(shares) == 600
    assert min(shares) > 100
    assert sorted(await rows.ids("detections")) == sorted(events)
    assert sorted(await rows.ids("frames")) == sorted(frames)


async def _all_ready(replicas: list[Any]) -> bool:
    try:
        return all([await _ready(replica.health) for replica in replicas])
    except httpx.TransportError:
        return False


async def _metric(port: int, name: str) -> float:
    async with httpx.AsyncClient(timeout=WAIT_S) as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + " "))


async def test_embedded_broker_delivers_to_a_plain_subscription(
    database: DatabaseSettings, rows: Rows, tmp_path: Path
) -> None:
    async with (
        embedded_broker(free_port()) as mqtt,
        ingest(ingest_settings(mqtt, database, shared_group="")),
        edge(mqtt, tmp_path) as outbox,
    ):
        events = await put_detections(outbox, 100)
        frames = await put_frames(outbox, 10)
        await until(lambda: outbox.depth().detections == outbox.depth().frames == 0)
    assert sorted(await rows.ids("detections")) == sorted(events)
    assert sorted(await rows.ids("frames")) == sorted(frames)


async def test_broker_and_database_may_come_after_ingest(
    own_mosquitto: Mosquitto, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    await asyncio.to_thread(own_mosquitto.kill)
    health = HealthSettings(port=free_port())
    mqtt = own_mosquitto.settings
    async with ingest(ingest_settings(mqtt, database_settings, health=health)), edge(mqtt, tmp_path) as outbox:
        events = await put_detections(outbox, 50)
        await until(lambda: _answers(health))
        assert await _missing(health, "broker")
        await until(lambda: _missing(health, "database"))  # it has no tables yet
        await asyncio.to_thread(own_mosquitto.start)
        await upgrade(database_settings)
        await until(lambda: outbox.depth().detections == 0)
        await until(lambda: _ready(health))
        async with rows_of(database_settings) as rows:
            assert sorted(await rows.ids("detections")) == sorted(events)


async def _answers(health: HealthSettings) -> bool:
    try:
        await _ready(health)
    except httpx.TransportError:
        return False
    return True


async def test_what_the_queue_has_no_room_for_comes_again(
    mqtt_settings: MqttSettings, database: DatabaseSettings, rows: Rows, tmp_path: Path
) -> None:
    health = HealthSettings(port=free_port())
    tiny = {"max_items": 5, "queue_items": 10}
    settings = ingest_settings(mqtt_settings, database, batch=tiny, health=health)
    async with ingest(settings), edge(mqtt_settings, tmp_path) as outbox:
        events = await put_detections(outbox, 400)
        await until(lambda: outbox.depth().detections == 0)
        assert await _metric(health.port, 'emotion_ingest_dropped_total{kind="detection"}') > 0
    assert sorted(await rows.ids("detections")) == sorted(events)


async def test_stopping_stores_and_confirms_what_is_queued_before_it_ends(
    mqtt_settings: MqttSettings,
    database: DatabaseSettings,
    rows: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.ingest.main._DRAIN_S", STOPS_WITHIN_S / 2)
    health = HealthSettings(port=free_port())
    slow = {"max_age_ms": 10_000, "max_items": 5000}
    async with ingest(ingest_settings(mqtt_settings, database, batch=slow, health=health)) as service:
        await until(lambda: _answers(health))
        await until(lambda: _ready(health))
        async with edge(mqtt_settings, tmp_path) as outbox:
            events = await put_detections(outbox, 50)
            await until(lambda: _queued(health, 50))
            assert await rows.count("detections") == 0
            async with asyncio.timeout(STOPS_WITHIN_S):
                await stop(service)
            await until(lambda: outbox.depth().detections == 0)
    assert sorted(await rows.ids("detections")) == sorted(events)


async def _queued(health: HealthSettings, count: int) -> bool:
    try:
        return await _metric(health.port, 'emotion_ingest_queue_items{kind="detection"}') >= count
    except httpx.TransportError:
        return False


async def test_times_years_away_are_stored_without_a_partition_of_their_own(
    mqtt_settings: MqttSettings, database: DatabaseSettings, rows: Rows, tmp_path: Path
) -> None:
    async with ingest(ingest_settings(mqtt_settings, database)), edge(mqtt_settings, tmp_path) as outbox:
        for year in (2001, 2099):
            one = detection(captured_at=datetime(year, 5, 1, tzinfo=UTC))
            await outbox.put_detection(one.event_id, one.to_json())
        await until(lambda: outbox.depth().detections == 0)
    stored = await rows.all("SELECT tableoid::regclass::text FROM detections")
    assert stored == [("detections_default",), ("detections_default",)]
    ((ahead,),) = await rows.all("SELECT last_seen > now() FROM devices")
    assert not ahead
