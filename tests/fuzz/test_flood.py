"""Somebody sends more than a service can take: it drops and counts what is too much, and its memory stays bounded."""

import asyncio

import httpx
import psutil
import pytest

from bench.servers import service
from services.embedded import free_port
from shared.mqtt import MqttLink
from shared.settings import MqttSettings
from tests.fuzz.test_broker import samples
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.patience import WAIT_S

MESSAGES = 3000
WARM = 500
BYTES = 60_000
AT_ONCE = 50
MAY_GROW = 64 * 1024 * 1024
"""A fraction of the 150 MB that are sent after the warming."""


@pytest.mark.parametrize("name", ["ingest", "web"])
async def test_a_flood_is_dropped_and_counted_and_memory_stays_bounded(name: str, mqtt_settings: MqttSettings) -> None:
    health = free_port()
    env = {
        "EMOTION_MQTT__PORT": str(mqtt_settings.port),
        "EMOTION_MQTT__TOPIC_PREFIX": mqtt_settings.topic_prefix,
        "EMOTION_DATABASE__URL": f"postgresql://a@127.0.0.1:{free_port()}/a",  # away: nothing leaves the queue
        "EMOTION_BATCH__QUEUE_ITEMS": "300",
        "EMOTION_BATCH__QUEUE_MB": "8",
        "EMOTION_ROLE": "edge",
        ("EMOTION_PORT" if name == "web" else "EMOTION_HEALTH__PORT"): str(health),
    }
    address = f"http://127.0.0.1:{health}"
    link = MqttLink(mqtt_settings)
    sending = asyncio.create_task(link.run())
    topics = mqtt_settings.topics
    picture = scenes.picture() + bytes(BYTES)

    async def flood(begin: int, end: int) -> None:
        for at in range(begin, end, AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for number in range(at, at + AT_ONCE):
                    device = f"d-{number}"
                    topic, payload = topics.detections(device), picture
                    if name == "web":  # whole ones, of more devices than it remembers
                        topic = topics.status(device, "capture")
                        payload = scenes.status(device, "capture", "online").to_json() + b" " * BYTES
                    group.create_task(link.publish(topic, payload, qos=1, timeout_s=WAIT_S))

    running = service(name, env=env, ready=f"{address}/healthz")
    process = await asyncio.to_thread(running.__enter__)
    try:
        async with httpx.AsyncClient(base_url=address, timeout=WAIT_S) as client:

            async def connected() -> bool:
                missing = (await client.get("/readyz")).json()
                return "broker" not in str(missing) and link.connected.is_set()

            await until(connected, WAIT_S)

            async def arrived(count: int) -> None:
                """The broker has all that was sent at once; the service takes it as it can."""
                seen = "received" if name == "ingest" else "messages"

                async def all_there() -> bool:
                    return samples((await client.get("/metrics")).text).get(seen, 0) >= count

                await until(all_there, WAIT_S)

            await flood(0, WARM)
            await arrived(WARM)
            before = psutil.Process(process.pid).memory_info().rss
            await flood(WARM, MESSAGES)
            await arrived(MESSAGES)
            after = psutil.Process(process.pid).memory_info().rss
            counted = samples((await client.get("/metrics")).text)
            assert (await client.get("/healthz")).status_code == 200
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
        sending.cancel()
        await asyncio.wait({sending})
    assert after - before < MAY_GROW
    if name == "ingest":
        assert counted["dropped"] > counted["received"] / 2 > WARM
    else:
        assert counted["bad_messages"] >= MESSAGES / 2
