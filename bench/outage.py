"""Twelve hours without a link, and what is then sent: how fast, in which order, and how live data fares meanwhile."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import httpx
import uuid_utils.compat as uuid_utils

from bench.results import Result, against, percentile
from bench.servers import mosquitto, service
from services.classifier.delivery_settings import OutboxSettings
from services.classifier.main import OUTBOX_FILE
from services.classifier.outbox import Outbox, open_outbox
from services.embedded import embedded_postgres, free_port
from shared.db.migrate import upgrade
from shared.jpeg import with_comment
from shared.messages import Detection, FrameInfo
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.settings import MqttSettings

DEVICE: Final = "bench"
HOURS: Final = 12
DETECTIONS_A_SECOND: Final = 5
DETECTIONS_A_FRAME: Final = 25
FRAME_BYTES: Final = 30_000
LIVE_A_SECOND: Final = 15
QUIET_S: Final = 20.0
OUTBOX_MB: Final = 2048
_TOGETHER: Final = 256
_GOLDEN: Final = Path(__file__).resolve().parents[1] / "tests" / "golden"


def _backlog(hours: float) -> Iterator[tuple[bool, UUID, bytes]]:
    """What a device makes in so many hours up to now: whether it is a picture, its id, its bytes."""
    sample = Detection.model_validate(json.loads((_GOLDEN / "detection.json").read_text()))
    info = FrameInfo.model_validate(json.loads((_GOLDEN / "frame_info.json").read_text()))
    picture = b"\xff\xd8\xff\xc0\x00\x0b\x08\x01\x68\x02\x80\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    picture += bytes(FRAME_BYTES) + b"\xff\xd9"
    began = datetime.now(UTC) - timedelta(hours=hours)
    for number in range(int(hours * 3600 * DETECTIONS_A_SECOND)):
        event_id = uuid_utils.uuid7()
        captured_at = began + timedelta(seconds=number / DETECTIONS_A_SECOND)
        changes = {"device": DEVICE, "event_id": event_id, "frame_number": number, "captured_at": captured_at}
        frame_id = uuid_utils.uuid7() if number % DETECTIONS_A_FRAME == 0 else None
        if frame_id is not None:
            own = info.model_copy(update=changes | {"frame_id": frame_id})
            yield True, frame_id, with_comment(picture, own.to_json())
        yield False, event_id, sample.model_copy(update=changes | {"frame_id": frame_id, "seq": number}).to_json()


async def _offline(outbox: Outbox, hours: float) -> None:
    items = _backlog(hours)
    while together := list(itertools.islice(items, _TOGETHER)):
        await asyncio.gather(
            *(
                outbox.put_frame(item_id, payload) if is_frame else outbox.put_detection(item_id, payload)
                for is_frame, item_id, payload in together
            )
        )


class _Live:
    """Sends live messages on the device's broker and takes the time until they are at the cloud's."""

    def __init__(self, local: MqttSettings, cloud: MqttSettings) -> None:
        self.sender = MqttLink(local)
        self.watcher = MqttLink(cloud)
        self.took: list[float] = []
        self.sent = 0
        self._topic = local.topics.live(DEVICE)
        self.watcher.subscribe(cloud.topics.live(DEVICE), self._seen)

    def _seen(self, _: str, payload: bytes) -> None:
        self.took.append(time.perf_counter() - float(payload))

    async def send(self) -> None:
        while True:
            await self.sender.publish(self._topic, str(time.perf_counter()).encode().ljust(900))
            self.sent += 1
            await asyncio.sleep(1 / LIVE_A_SECOND)

    def taken(self) -> tuple[list[float], int]:
        """What was measured since the last time, and how many were sent."""
        took, sent = self.took, self.sent
        self.took, self.sent = [], 0
        return took, sent


@asynccontextmanager
async def _running(live: _Live) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(link.run()) for link in (live.sender, live.watcher)]
    await asyncio.gather(live.sender.connected.wait(), live.watcher.connected.wait())
    tasks.append(asyncio.create_task(live.send()))
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _waiting(client: httpx.AsyncClient, health: int) -> int:
    text = (await client.get(f"http://127.0.0.1:{health}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("emotion_classifier_outbox_items{")]
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


async def _measure(folder: Path, env: dict[str, str], hours: float) -> list[Result]:
    data = folder / "edge"
    began = time.perf_counter()
    async with open_outbox(data / OUTBOX_FILE, OutboxSettings(max_mb=OUTBOX_MB), Metrics("classifier")) as outbox:
        await _offline(outbox, hours)
        depth, dropped = outbox.depth(), outbox.dropped_detections + outbox.dropped_frames
    written_s = time.perf_counter() - began
    size_mb = (data / OUTBOX_FILE).stat().st_size / 2**20
    items = depth.detections + depth.frames
    with ExitStack() as stack:
        brokers = []
        for name in ("local", "cloud"):
            (folder / name).mkdir()
            brokers.append(stack.enter_context(mosquitto(folder / name)))
        local, cloud = brokers
        async with embedded_postgres(folder / "outage-pg") as database:
            await upgrade(database)
            url = database.url.get_secret_value()
            edge_health, cloud_health = free_port(), free_port()
            own = {
                "EMOTION_MQTT__PORT": str(cloud.port),
                "EMOTION_DATABASE__URL": url,
                "EMOTION_HEALTH__PORT": str(cloud_health),
            }
            stack.enter_context(service("ingest", env=own, ready=f"http://127.0.0.1:{cloud_health}/readyz"))
            own = env | {
                "EMOTION_DEVICE": DEVICE,
                "EMOTION_MQTT__PORT": str(local.port),
                "EMOTION_CLOUD__PORT": str(cloud.port),
                "EMOTION_DATA_DIR": str(data),
                "EMOTION_OUTBOX__MAX_MB": str(OUTBOX_MB),
                "EMOTION_HEALTH__PORT": str(edge_health),
            }
            began = time.perf_counter()  # the classifier's own start is counted too
            with service("classifier", env=own, ready=f"http://127.0.0.1:{edge_health}/readyz"):
                live = _Live(local, cloud)
                async with _running(live), httpx.AsyncClient() as client:
                    while await _waiting(client, edge_health):  # noqa: ASYNC110 - another process has no event for us
                        await asyncio.sleep(0.5)
                    drained_s = time.perf_counter() - began
                    busy, sent = live.taken()
                    await asyncio.sleep(QUIET_S)
                    quiet, _ = live.taken()
            stored, overtaken = await _stored(url)
    note = (
        f"{hours:g} h at {DETECTIONS_A_SECOND} detections/s and {DETECTIONS_A_SECOND / DETECTIONS_A_FRAME:g} frames/s: "
        f"{items} items, {size_mb:.0f} MiB, {dropped} dropped; {stored} rows, {overtaken} overtaken"
    )
    return [
        Result("outage: drain, times faster than real time", hours * 3600 / drained_s, "", note=f"{note}; goal: 20"),
        Result("outage: drained", items / drained_s, "1/s", note=f"{drained_s:.0f} s; written in {written_s:.0f} s"),
        against(
            "outage: live message, device to cloud, p95",
            1000 * percentile(busy, 95),
            1000 * percentile(quiet, 95),
            "ms",
            f"during the drain; baseline: after it; {len(busy)} of {sent} came",
        ),
    ]


async def _stored(url: str) -> tuple[int, int]:
    """How many rows there are, and how many detections were stored after one that was made later."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetchval("SELECT (SELECT count(*) FROM detections) + (SELECT count(*) FROM frames)")
        overtaken = await connection.fetchval(
            "SELECT count(*) FROM (SELECT seq, lag(seq) OVER (ORDER BY received_at, seq) AS before FROM detections) t "
            "WHERE seq < before"
        )
    finally:
        await connection.close()
    return int(rows), int(overtaken)


def run(folder: Path, env: dict[str, str], hours: float = HOURS) -> list[Result]:
    """Measure in `folder`, which is thrown away."""
    return asyncio.run(_measure(folder, env, hours))
