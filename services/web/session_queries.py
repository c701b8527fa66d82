"""Study sessions and their markers in the tables. Plain functions on a connection; the caller commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Interval,
    Row,
    Select,
    and_,
    any_,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text

from services.web.paging import newest_first
from services.web.queries import number
from services.web.session_schemas import (
    ListedSession,
    Marker,
    Overlap,
    SessionChoices,
    SessionPage,
    SessionQuery,
    Stretch,
    StudySession,
    Timeline,
)
from services.web.wording import SURE_ENOUGH
from shared.db.study_tables import session_markers, study_sessions
from shared.db.tables import detections, faces
from shared.emotions import EMOTIONS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_CHOICES: Final = 1000
_MAX_OVERLAPS: Final = 20
_MAX_PEOPLE: Final = 20
_MAX_TIMELINE: Final = timedelta(hours=24)
_STRETCHES: Final = 600
"""Into which a timeline is cut at most: more than a screen shows."""
_MIN_STEP_S: Final = 0.5

_MARKERS: Final = (
    select(func.count())
    .where(session_markers.c.session_id == study_sessions.c.id)
    .correlate(study_sessions)
    .scalar_subquery()
    .label("markers")
)
_SESSIONS: Final[Select[Any]] = select(study_sessions, _MARKERS)
_LISTED: Final[Select[Any]] = select(*(column for column in study_sessions.c if column.name != "notes"), _MARKERS)


def _names(devices: Sequence[str]) -> ColumnElement[Any]:
    return cast(literal(list(devices), ARRAY(Text)), ARRAY(Text))


async def session_page(connection: AsyncConnection, query: SessionQuery) -> SessionPage:
    """Sessions that fit a query, the one that started last first."""
    table = study_sessions.c
    statement = _LISTED
    if query.device is not None:
        statement = statement.where(table.devices.bool_op("@>")(_names([query.device])))
    if query.from_ is not None:
        statement = statement.where(or_(table.ended_at.is_(None), table.ended_at > query.from_))
    if query.to is not None:
        statement = statement.where(table.started_at < query.to)
    if query.participant is not None:
        statement = statement.where(table.participant == query.participant)
    if query.condition is not None:
        statement = statement.where(table.condition == query.condition)
    if query.running is not None:
        statement = statement.where(table.ended_at.is_(None) if query.running else table.ended_at.is_not(None))
    if query.search is not None:
        searched = func.concat_ws(" ", table.participant, table.condition, func.array_to_string(table.devices, " "))
        statement = statement.where(*(searched.icontains(word, autoescape=True) for word in query.search.split()))
    rows, cursor = await newest_first(connection, statement, table.started_at, table.id, query)
    items = [ListedSession.model_validate(row, from_attributes=True) for row in rows]
    return SessionPage(items=items, next_cursor=cursor)


async def choices(connection: AsyncConnection) -> SessionChoices:
    """The participants and conditions that there are, of too many those that were used last."""

    async def of(column: Column[str]) -> list[str]:
        last = func.max(study_sessions.c.started_at).desc()
        statement = select(column).where(column != "").group_by(column).order_by(last, column).limit(_MAX_CHOICES)
        return sorted(await connection.scalars(statement))

    return SessionChoices(
        participants=await of(study_sessions.c.participant), conditions=await of(study_sessions.c.condition)
    )


async def one_session(connection: AsyncConnection, session_id: UUID, *, to_change: bool = False) -> StudySession | None:
    """A session by its id; one that is `to_change` stays as it is until the transaction ends."""
    statement = _SESSIONS.where(study_sessions.c.id == session_id)
    if to_change:
        statement = statement.with_for_update(of=study_sessions)
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else StudySession.model_validate(row, from_attributes=True)


async def hold_session(connection: AsyncConnection, session_id: UUID) -> bool:
    """Have a session stay as it is, and nobody else hold it, until the transaction ends; False where there is none."""
    statement = select(study_sessions.c.id).where(study_sessions.c.id == session_id).with_for_update(key_share=True)
    return await connection.scalar(statement) is not None


async def overlaps(connection: AsyncConnection, session: StudySession) -> list[Overlap]:
    """Other sessions of the same time and a common device."""
    table = study_sessions.c
    statement = (
        select(table.id, table.participant, table.started_at, table.devices)
        .where(table.id != session.id, table.devices.bool_op("&&")(_names(session.devices)))
        .where(or_(table.ended_at.is_(None), table.ended_at > session.started_at))
        .order_by(table.started_at, table.id)
        .limit(_MAX_OVERLAPS)
    )
    if session.ended_at is not None:
        statement = statement.where(table.started_at < session.ended_at)
    return [
        Overlap(
            id=row.id,
            participant=row.participant,
            started_at=row.started_at,
            devices=[name for name in row.devices if name in session.devices],
        )
        for row in await connection.execute(statement)
    ]


async def add_session(connection: AsyncConnection, values: dict[str, Any]) -> StudySession:
    """Start a session."""
    row = (await connection.execute(insert(study_sessions).values(values).returning(study_sessions.c.id))).one()
    added = await one_session(connection, row.id)
    assert added is not None
    return added


async def change_session(connection: AsyncConnection, session_id: UUID, values: dict[str, Any]) -> StudySession | None:
    """Set columns of a session; None where there is none.

    Raises:
        sqlalchemy.exc.IntegrityError: if it would end before it starts.
    """
    await connection.execute(update(study_sessions).where(study_sessions.c.id == session_id).values(values))
    return await one_session(connection, session_id)


async def stop_session(connection: AsyncConnection, session_id: UUID, now: datetime) -> StudySession | None:
    """End a session at `now`; one that has ended stays as it is."""
    begun = study_sessions.c.started_at + literal(timedelta(microseconds=1), Interval())
    statement = (
        update(study_sessions)
        .where(study_sessions.c.id == session_id, study_sessions.c.ended_at.is_(None))
        .values(ended_at=func.greatest(literal(now), begun))
    )
    await connection.execute(statement)
    return await one_session(connection, session_id)


async def delete_session(connection: AsyncConnection, session_id: UUID) -> bool:
    """Remove a session with its markers, and nothing that was recorded; False where there is none."""
    found = await connection.execute(delete(study_sessions).where(study_sessions.c.id == session_id))
    return found.rowcount > 0


def _marker(row: Row[Any]) -> Marker:
    return Marker.model_validate(row, from_attributes=True)


async def markers(connection: AsyncConnection, session_id: UUID) -> list[Marker]:
    """All markers of a session, in order of time."""
    table = session_markers.c
    statement = select(session_markers).where(table.session_id == session_id).order_by(table.at, table.id)
    return [_marker(row) for row in await connection.execute(statement)]


async def add_marker(connection: AsyncConnection, values: dict[str, Any]) -> Marker:
    """Mark a moment."""
    return _marker((await connection.execute(insert(session_markers).values(values).returning(session_markers))).one())


async def change_marker(
    connection: AsyncConnection, session_id: UUID, marker_id: UUID, values: dict[str, Any]
) -> Marker | None:
    """Set columns of a marker; None where there is none."""
    statement = (
        update(session_markers)
        .where(session_markers.c.id == marker_id, session_markers.c.session_id == session_id)
        .values(values)
        .returning(session_markers)
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _marker(row)


async def delete_marker(connection: AsyncConnection, session_id: UUID, marker_id: UUID) -> bool:
    """Remove a marker; False where there is none."""
    statement = delete(session_markers).where(
        session_markers.c.id == marker_id, session_markers.c.session_id == session_id
    )
    return (await connection.execute(statement)).rowcount > 0


def _of_session(devices: Sequence[str], begin: datetime, end: datetime) -> ColumnElement[bool]:
    return and_(
        faces.c.device == any_(_names(devices)),
        faces.c.captured_at >= begin,
        faces.c.captured_at < end,
    )


# Spelled out for both tables, so that each is cut to the partitions of that time.
def _its_detection(begin: datetime, end: datetime) -> ColumnElement[bool]:
    return and_(
        detections.c.captured_at == faces.c.captured_at,
        detections.c.event_id == faces.c.event_id,
        detections.c.captured_at >= begin,
        detections.c.captured_at < end,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A face's place in the order in which they are read."""

    captured_at: datetime
    event_id: UUID
    face_index: int


async def faces_after(
    connection: AsyncConnection, session: ListedSession, after: Place | None, end: datetime, limit: int
) -> Sequence[Row[Any]]:
    """The next faces of a session, in order of time: all columns of `faces`, and of their detection the boot, the
    picture and the model."""
    begin = session.started_at if after is None else after.captured_at
    statement = (
        select(
            faces,
            detections.c.boot_id,
            detections.c.frame_id,
            detections.c.model_name,
            detections.c.model_version,
        )
        .join(detections, _its_detection(begin, end))
        .where(_of_session(session.devices, begin, end))
        .order_by(faces.c.captured_at, faces.c.event_id, faces.c.face_index)
        .limit(limit)
    )
    if after is not None:
        key = tuple_(faces.c.captured_at, faces.c.event_id, faces.c.face_index)
        place = tuple_(literal(after.captured_at), literal(after.event_id), literal(after.face_index))
        statement = statement.where(key > place)
    return (await connection.execute(statement)).all()


# What the screen said, else what the frame says by itself: as `wording.detection_words` does.
_LOOKS: Final = func.coalesce(
    faces.c.shown_state,
    case(
        (and_(faces.c.quality_ok, faces.c.confidence >= SURE_ENOUGH / 100), faces.c.dominant_emotion),
        else_="unsure",
    ),
)


async def timeline(
    connection: AsyncConnection, session: StudySession, begin: datetime | None, now: datetime
) -> Timeline:
    """How each person looked over a session from `begin` on, for at most a day."""
    begin = max(begin or session.started_at, session.started_at)
    last = max(session.ended_at or now, begin)
    end = min(last, begin + _MAX_TIMELINE)
    step_s = max((end - begin).total_seconds() / _STRETCHES, _MIN_STEP_S)
    step = literal(timedelta(seconds=step_s), Interval())
    start = func.date_bin(step, faces.c.captured_at, literal(begin)).label("start")
    statement = (
        select(
            faces.c.device,
            detections.c.boot_id,
            faces.c.track_id,
            start,
            func.mode().within_group(_LOOKS).label("looks"),
            func.count().label("faces"),
            func.avg(faces.c.confidence).label("confidence"),
        )
        .join(detections, _its_detection(begin, end))
        .where(_of_session(session.devices, begin, end))
        .group_by(faces.c.device, detections.c.boot_id, faces.c.track_id, start)
        .order_by(start)
    )
    people: dict[tuple[str, UUID, int], list[Stretch]] = {}
    for row in await connection.execute(statement):
        looks = row.looks if row.looks in EMOTIONS else None
        stretch = Stretch(start=row.start, looks=looks, faces=row.faces, confidence=number(row.confidence))
        people.setdefault((row.device, row.boot_id, row.track_id), []).append(stretch)
    # Who was seen longest comes first.
    longest = sorted(people, key=lambda who: -len(people[who]))[:_MAX_PEOPLE]
    return Timeline.model_validate(
        {
            "from": begin,
            "to": end,
            "complete": end >= last,
            "step_s": step_s,
            "people": [{"device": w[0], "boot_id": w[1], "track_id": w[2], "stretches": people[w]} for w in longest],
            "people_left_out": len(people) - len(longest),
        }
    )
