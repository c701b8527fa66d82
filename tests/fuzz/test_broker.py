"""Ingest and web run for real against a broker to which somebody sends nonsense on every topic."""

import asyncio
import random

import asyncpg
import httpx

from services.embedded import free_port
from services.ingest.main import run as run_ingest
from services.ingest.settings import BatchSettings, IngestSettings
from services.web.hub import MAX_DEVICES
from shared.db.migrate import upgrade
from shared.messages import encode_ack
from shared.mqtt import MqttLink
from shared.settings import DatabaseSettings, HealthSettings, MqttSettings
from tests.fuzz import targets
from tests.integration.delivery import detection, frame, until
from tests.support.patience import WAIT_S
from tests.support.web import running_web, web_settings

SEED = 20261123
RANDOM_MESSAGES = 400
DEVICES = ("lab-jetson", "edge-1", "A", "a" * 33, "-", "..")


def nonsense(topics: list[str]) -> list[tuple[str, bytes]]:
    """Topic and payload: the corpus on every topic, then random bytes and random pieces of it."""
    chance = random.Random(SEED)
    kept = [path.read_bytes() for kind in ("message", "picture") for path in targets.corpus(kind)]
    found = [(topic, payload) for topic in topics for payload in kept]
    for _ in range(RANDOM_MESSAGES):
        whole = chance.choice(kept)
        at = chance.randrange(len(whole))
        payload = chance.choice([chance.randbytes(chance.randrange(200)), whole[at:], whole[:at], b"", whole + whole])
        found.append((chance.choice(topics), payload))
    return found


async def test_nonsense_on_every_topic_stops_nobody(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    topics = mqtt_settings.topics
    names = []
    for device in DEVICES:
        names += [
            topics.detections(device),
            topics.frames(device, "018f3a5e-6d10-7c3d-9e00-0000000000bb"),
            topics.frames(device, "no-id"),
            topics.live(device),
            topics.preview(device),
            topics.ack(device),
            topics.status(device, "capture"),
            topics.status(device, "s" * 100),
            topics.desired(device),
        ]
    await upgrade(database_settings)
    health = free_port()
    ingest_settings = IngestSettings(
        mqtt=mqtt_settings,
        database=database_settings,
        health=HealthSettings(port=health),
        batch=BatchSettings(queue_items=5000, queue_mb=4),
    )
    sender = MqttLink(mqtt_settings)
    ingest = asyncio.create_task(run_ingest(ingest_settings))
    sending = asyncio.create_task(sender.run())
    records = await asyncpg.connect(database_settings.url.get_secret_value())
    try:
        async with (
            running_web(web_settings(mqtt_settings, database_settings)) as base,
            httpx.AsyncClient(timeout=WAIT_S) as client,
        ):

            async def ready() -> bool:
                assert not ingest.done(), ingest.exception()
                try:
                    answer = await client.get(f"http://127.0.0.1:{health}/readyz")
                except httpx.TransportError:
                    return False
                return answer.status_code == 200 and sender.connected.is_set()

            await until(ready)
            sent = nonsense(names)
            for topic, payload in sent:
                await sender.publish(topic, payload, qos=1, timeout_s=WAIT_S)
            good = detection()
            frame_id, jpeg = frame()
            await sender.publish(topics.detections("edge-1"), good.to_json(), qos=1)
            await sender.publish(topics.frames("edge-1", frame_id), jpeg, qos=1)
            await sender.publish(topics.ack("edge-1"), encode_ack([good.event_id]), qos=1)

            async def stored() -> bool:
                assert not ingest.done(), ingest.exception()
                found = await records.fetchval("SELECT count(*) FROM detections WHERE event_id = $1", good.event_id)
                return bool(found and await records.fetchval("SELECT count(*) FROM frames"))

            await until(stored)
            counted: dict[str, float] = {}

            async def settled() -> bool:  # what was committed is counted just after
                nonlocal counted
                counted = samples((await client.get(f"http://127.0.0.1:{health}/metrics")).text)
                return counted["received"] == counted["stored"] + counted["duplicates"] + counted["rejected"]

            await until(settled)
            shown = samples((await client.get(f"{base}/metrics")).text)
            devices = (await client.get(f"{base}/api/v1/devices")).json()["items"]
            letters = await records.fetchval("SELECT sum(times) FROM dead_letters")
    finally:
        await records.close()
        for task in (ingest, sending):
            task.cancel()
        await asyncio.wait({ingest, sending})
    of_ingest = [topic for topic, _ in sent if "/detections" in topic or "/frames/" in topic]
    assert counted["received"] == len(of_ingest) + 2
    assert counted["dropped"] == 0
    assert counted["rejected"] == letters
    assert counted["rejected"] > len(of_ingest) / 2
    assert shown["bad_messages"] > len(sent) / 3
    assert len(devices) <= MAX_DEVICES
    assert not any(device["device"] in ("A", "..") for device in devices)


def samples(metrics: str) -> dict[str, float]:
    """Sums over labels of each counter, without `emotion_`, the service and `_total`."""
    found: dict[str, float] = {}
    for line in metrics.splitlines():
        if line.startswith("#") or "_total" not in line:
            continue
        name, _, value = line.rpartition(" ")
        short = name.partition("{")[0].removesuffix("_total").removeprefix("emotion_")
        short = short.removeprefix("ingest_").removeprefix("web_")
        found[short] = found.get(short, 0) + float(value)
    return found
