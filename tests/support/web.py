"""A running web service for tests, and a place to put rows for it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.embedded import free_port
from services.ingest.store import Store
from services.ingest.validate import Accepted, Arrival, validate
from services.web.main import run
from services.web.settings import WebSettings
from shared.db.engine import create_engine
from shared.db.migrate import upgrade
from shared.db.partitions import ensure_day
from shared.db.tables import PARTITIONED, detections, devices, faces, frames
from shared.messages import Detection
from shared.settings import DatabaseSettings, MqttSettings
from shared.topics import Topics
from tests.support.patience import STOPS_WITHIN_S
from tests.support.scenes import BOOT


@asynccontextmanager
async def running_web(settings: WebSettings, *, ready: bool = True) -> AsyncIterator[str]:
    """The web service as a task; gives its address. With `ready`, waits until it reaches what it needs."""
    base = f"http://127.0.0.1:{settings.port}"
    task = asyncio.create_task(run(settings), name="web")
    try:
        async with httpx.AsyncClient(base_url=base) as client:
            while True:
                if task.done():
                    task.result()
                with suppress(httpx.TransportError):
                    answer = await client.get("/readyz" if ready else "/healthz")
                    if answer.status_code == 200:
                        break
                await asyncio.sleep(0.02)
        yield base
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            async with asyncio.timeout(STOPS_WITHIN_S):
                await task


def web_settings(mqtt: MqttSettings, database: DatabaseSettings | None = None, **more: Any) -> WebSettings:
    """Settings of a web service on a free port: with a database in the cloud role, else in the edge role."""
    values: dict[str, Any] = {"mqtt": mqtt, "port": free_port(), "role": "edge" if database is None else "cloud"}
    if database is not None:
        values["database"] = database
    return WebSettings(**values, **more)


@asynccontextmanager
async def records(settings: DatabaseSettings, *days: date) -> AsyncIterator[AsyncEngine]:
    """A database with its tables as the migrations make them, and a partition for each of `days`."""
    await upgrade(settings)
    engine = create_engine(settings)
    try:
        async with engine.begin() as connection:
            for table in PARTITIONED:
                for day in days:
                    await ensure_day(connection, table, day)
        yield engine
    finally:
        await engine.dispose()


async def waits_for_a_lock(engine: AsyncEngine) -> bool:
    """Whether a statement in this database waits for what another transaction holds."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with engine.connect() as connection:
        return bool(await connection.scalar(text(waiting)))


async def store(engine: AsyncEngine, found: Sequence[Detection], *, new_device: bool = True) -> None:
    """Put detections into the tables as they are when ingest has stored them."""
    face_rows = []
    for one in found:
        for index, face in enumerate(one.faces):
            face_rows.append(
                {
                    "captured_at": one.captured_at,
                    "event_id": one.event_id,
                    "face_index": index,
                    "device": one.device,
                    "track_id": face.track_id,
                    **face.region.model_dump(),
                    "face_confidence": face.face_confidence,
                    **face.emotion.model_dump(),
                    "dominant_emotion": face.dominant_emotion,
                    "confidence": face.confidence,
                    "shown_state": face.shown.state if face.shown else None,
                    "shown_since": face.shown.since if face.shown else None,
                    **{f"quality_{name}": value for name, value in face.quality.model_dump().items()},
                }
            )
    rows = [
        {
            **one.model_dump(
                include={"captured_at", "event_id", "device", "boot_id", "seq", "frame_number", "frame_id"}
            ),
            "source_kind": one.source.kind,
            "source_name": one.source.name,
            "frame_width": one.frame_size[0],
            "frame_height": one.frame_size[1],
            "model_name": one.model.name,
            "model_version": one.model.version,
            "face_count": len(one.faces),
            "latency_ms": one.latency_ms,
        }
        for one in found
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(detections), rows)
        if face_rows:
            await connection.execute(insert(faces), face_rows)
        names = {one.device for one in found} if new_device else set()
        now = datetime.now(UTC)
        if names:
            await connection.execute(
                insert(devices), [{"device": name, "first_seen": now, "last_seen": now} for name in sorted(names)]
            )


def accepted(message: Detection) -> Accepted:
    """A detection as ingest has it before it is stored."""
    topics = Topics()
    judged = validate(topics, Arrival(topics.detections(message.device), message.to_json()))
    assert isinstance(judged, Accepted)
    return judged


async def ingested(engine: AsyncEngine, found: Sequence[Detection]) -> None:
    """Store detections as ingest does, with their episodes."""
    saved = await Store(engine, dead_letter_bytes=1000).save([accepted(one) for one in found])
    assert saved.stored == len(found)


async def store_frame(
    engine: AsyncEngine,
    frame_id: UUID,
    jpeg: bytes,
    captured_at: datetime,
    event_id: UUID | None = None,
    *,
    device: str = "camera-1",
) -> None:
    """Put a kept picture into its table."""
    row = {
        "event_id": event_id,
        "captured_at": captured_at,
        "frame_id": frame_id,
        "device": device,
        "boot_id": BOOT,
        "frame_number": 7,
        "source_kind": "sample",
        "source_name": "sample",
        "width": 64,
        "height": 36,
        "sha256": hashlib.sha256(jpeg).digest(),
        "jpeg": jpeg,
    }
    async with engine.begin() as connection:
        await connection.execute(insert(frames), [row])


def check_problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Every error has this one shape; returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:emotion-edge:problem:{kind}"
    assert document["status"] == status
    assert document["instance"] == answer.request.url.path
    assert document["title"]
    assert document["detail"]
    assert document["next_step"]
    assert set(document) <= {"type", "title", "status", "detail", "next_step", "instance", "errors"}
    return document
