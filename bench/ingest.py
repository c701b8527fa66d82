"""How fast ingest stores and acknowledges, through a real Mosquitto into a real Postgres."""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
import uuid_utils.compat as uuid_utils

from bench.results import Result, against
from bench.servers import mosquitto, service
from services.embedded import embedded_postgres, free_port
from shared.db.migrate import upgrade
from shared.jpeg import with_comment
from shared.messages import Detection, FrameInfo, decode_ack
from shared.mqtt import MqttLink
from shared.settings import MqttSettings
from tests.support.secure_broker import secure_broker

DEVICE = "bench"
DETECTIONS = 15_000
FRAMES = 2_000
FRAME_BYTES = 30_000
EVERY = 5
WINDOW = 400
GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "detection.json"
Message = tuple[UUID, str, bytes]


def detections(mqtt: MqttSettings, count: int) -> Iterator[Message]:
    """Detections of two faces each, as a camera at 15 frames/s would make them."""
    sample = Detection.model_validate(json.loads(GOLDEN.read_text()))
    began = datetime.now(UTC) - timedelta(minutes=10)
    for number in range(count):
        event = uuid_utils.uuid7()
        message = sample.model_copy(
            update={
                "event_id": event,
                "device": DEVICE,
                "seq": number,
                "frame_number": number,
                "frame_id": None,
                "captured_at": began + timedelta(seconds=number / 15),
                "faces": sample.faces * 2,
            }
        )
        yield event, mqtt.topics.detections(DEVICE), message.to_json()


def frames(mqtt: MqttSettings, count: int) -> Iterator[Message]:
    """Pictures of about 30 kB."""
    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3)).astype(np.uint8)
    noise = cv2.GaussianBlur(noise, (0, 0), 1.2).astype(np.uint8)
    quality = next(q for q in range(20, 96) if len(cv2.imencode(".jpg", noise, [1, q])[1]) >= FRAME_BYTES)
    jpeg = cv2.imencode(".jpg", noise, [1, quality])[1].tobytes()
    info = json.loads((GOLDEN.parent / "frame_info.json").read_text())
    for number in range(count):
        frame_id = uuid_utils.uuid7()
        own = FrameInfo.model_validate(info | {"device": DEVICE, "frame_id": frame_id, "frame_number": number})
        own = own.model_copy(update={"captured_at": datetime.now(UTC), "event_id": None})
        yield frame_id, mqtt.topics.frames(DEVICE, frame_id), with_comment(jpeg, own.to_json())


def mixed(mqtt: MqttSettings, of_frames: int) -> Iterator[Message]:
    """Five detections, then a picture, and again."""
    other = detections(mqtt, of_frames * EVERY)
    for picture in frames(mqtt, of_frames):
        yield from itertools.islice(other, EVERY)
        yield picture


class Producer:
    """Sends with at most WINDOW messages unacknowledged, as an outbox does."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.link = MqttLink(mqtt)
        self._waiting: set[UUID] = set()
        self._changed = asyncio.Event()
        self.link.subscribe(mqtt.topics.ack(DEVICE), self._on_ack, qos=1)

    def _on_ack(self, topic: str, payload: bytes) -> None:
        self._waiting.difference_update(decode_ack(topic, payload))
        self._changed.set()

    async def send(self, messages: list[Message]) -> float:
        """Send all and wait for all acknowledgements; messages per second."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for ident, topic, payload in messages:
                await self._until(lambda: len(self._waiting) < WINDOW)
                self._waiting.add(ident)
                group.create_task(self.link.publish(topic, payload, qos=1, timeout_s=60))
        await self._until(lambda: not self._waiting)
        return len(messages) / (time.perf_counter() - began)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def _connected(mqtt: MqttSettings) -> AsyncIterator[Producer]:
    producer = Producer(mqtt)
    task = asyncio.create_task(producer.link.run())
    await producer.link.connected.wait()
    yield producer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _measure(folder: Path) -> list[Result]:
    goals = {"detections": 1500, "frames of 30 kB": 300, "detections with a frame to every fifth": 1500 + 300}
    async with embedded_postgres(folder / "pg") as database:
        await upgrade(database)
        url = database.url.get_secret_value()
        with mosquitto(folder) as mqtt:
            health = free_port()
            env = {
                "EMOTION_MQTT__PORT": str(mqtt.port),
                "EMOTION_DATABASE__URL": url,
                "EMOTION_HEALTH__PORT": str(health),
            }
            with service("ingest", env=env, ready=f"http://127.0.0.1:{health}/readyz"):
                own = await _rates(mqtt, goals, DETECTIONS, FRAMES)
            with _naive(mqtt, url):
                naive = await _rates(mqtt, goals, DETECTIONS // 5, FRAMES // 5)
        secure = await _measure_secure(folder / "secure", url)
    plain = next(iter(own.values()))
    tls = "through the deployed broker: TLS, passwords, access rules; baseline: the same without; goal: 1500/s"
    return [
        against("ingest under TLS: detections stored and acknowledged", secure, plain, "1/s", tls),
        *_against_naive(own, naive, goals),
    ]


def _against_naive(own: dict[str, float], naive: dict[str, float], goals: dict[str, int]) -> list[Result]:
    note = "Mosquitto to Postgres and back; baseline: a row and a commit a message, nothing checked; goal: {}/s"
    return [
        against(f"ingest: {name} stored and acknowledged", own[name], naive[name], "1/s", note.format(goal))
        for name, goal in goals.items()
    ]


async def _measure_secure(folder: Path, url: str) -> float:
    with secure_broker(folder, DEVICE) as broker:
        mqtt = broker.service("ingest")
        assert mqtt.username is not None
        assert mqtt.password is not None
        health = free_port()
        env = {
            "EMOTION_MQTT__HOST": mqtt.host,
            "EMOTION_MQTT__PORT": str(mqtt.port),
            "EMOTION_MQTT__TLS": "true",
            "EMOTION_MQTT__CA_FILE": str(mqtt.ca_file),
            "EMOTION_MQTT__USERNAME": mqtt.username,
            "EMOTION_MQTT__PASSWORD": mqtt.password.get_secret_value(),
            "EMOTION_DATABASE__URL": url,
            "EMOTION_HEALTH__PORT": str(health),
        }
        device = broker.settings(DEVICE)
        with service("ingest", env=env, ready=f"http://127.0.0.1:{health}/readyz"):
            async with _connected(device) as producer:
                await producer.send(list(detections(device, 500)))
                return await producer.send(list(detections(device, DETECTIONS)))


async def _rates(mqtt: MqttSettings, names: Iterable[str], of_detections: int, of_frames: int) -> dict[str, float]:
    async with _connected(mqtt) as producer:
        await producer.send(list(detections(mqtt, 500)))  # partitions and plans exist from here on
        each = [list(detections(mqtt, of_detections)), list(frames(mqtt, of_frames)), list(mixed(mqtt, of_frames))]
        return {name: await producer.send(messages) for name, messages in zip(names, each, strict=True)}


@contextmanager
def _naive(mqtt: MqttSettings, url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.naive", str(mqtt.port), url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "ready":
            assert process.poll() is None, "the baseline's subscriber ended"
        yield
    finally:
        process.kill()
        process.wait()


def run(folder: Path) -> list[Result]:
    """Measure in `folder`, which is thrown away."""
    return asyncio.run(_measure(folder))
