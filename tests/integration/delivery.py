"""What the tests of delivery share: real messages, an edge (outbox and uplink), ingest, and a look into Postgres."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from services.classifier.delivery_settings import OutboxSettings, UplinkSettings
from services.classifier.outbox import Outbox, open_outbox
from services.classifier.uplink import Uplink
from services.ingest.main import run
from services.ingest.settings import IngestSettings
from shared.emotions import EMOTIONS
from shared.jpeg import with_comment
from shared.messages import Detection, Emotions, Face, FrameInfo, ModelRef, Quality, Region, Shown, Source
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.settings import DatabaseSettings, HealthSettings, MqttSettings
from tests.support.patience import WAIT_S

DEVICE = "edge-1"
BOOT = uuid4()
SOURCE = Source(kind="sample", name="two people")


def face(track_id: int = 1) -> Face:
    return Face(
        track_id=track_id,
        region=Region(x=10, y=-3, w=80, h=90),
        face_confidence=0.98,
        emotion=Emotions(**dict(zip(EMOTIONS, (0.05, 0.0, 0.05, 0.7, 0.1, 0.05, 0.05), strict=True))),
        dominant_emotion="happy",
        confidence=0.7,
        shown=Shown(state="unsure", since=datetime.now(UTC)),
        quality=Quality(size_px=80, blur=120.5, brightness=99.0, ok=False, reasons=("dark", "small")),
    )


def detection(seq: int = 0, *, device: str = DEVICE, faces: int = 2, **changes: Any) -> Detection:
    values: dict[str, Any] = {
        "event_id": uuid4(),
        "device": device,
        "boot_id": BOOT,
        "seq": seq,
        "captured_at": datetime.now(UTC) - timedelta(seconds=1),
        "source": SOURCE,
        "frame_number": seq,
        "frame_size": (640, 360),
        "model": ModelRef(name="slim_resnet", version="1.0.0"),
        "faces": tuple(face(number) for number in range(faces)),
        "latency_ms": {"total": 12.5},
    }
    return Detection(**(values | changes))


def bare_jpeg(width: int = 640, height: int = 360, padding: int = 0) -> bytes:
    size = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    scan = b"\xff\xda" + struct.pack(">H", 8) + b"\x01\x01\x00\x00\x3f\x00"
    return b"\xff\xd8" + size + scan + bytes(padding) + b"\xff\xd9"


def frame(device: str = DEVICE, *, size: int = 30_000, jpeg: bytes | None = None) -> tuple[UUID, bytes]:
    """A picture with what belongs to it inside: its id and its bytes."""
    frame_id = uuid4()
    info = FrameInfo(
        device=device,
        boot_id=BOOT,
        frame_number=1,
        captured_at=datetime.now(UTC),
        source=SOURCE,
        frame_id=frame_id,
        event_id=uuid4(),
    )
    return frame_id, with_comment(jpeg or bare_jpeg(padding=size), info.to_json())


async def put_detections(outbox: Outbox, count: int) -> list[UUID]:
    made = [detection(number, device=DEVICE) for number in range(count)]
    assert all(await asyncio.gather(*(outbox.put_detection(d.event_id, d.to_json()) for d in made)))
    return [d.event_id for d in made]


async def put_frames(outbox: Outbox, count: int) -> list[UUID]:
    made = [frame() for _ in range(count)]
    assert all(await asyncio.gather(*(outbox.put_frame(frame_id, jpeg) for frame_id, jpeg in made)))
    return [frame_id for frame_id, _ in made]


@contextlib.asynccontextmanager
async def edge(
    mqtt: MqttSettings, folder: Path, *, device: str = DEVICE, uplink: UplinkSettings | None = None
) -> AsyncIterator[Outbox]:
    """An outbox, and an uplink that empties it."""
    metrics = Metrics("classifier")
    async with open_outbox(folder / f"{device}.db", OutboxSettings(), metrics) as outbox:
        link = MqttLink(mqtt)
        sender = Uplink(uplink or UplinkSettings(resend_after_s=1.0), outbox, link, mqtt.topics, device, metrics)
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(sender.run())]
        try:
            yield outbox
        finally:
            await stop(*tasks)


@contextlib.asynccontextmanager
async def ingest(settings: IngestSettings) -> AsyncIterator[asyncio.Task[None]]:
    """The real service; stopped as the process's runner stops it."""
    task = asyncio.create_task(run(settings), name="ingest")
    try:
        yield task
    finally:
        await stop(task)


def ingest_settings(mqtt: MqttSettings, database: DatabaseSettings, **values: Any) -> IngestSettings:
    return IngestSettings(mqtt=mqtt, database=database, **values)


async def stop(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert result is None or isinstance(result, asyncio.CancelledError), result


async def until(condition: Callable[[], bool | Awaitable[bool]], wait_s: float = WAIT_S) -> None:
    """Wait until `condition` holds: for what another program does there is no event to wait on."""
    async with asyncio.timeout(wait_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.02)


async def is_ready(health: HealthSettings) -> bool:
    """Whether a service answers and has all that it needs."""
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{health.port}/readyz")).status_code == 200
    except httpx.TransportError:
        return False


class Rows:
    """What is in the database."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def all(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self._connection.fetch(statement, *arguments)]

    async def count(self, table: str) -> int:
        return int(await self._connection.fetchval(f"SELECT count(*) FROM {table}"))

    async def ids(self, table: str) -> list[UUID]:
        column = "frame_id" if table == "frames" else "event_id"
        return [row[0] for row in await self.all(f"SELECT {column} FROM {table} ORDER BY captured_at")]


@contextlib.asynccontextmanager
async def rows_of(database: DatabaseSettings) -> AsyncIterator[Rows]:
    connection = await asyncpg.connect(database.url.get_secret_value())
    try:
        yield Rows(connection)
    finally:
        await connection.close()
