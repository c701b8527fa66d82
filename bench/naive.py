"""The simplest subscriber, as a baseline: for each message a row, its commit, and an acknowledgement.

    python -m bench.naive MQTT_PORT DATABASE_URL

It checks nothing, stores the payload as it came, and prints `ready` once it is subscribed.
"""

import asyncio
import json
import sys
from uuid import UUID

import asyncpg

from shared.messages import encode_ack
from shared.mqtt import MqttLink
from shared.settings import MqttSettings


async def main(port: int, url: str) -> None:
    """Store until killed."""
    settings = MqttSettings(port=port)
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS naive (id uuid PRIMARY KEY, payload bytea)")
    arrived: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    link = MqttLink(settings)
    for topic in (settings.topics.detections("+"), settings.topics.frames("+", "+")):
        link.subscribe(topic, lambda topic, payload: arrived.put_nowait((topic, payload)), qos=1)
    link.on_connect(lambda: print("ready", flush=True))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(link.run())
        while True:
            topic, payload = await arrived.get()
            place = settings.topics.parse(topic)
            assert place is not None
            ident = UUID(place.rest) if place.kind == "frames" else UUID(json.loads(payload)["event_id"])
            await connection.execute("INSERT INTO naive VALUES ($1, $2) ON CONFLICT DO NOTHING", ident, payload)
            await link.publish(settings.topics.ack(place.device), encode_ack([ident]))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
