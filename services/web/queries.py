"""Reading from the tables. Plain functions on a connection; newest first; every query is cut to partitions by time."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Table, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web import cursors, search
from services.web.by_id import first_by_id
from services.web.cursors import Cursor
from services.web.paging import newest_first
from services.web.schemas import (
    DetectionPage,
    DetectionQuery,
    FrameMeta,
    FramePage,
    FrameQuery,
    Span,
    StoredDetection,
)
from shared.db.tables import detections, devices, faces, frames
from shared.emotions import EMOTIONS
from shared.messages import PROBABILITY_SUM_TOLERANCE, Emotions, Face, ModelRef, Quality, Region, Shown, Source


def within(table: Table, span: Span) -> list[ColumnElement[bool]]:
    """The rows of `table` that a span names."""
    conditions: list[ColumnElement[bool]] = []
    if span.device is not None:
        conditions.append(table.c.device == span.device)
    if span.from_ is not None:
        conditions.append(table.c.captured_at >= span.from_)
    if span.to is not None:
        conditions.append(table.c.captured_at < span.to)
    return conditions


async def detection_page(connection: AsyncConnection, query: DetectionQuery) -> DetectionPage:
    """Detections that fit a query, newest first.

    Raises:
        UnknownReference: if the query names a session or an episode that is not there.
    """
    wanted = await search.resolve(connection, query)
    cursor = cursors.decode(query.cursor) if query.cursor is not None else None
    found = await search.find_detections(connection, wanted, cursor, query.limit)
    return DetectionPage(
        items=await detections_of(connection, found.keys),
        next_cursor=cursors.encode(found.next) if found.next is not None else None,
        searched_to=found.searched_to,
    )


async def detections_of(connection: AsyncConnection, keys: Sequence[Cursor]) -> list[StoredDetection]:
    """The detections with these times and ids, in this order."""
    if not keys:
        return []
    wanted = search.these(keys)
    rows = await connection.execute(
        select(detections).join_from(
            wanted,
            detections,
            and_(detections.c.captured_at == wanted.c.captured_at, detections.c.event_id == wanted.c.id),
        )
    )
    by_key = {(row.captured_at, row.event_id): row for row in rows}
    return await _with_faces(connection, [by_key[key] for key in keys if key in by_key])


async def one_detection(connection: AsyncConnection, event_id: UUID) -> StoredDetection | None:
    """A detection by its id."""
    at = await captured_at(connection, event_id)
    found = await detections_of(connection, [Cursor(at, event_id)]) if at is not None else []
    return found[0] if found else None


async def captured_at(connection: AsyncConnection, event_id: UUID) -> datetime | None:
    """When a detection was captured; None where there is none such."""
    statement = select(detections.c.captured_at).where(detections.c.event_id == event_id)
    row = await first_by_id(connection, statement, detections, event_id)
    return None if row is None else cast("datetime", row.captured_at)


async def _with_faces(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[StoredDetection]:
    if not rows:
        return []
    wanted = search.these([Cursor(row.captured_at, row.event_id) for row in rows])
    same = and_(faces.c.captured_at == wanted.c.captured_at, faces.c.event_id == wanted.c.id)
    statement = select(faces).join_from(wanted, faces, same).order_by(faces.c.face_index)
    by_event: dict[UUID, list[Face]] = {}
    for face in await connection.execute(statement):
        by_event.setdefault(face.event_id, []).append(face_of_row(face))
    return [_detection(row, by_event.get(row.event_id, [])) for row in rows]


def number(value: float) -> float:
    """A `real` column's value without the digits that it never had."""
    return float(f"{value:.7g}")


def _emotions(row: Row[Any]) -> Emotions:
    values = {emotion: number(row._mapping[emotion]) for emotion in EMOTIONS}
    total = math.fsum(values.values())
    if abs(total - 1.0) > PROBABILITY_SUM_TOLERANCE:  # by rounding to `real`: they were within it when they came
        values = {emotion: value / total for emotion, value in values.items()}
    return Emotions(**values)


def face_of_row(row: Row[Any]) -> Face:
    """A row of `faces` as the face that was sent."""
    return Face(
        track_id=row.track_id,
        region=Region(x=row.x, y=row.y, w=row.w, h=row.h),
        face_confidence=number(row.face_confidence),
        emotion=_emotions(row),
        dominant_emotion=row.dominant_emotion,
        confidence=number(row.confidence),
        shown=Shown(state=row.shown_state, since=row.shown_since) if row.shown_state is not None else None,
        quality=Quality(
            size_px=row.quality_size_px,
            blur=number(row.quality_blur),
            brightness=number(row.quality_brightness),
            yaw=None if row.quality_yaw is None else number(row.quality_yaw),
            ok=row.quality_ok,
            reasons=tuple(row.quality_reasons),
        ),
    )


def _detection(row: Row[Any], found: list[Face]) -> StoredDetection:
    return StoredDetection(
        event_id=row.event_id,
        device=row.device,
        boot_id=row.boot_id,
        seq=row.seq,
        captured_at=row.captured_at,
        source=Source(kind=row.source_kind, name=row.source_name),
        frame_number=row.frame_number,
        frame_id=row.frame_id,
        frame_size=(row.frame_width, row.frame_height),
        model=ModelRef(name=row.model_name, version=row.model_version),
        faces=tuple(found),
        latency_ms=row.latency_ms,
        received_at=row.received_at,
    )


async def frame_page(connection: AsyncConnection, query: FrameQuery) -> FramePage:
    """What is known of kept pictures, newest first; the pictures themselves stay where they are."""
    columns = [column for column in frames.c if column.name != "jpeg"]
    statement = select(*columns, func.octet_length(frames.c.jpeg).label("bytes")).where(*within(frames, query))
    rows, cursor = await newest_first(connection, statement, frames.c.captured_at, frames.c.frame_id, query)
    return FramePage(items=[_frame(row) for row in rows], next_cursor=cursor)


def _frame(row: Row[Any]) -> FrameMeta:
    return FrameMeta(
        frame_id=row.frame_id,
        event_id=row.event_id,
        device=row.device,
        boot_id=row.boot_id,
        captured_at=row.captured_at,
        received_at=row.received_at,
        frame_number=row.frame_number,
        source=Source(kind=row.source_kind, name=row.source_name),
        width=row.width,
        height=row.height,
        bytes=row.bytes,
        sha256=row.sha256.hex(),
        jpeg=f"/api/v1/frames/{row.frame_id}.jpg",
    )


async def frame_digest(connection: AsyncConnection, frame_id: UUID) -> bytes | None:
    """The sha256 of a kept picture."""
    statement = select(frames.c.sha256).where(frames.c.frame_id == frame_id)
    row = await first_by_id(connection, statement, frames, frame_id)
    return None if row is None else cast("bytes", row.sha256)


async def frame_jpeg(connection: AsyncConnection, frame_id: UUID) -> bytes | None:
    """A kept picture."""
    statement = select(frames.c.jpeg).where(frames.c.frame_id == frame_id)
    row = await first_by_id(connection, statement, frames, frame_id)
    return None if row is None else cast("bytes", row.jpeg)


class FaceOfFrame(NamedTuple):
    """Where a face is in a kept picture: in pixels, and the picture's sha256."""

    digest: bytes
    box: tuple[int, int, int, int]


async def face_of_frame(connection: AsyncConnection, frame_id: UUID, face_index: int) -> FaceOfFrame | None:
    """A face of a kept picture, by its place in the picture's detection; None where picture or face is not there."""
    columns = (frames.c.captured_at, frames.c.device, frames.c.event_id, frames.c.sha256)
    frame = await first_by_id(connection, select(*columns).where(frames.c.frame_id == frame_id), frames, frame_id)
    if frame is None:
        return None
    event_id = frame.event_id
    if event_id is None:  # a picture need not say so itself
        event_id = await connection.scalar(
            select(detections.c.event_id)
            .where(detections.c.captured_at == frame.captured_at, detections.c.device == frame.device)
            .where(detections.c.frame_id == frame_id)
            .limit(1)
        )
    face = (
        await connection.execute(
            select(faces.c.x, faces.c.y, faces.c.w, faces.c.h)
            .where(faces.c.captured_at == frame.captured_at, faces.c.event_id == event_id)
            .where(faces.c.face_index == face_index)
        )
    ).one_or_none()
    return None if face is None else FaceOfFrame(frame.sha256, (face.x, face.y, face.w, face.h))


async def device_times(connection: AsyncConnection) -> dict[str, tuple[datetime, datetime]]:
    """First and last time that each device was seen."""
    return {row.device: (row.first_seen, row.last_seen) for row in await connection.execute(select(devices))}
