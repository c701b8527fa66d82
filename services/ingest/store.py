"""Writes accepted messages and dead letters to Postgres, a transaction a batch, one statement a table.

Each statement takes a column as an array (`unnest`), which is several times faster than a row at a time. What is
already there is left as it is: ids are unique, messages come more than once.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest import episodes
from services.ingest.validate import Accepted, Picture, Reason, Refused
from shared import logs
from shared.db import hourly
from shared.db.erasure import INGEST_LOCK
from shared.db.faults import Fault, describe, fault_of
from shared.db.partitions import day_of, ensure_day, has_own_partition
from shared.db.places import Scope
from shared.emotions import EMOTIONS
from shared.messages import Detection

_DETECTION_COLUMNS: Final = {
    "captured_at": "timestamptz",
    "event_id": "uuid",
    "device": "text",
    "boot_id": "uuid",
    "seq": "bigint",
    "source_kind": "text",
    "source_name": "text",
    "frame_number": "bigint",
    "frame_id": "uuid",
    "frame_width": "integer",
    "frame_height": "integer",
    "model_name": "text",
    "model_version": "text",
    "face_count": "smallint",
    "latency_ms": "text",
}
_FACE_COLUMNS: Final[dict[str, str]] = {
    "captured_at": "timestamptz",
    "event_id": "uuid",
    "face_index": "smallint",
    "device": "text",
    "track_id": "bigint",
    "x": "integer",
    "y": "integer",
    "w": "integer",
    "h": "integer",
    "face_confidence": "real",
    **{str(emotion): "real" for emotion in EMOTIONS},
    "dominant_emotion": "text",
    "confidence": "real",
    "shown_state": "text",
    "shown_since": "timestamptz",
    "quality_size_px": "integer",
    "quality_blur": "real",
    "quality_brightness": "real",
    "quality_yaw": "real",
    "quality_ok": "boolean",
    "quality_reasons": "text",
}
_FRAME_COLUMNS: Final = {
    "captured_at": "timestamptz",
    "frame_id": "uuid",
    "device": "text",
    "event_id": "uuid",
    "boot_id": "uuid",
    "frame_number": "bigint",
    "source_kind": "text",
    "source_name": "text",
    "width": "integer",
    "height": "integer",
    "sha256": "bytea",
    "jpeg": "bytea",
}
_DEAD_LETTER_COLUMNS: Final = {
    "topic": "text",
    "device": "text",
    "message_id": "uuid",
    "reason": "text",
    "payload": "bytea",
    "payload_bytes": "bigint",
    "digest": "bytea",
    "times": "bigint",
}
_CAST: Final = {"latency_ms": "latency_ms::jsonb", "quality_reasons": "string_to_array(quality_reasons, ',')"}
"""Columns that travel as text: arrays of arrays would be flattened, and JSON's encoder is SQLAlchemy's."""


def _insert(table: str, columns: dict[str, str], conflict: str) -> str:
    names = ", ".join(columns)
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), start=1))
    values = ", ".join(_CAST.get(name, name) for name in columns)
    rows = f"SELECT {values} FROM unnest({arrays}) AS t({names})"  # noqa: S608 - every part is a constant of this module
    return f"INSERT INTO {table} ({names}) {rows} {conflict}"


_INSERT_DETECTIONS: Final = _insert(
    "detections", _DETECTION_COLUMNS, f"ON CONFLICT DO NOTHING RETURNING {', '.join(hourly.OF_DETECTION)}"
)
_INSERT_FACES: Final = _insert(
    "faces",
    _FACE_COLUMNS,
    f"ON CONFLICT DO NOTHING RETURNING captured_at, event_id, face_index, {', '.join(hourly.OF_FACE)}",
)
_ADD_TO_EPISODES: Final = _insert("episodes", episodes.COLUMNS, episodes.CONFLICT)
_INSERT_FRAMES: Final = _insert("frames", _FRAME_COLUMNS, "ON CONFLICT DO NOTHING")
_INSERT_DEAD_LETTERS: Final = _insert(
    "dead_letters",
    _DEAD_LETTER_COLUMNS,
    "ON CONFLICT (digest) DO UPDATE SET times = dead_letters.times + excluded.times",
)
# In the order of names, so that two replicas never wait for each other. A clock that runs ahead does not make a
# device's last sign of life lie in the future.
_UPSERT_DEVICES: Final = """
INSERT INTO devices (device, first_seen, last_seen)
SELECT device, least(first_seen, now()), least(last_seen, now())
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS t(device, first_seen, last_seen)
ORDER BY device
ON CONFLICT (device) DO UPDATE SET
    first_seen = least(devices.first_seen, excluded.first_seen),
    last_seen = greatest(devices.last_seen, excluded.last_seen)
"""
_SCHEMA_CHECK: Final = (
    "SELECT FROM detections, faces, episodes, hourly_totals, frames, devices, dead_letters, erasures LIMIT 0"
)
# Taken before the erasures are read and held until the commit: an erasure is written down before or after this batch.
_SHARE_WITH_ERASURES: Final = "SELECT pg_advisory_xact_lock_shared($1)"
# Those that may concern a batch: mostly none. Which of its messages they do concern is looked up one by one.
_ERASURES_NEAR: Final = """
SELECT device, captured_from, captured_to, item_id FROM erasures
WHERE item_id = ANY($1::uuid[])
OR item_id IS NULL AND (device IS NULL OR device = ANY($2::text[]))
    AND (captured_from IS NULL OR captured_from <= $4) AND captured_to > $3
"""
_MAX_REASON: Final = 1000
_KNOWN_DAYS_FOR_S: Final = 3600.0
_PARTITION_LATER_S: Final = 60.0
_IN_THE_WAY: Final = ("55P03", "23514")
"""Lock not available, and a row of the day that came into the default partition meanwhile."""

log = logs.get(__name__)

Write = Callable[[asyncpg.Connection], Awaitable[int]]


@dataclass(slots=True)
class Saved:
    """What became of a batch: how many rows are new, how many were there, how many belong to what was erased and so
    are not stored again, and what the database refused."""

    stored: int = 0
    duplicates: int = 0
    erased: int = 0
    refused: list[Refused] = field(default_factory=list)


class Store:
    """The database as ingest uses it. Every method commits what it did before it returns."""

    def __init__(self, engine: AsyncEngine, *, dead_letter_bytes: int) -> None:
        self._engine = engine
        self._dead_letter_bytes = dead_letter_bytes
        self._days: dict[tuple[str, date], float] = {}
        """Table and day whose partition need not be looked after, until a time on the monotonic clock."""

    async def check(self) -> None:
        """Raise what a statement on the tables raises: no connection, no tables, no permission."""
        await self._in_transaction(lambda connection: _execute(connection, _SCHEMA_CHECK))

    async def save(self, batch: Sequence[Accepted]) -> Saved:
        """Store accepted messages. What the database refuses as data is found by halving and returned, not stored.

        Raises:
            Exception: what the database or the connection raised otherwise. Part of the batch may be stored; storing
                it again is harmless.
        """
        detections = [message for message in batch if isinstance(message.content, Detection)]
        pictures = [message for message in batch if isinstance(message.content, Picture)]
        saved = Saved()
        if detections:
            await self._ensure_partitions(("detections", "faces"), {_captured_at(m) for m in detections})
            await self._save(detections, _write_detections, saved)
        if pictures:
            await self._ensure_partitions(("frames",), {_captured_at(m) for m in pictures})
            await self._save(pictures, _write_pictures, saved)
        return saved

    async def bury(self, refused: Sequence[Refused]) -> None:
        """Keep refused messages as dead letters; one that comes again is counted, not kept again."""
        if not refused:
            return
        unique: dict[bytes, Refused] = {}
        times: Counter[bytes] = Counter()
        for message in refused:
            digest = hashlib.sha256(message.arrival.topic.encode() + b"\0" + message.arrival.payload).digest()
            unique[digest] = message
            times[digest] += 1
        rows = [
            (
                _storable(message.arrival.topic),
                message.device,
                message.id,
                _storable(message.text)[:_MAX_REASON],
                message.arrival.payload[: self._dead_letter_bytes],
                len(message.arrival.payload),
                digest,
                times[digest],
            )
            for digest, message in sorted(unique.items())
        ]
        await self._in_transaction(lambda connection: _execute(connection, _INSERT_DEAD_LETTERS, *_columns(rows)))

    async def _save(
        self,
        batch: Sequence[Accepted],
        write: Callable[[asyncpg.Connection, Sequence[Accepted]], Awaitable[int]],
        saved: Saved,
    ) -> None:
        erased = 0

        async def write_the_rest(connection: asyncpg.Connection) -> int:
            nonlocal erased
            rest = await _without_erased(connection, batch)
            erased = len(batch) - len(rest)
            return await write(connection, rest) if rest else 0

        try:
            stored = await self._in_transaction(write_the_rest)
        except Exception as error:
            if fault_of(error) is not Fault.DATA:
                raise
            if len(batch) == 1:
                (message,) = batch
                saved.refused.append(
                    Refused(message.arrival, Reason.DATABASE, describe(error), message.device, message.id)
                )
                return
            middle = len(batch) // 2
            await self._save(batch[:middle], write, saved)
            await self._save(batch[middle:], write, saved)
        else:
            saved.stored += stored
            saved.erased += erased
            saved.duplicates += len(batch) - erased - stored

    async def _in_transaction(self, write: Write) -> int:
        async with self._engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver = raw.driver_connection
            if not isinstance(driver, asyncpg.Connection):
                raise TypeError(f"expected a connection of asyncpg, got {type(driver).__name__}")
            try:
                async with driver.transaction():
                    return await write(driver)
            except BaseException as error:
                if fault_of(error) is not Fault.DATA:
                    await connection.invalidate()  # whatever state it is in, nobody gets it again
                raise

    async def _ensure_partitions(self, tables: tuple[str, ...], moments: set[datetime]) -> None:
        now = time.monotonic()
        today = datetime.now(UTC).date()
        for day in sorted({day_of(moment) for moment in moments}):
            if not has_own_partition(day, today):
                continue
            for table in tables:
                if self._days.get((table, day), now) <= now:
                    self._days[table, day] = now + await self._ensure_partition(table, day)

    async def _ensure_partition(self, table: str, day: date) -> float:
        """Make one partition; return for how many seconds it need not be looked after."""
        try:
            async with self._engine.begin() as connection:
                if await ensure_day(connection, table, day):
                    log.info("partition made", table=table, day=day.isoformat())
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
                raise
            log.warning(
                "a day's partition cannot be made now; its rows go to the default one and move later",
                table=table,
                day=day.isoformat(),
                error=describe(error),
            )
            return _PARTITION_LATER_S
        return _KNOWN_DAYS_FOR_S


async def _execute(connection: asyncpg.Connection, statement: str, *arguments: Any) -> int:
    """Run one statement; return how many rows it changed."""
    tag: str = await connection.execute(statement, *arguments)
    count = tag.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


async def _without_erased(connection: asyncpg.Connection, batch: Sequence[Accepted]) -> Sequence[Accepted]:
    """The messages of a batch that lie within no erasure."""
    await connection.execute(_SHARE_WITH_ERASURES, INGEST_LOCK)
    ids = [message.id for message in batch] + [event for message in batch if (event := _event_id(message))]
    times = [_captured_at(message) for message in batch]
    devices = list({message.device for message in batch})
    near = [
        Scope(row["device"], row["captured_from"], row["captured_to"], row["item_id"])
        for row in await connection.fetch(_ERASURES_NEAR, ids, devices, min(times), max(times))
    ]
    return [message for message in batch if not any(_holds(scope, message) for scope in near)] if near else batch


def _holds(scope: Scope, message: Accepted) -> bool:
    if scope.item_id is not None:
        return scope.item_id in (message.id, _event_id(message))
    at = _captured_at(message)
    return (
        scope.device in (None, message.device)
        and (scope.begin is None or scope.begin <= at)
        and (scope.end is None or at < scope.end)
    )


async def _write_detections(connection: asyncpg.Connection, batch: Sequence[Accepted]) -> int:
    rows: list[tuple[Any, ...]] = []
    faces: list[tuple[Any, ...]] = []
    seen: dict[str, tuple[datetime, datetime]] = {}
    for message in batch:
        detection = message.content
        if not isinstance(detection, Detection):
            raise TypeError(f"expected a detection, got {type(detection).__name__}")
        rows.append(_detection_row(detection))
        faces += _face_rows(detection)
        first, last = seen.get(detection.device, (detection.captured_at, detection.captured_at))
        seen[detection.device] = min(first, detection.captured_at), max(last, detection.captured_at)
    # Only what is new counts in episodes and totals. Both are in the order of keys, as everybody takes them.
    new = await connection.fetch(_INSERT_DETECTIONS, *_columns(rows))
    new_faces = await connection.fetch(_INSERT_FACES, *_columns(faces)) if faces else []
    detections = (message.content for message in batch if isinstance(message.content, Detection))
    if added := episodes.gather(detections, {row[:3] for row in new_faces}):
        await _execute(connection, _ADD_TO_EPISODES, *_columns(added))
    if totals := hourly.gather(new, (row[3:] for row in new_faces)):
        await _execute(connection, hourly.ADD, *_columns(totals))
    # Last, because other replicas wait for these few rows.
    await _execute(connection, _UPSERT_DEVICES, *_columns([(device, *span) for device, span in seen.items()]))
    return len(new)


async def _write_pictures(connection: asyncpg.Connection, batch: Sequence[Accepted]) -> int:
    rows: list[tuple[Any, ...]] = []
    for message in batch:
        picture = message.content
        if not isinstance(picture, Picture):
            raise TypeError(f"expected a picture, got {type(picture).__name__}")
        info = picture.info
        rows.append(
            (
                info.captured_at,
                picture.frame_id,
                info.device,
                info.event_id,
                info.boot_id,
                info.frame_number,
                info.source.kind,
                info.source.name,
                picture.width,
                picture.height,
                picture.sha256,
                picture.jpeg,
            )
        )
    return await _execute(connection, _INSERT_FRAMES, *_columns(rows))


def _detection_row(detection: Detection) -> tuple[Any, ...]:
    return (
        detection.captured_at,
        detection.event_id,
        detection.device,
        detection.boot_id,
        detection.seq,
        detection.source.kind,
        detection.source.name,
        detection.frame_number,
        detection.frame_id,
        *detection.frame_size,
        detection.model.name,
        detection.model.version,
        len(detection.faces),
        json.dumps(detection.latency_ms),
    )


def _face_rows(detection: Detection) -> list[tuple[Any, ...]]:
    return [
        (
            detection.captured_at,
            detection.event_id,
            index,
            detection.device,
            face.track_id,
            face.region.x,
            face.region.y,
            face.region.w,
            face.region.h,
            face.face_confidence,
            *face.emotion.as_tuple(),
            face.dominant_emotion,
            face.confidence,
            face.shown.state if face.shown else None,
            face.shown.since if face.shown else None,
            face.quality.size_px,
            face.quality.blur,
            face.quality.brightness,
            face.quality.yaw,
            face.quality.ok,
            ",".join(face.quality.reasons),
        )
        for index, face in enumerate(detection.faces)
    ]


def _captured_at(message: Accepted) -> datetime:
    content = message.content
    return content.captured_at if isinstance(content, Detection) else content.info.captured_at


def _event_id(message: Accepted) -> UUID | None:
    return message.content.info.event_id if isinstance(message.content, Picture) else message.id


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _storable(text: str) -> str:
    """`text` as Postgres takes it: no NUL, no half of a surrogate pair."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
