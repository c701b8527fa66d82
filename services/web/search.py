"""Finding detections and episodes by any filter within a bounded amount of work.

What an index finds is found at once. A filter that no index serves is tried on the newest `ROWS` rows that an index
does lead to, no more: the answer then says how far back was searched, and its cursor goes on from there. So no
combination of filters makes the database work without an end, however rare what is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    Table,
    Uuid,
    and_,
    column,
    exists,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web.cursors import Cursor
from services.web.schemas import EpisodeFilter, Filter
from shared.db.episode_tables import episodes
from shared.db.study_tables import study_sessions, votes
from shared.db.tables import detections, faces

ROWS: Final = 20_000
"""Rows that one search looks at where an index does not say which of them fit."""
VOTED: Final = 500
"""Detections with votes whose faces are looked up at once: few days of them, so that few partitions are planned for."""
MAX_VOTED: Final = 2_500
"""Those that one search looks up."""
COUNTED: Final = 100_000
"""Episodes that one timeline counts."""
_BEFORE_ALL: Final = UUID(int=0)
_NEXT_MOMENT: Final = timedelta(microseconds=1)
"""The database's own: an end is not included."""


class UnknownReference(LookupError):
    """A filter names by `parameter` something that is not there; the text says where to look."""

    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(text)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter with its session, and its episode, resolved to devices and a time."""

    devices: tuple[str, ...] | None
    begin: datetime | None
    end: datetime | None
    filter: Filter
    track: tuple[UUID, int] | None = None
    """Start of the device, and its track there: the person that an episode is of."""

    def within(self, table: Table) -> list[ColumnElement[bool]]:
        """Of these devices, captured in this time."""
        conditions = _of_devices(table, self.devices)
        if self.begin is not None:
            conditions.append(table.c.captured_at >= self.begin)
        if self.end is not None:
            conditions.append(table.c.captured_at < self.end)
        return conditions

    @property
    def nothing_fits(self) -> bool:
        """Whether nothing can: no device is meant, or a time without any length. To be known before rows are looked at:
        no index leads to nothing."""
        return self.devices == () or (self.begin is not None and self.end is not None and self.begin >= self.end)

    @property
    def of_face(self) -> bool:
        """Whether faces must be looked at."""
        wanted = self.filter
        asked = (self.track, wanted.emotion, wanted.min_confidence, wanted.ok, wanted.labelled)
        return any(each is not None for each in asked)

    @property
    def of_detection(self) -> bool:
        """Whether detections must be looked at beyond device and time."""
        return any(each is not None for each in (self.track, self.filter.model, self.filter.has_frame))

    def on_faces(self) -> list[ColumnElement[bool]]:
        """True for the faces that fit."""
        of_track = [] if self.track is None else [faces.c.track_id == self.track[1]]
        return of_track + of_face(self.filter)

    def on_detections(self) -> list[ColumnElement[bool]]:
        """True for the detections that fit, beyond device, time and faces."""
        of_boot = [] if self.track is None else [detections.c.boot_id == self.track[0]]
        return of_boot + of_model(detections, self.filter)


@dataclass(frozen=True, slots=True)
class Found:
    """Keys in order; where the next page begins; and how far was searched, null where that is all the way."""

    keys: list[Cursor]
    next: Cursor | None
    searched_to: datetime | None


NOTHING: Final = Found([], None, None)


def these(keys: Sequence[Cursor]) -> FromClause:
    """Keys as a table `these` to join with: each is then looked up in its own partition, however far apart they are."""
    return (
        func.unnest(
            literal([key.captured_at for key in keys], ARRAY(DateTime(timezone=True))),
            literal([key.id for key in keys], ARRAY(Uuid())),
        )
        .table_valued(column("captured_at", DateTime(timezone=True)), column("id", Uuid()), name="these")
        .render_derived()
    )


async def resolve(connection: AsyncConnection, wanted: Filter) -> Wanted:
    """Turn a session and an episode into their devices and times, together with those that were asked for.

    Raises:
        UnknownReference: if there is none with this id.
    """
    found = Wanted(None if wanted.device is None else (wanted.device,), wanted.from_, wanted.to, wanted)
    if wanted.session is not None:
        of_session = select(study_sessions).where(study_sessions.c.id == wanted.session)
        session = (await connection.execute(of_session)).one_or_none()
        if session is None:
            reason = f"there is no study session {wanted.session}; the page Sessions lists them"
            raise UnknownReference("session", reason)
        found = _narrowed(found, tuple(session.devices), session.started_at, session.ended_at)
    if wanted.episode is not None:
        of_episode = select(episodes).where(episodes.c.id == wanted.episode)
        one = (await connection.execute(of_episode)).one_or_none()
        if one is None:
            reason = f"there is no episode {wanted.episode}; all of its faces may have been erased or have expired"
            raise UnknownReference("episode", reason)
        found = _narrowed(found, (one.device,), one.first_at, one.last_at + _NEXT_MOMENT)
        found = replace(found, track=(one.boot_id, one.track_id))
    return found


def _narrowed(wanted: Wanted, devices: tuple[str, ...], begin: datetime, end: datetime | None) -> Wanted:
    """What is of these devices and this time as well."""
    both = devices if wanted.devices is None else tuple(set(wanted.devices) & set(devices))
    ends = [moment for moment in (wanted.end, end) if moment is not None]
    begins = [moment for moment in (wanted.begin, begin) if moment is not None]
    return replace(wanted, devices=both, begin=max(begins), end=min(ends, default=None))


async def find_detections(
    connection: AsyncConnection, wanted: Wanted, cursor: Cursor | None, limit: int, *, newer: bool = False
) -> Found:
    """The ids of detections that fit, newest first from the cursor on; or oldest first after it, with `newer`.

    What is asked of faces must be met by one and the same face.
    """
    if wanted.nothing_fits:
        return NOTHING
    if wanted.filter.labelled:
        return await _find_labelled(connection, wanted, cursor, limit, newer=newer)
    edge = await _edge(connection, wanted, cursor, newer=newer)
    table = faces if wanted.of_face else detections
    conditions = [*wanted.within(table), *_beyond(table.c.captured_at, table.c.event_id, cursor, newer=newer)]
    if edge is not None:
        conditions.append(table.c.captured_at <= edge if newer else table.c.captured_at >= edge)
    statement: Select[*tuple[Any, ...]] = select(table.c.captured_at, table.c.event_id)
    if wanted.of_face:
        statement = statement.distinct()
        conditions += wanted.on_faces()
        if wanted.of_detection:
            same = (faces.c.captured_at == detections.c.captured_at, faces.c.event_id == detections.c.event_id)
            statement = statement.join_from(faces, detections, and_(*same))
    conditions += wanted.on_detections()
    rows = await connection.execute(
        statement.where(*conditions)
        .order_by(*_ordered(table.c.captured_at, table.c.event_id, newer=newer))
        .limit(limit + 1)
    )
    return _found([Cursor(*row) for row in rows], limit, edge)


async def _find_labelled(
    connection: AsyncConnection, wanted: Wanted, cursor: Cursor | None, limit: int, *, newer: bool
) -> Found:
    """By way of the votes, which are few beside faces."""
    keys: list[Cursor] = []
    for _ in range(0, MAX_VOTED, VOTED):
        voted = await _voted(connection, wanted, cursor, newer=newer)
        if voted:
            keys += await _fitting(connection, wanted, voted, newer=newer)
            cursor = voted[-1]
        if len(keys) > limit:
            return Found(keys[:limit], keys[limit - 1], None)
        if len(voted) < VOTED:
            return Found(keys, None, None)
    return Found(keys, cursor, cursor.captured_at if cursor is not None else None)


async def _voted(connection: AsyncConnection, wanted: Wanted, cursor: Cursor | None, *, newer: bool) -> list[Cursor]:
    """The next detections that somebody voted on."""
    key = (votes.c.captured_at, votes.c.event_id)
    statement = (
        select(*key)
        .distinct()
        .where(*wanted.within(votes), *_beyond(*key, cursor, newer=newer))
        .order_by(*_ordered(*key, newer=newer))
        .limit(VOTED)
    )
    return [Cursor(*row) for row in await connection.execute(statement)]


async def _fitting(
    connection: AsyncConnection, wanted: Wanted, voted: Sequence[Cursor], *, newer: bool
) -> list[Cursor]:
    """Those of these detections that have a face that fits."""
    key = (faces.c.captured_at, faces.c.event_id)
    table = these(voted)
    first, last = sorted((voted[0].captured_at, voted[-1].captured_at))
    statement = (
        select(*key)
        .distinct()
        .join_from(table, faces, and_(faces.c.captured_at == table.c.captured_at, faces.c.event_id == table.c.id))
        .where(faces.c.captured_at.between(first, last), *wanted.on_faces())
    )
    if wanted.of_detection:
        same = and_(faces.c.captured_at == detections.c.captured_at, faces.c.event_id == detections.c.event_id)
        statement = statement.join(detections, same).where(
            detections.c.captured_at.between(first, last), *wanted.on_detections()
        )
    return [Cursor(*row) for row in await connection.execute(statement.order_by(*_ordered(*key, newer=newer)))]


async def _edge(connection: AsyncConnection, wanted: Wanted, cursor: Cursor | None, *, newer: bool) -> datetime | None:
    """The time of the last row that is looked at; None where all are, or where an index leads to what fits alone."""
    if not wanted.of_face and not wanted.of_detection and (wanted.devices is None or len(wanted.devices) == 1):
        return None
    table = faces if wanted.of_face else detections
    conditions: list[ColumnElement[bool]] = []
    # Each of these has an index; the two together have none, and neither have several devices.
    if wanted.devices is not None and len(wanted.devices) == 1:
        conditions.append(table.c.device == wanted.devices[0])
    elif table is faces and wanted.filter.emotion is not None:
        conditions.append(faces.c.dominant_emotion == wanted.filter.emotion)
    at = table.c.captured_at
    if wanted.begin is not None:
        conditions.append(at >= wanted.begin)
    if wanted.end is not None:
        conditions.append(at < wanted.end)
    if cursor is not None:
        conditions.append(at > cursor.captured_at if newer else at < cursor.captured_at)
    edge: datetime | None = await connection.scalar(
        select(at).where(*conditions).order_by(at if newer else at.desc()).offset(ROWS).limit(1)
    )
    return edge


def of_face(wanted: Filter) -> list[ColumnElement[bool]]:
    """True for the faces that fit."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.emotion is not None:
        conditions.append(faces.c.dominant_emotion == wanted.emotion)
    if wanted.min_confidence is not None:
        conditions.append(faces.c.confidence >= wanted.min_confidence)
    if wanted.ok is not None:
        conditions.append(faces.c.quality_ok == wanted.ok)
    if wanted.labelled is not None:
        voted = exists().where(
            votes.c.event_id == faces.c.event_id,
            votes.c.face_index == faces.c.face_index,
            votes.c.captured_at == faces.c.captured_at,  # which leads to the face's partition
        )
        conditions.append(voted if wanted.labelled else ~voted)
    return conditions


def of_model(table: Table, wanted: Filter) -> list[ColumnElement[bool]]:
    """True for the detections, or episodes, that fit."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.model is not None:
        name, _, version = wanted.model.partition("@")
        conditions.append(table.c.model_name == name)
        if version:
            conditions.append(table.c.model_version == version)
    if wanted.has_frame is not None:
        conditions.append(table.c.frame_id.is_not(None) if wanted.has_frame else table.c.frame_id.is_(None))
    return conditions


async def find_episodes(
    connection: AsyncConnection, wanted: Wanted, cursor: Cursor | None, limit: int, *, newer: bool = False
) -> Found:
    """The ids of episodes that fit, by when they began; as `find_detections`."""
    if wanted.nothing_fits:
        return NOTHING
    at = episodes.c.first_at
    conditions = [*of_episode(wanted), *_beyond(at, episodes.c.id, cursor, newer=newer)]
    edge = None
    if len(conditions) > len(_of_devices(episodes, wanted.devices)):
        look = _led_to(wanted)
        if cursor is not None:
            look.append(at > cursor.captured_at if newer else at < cursor.captured_at)
        if wanted.end is not None:
            look.append(at < wanted.end)
        edge = await connection.scalar(
            select(at).where(*look).order_by(at if newer else at.desc()).offset(ROWS).limit(1)
        )
        if edge is not None:
            begin = _day_of(wanted.begin)
            if begin is not None and not newer and edge < begin:
                edge = None  # before all that may fit
            else:
                conditions.append(at <= edge if newer else at >= edge)
    found = await connection.execute(
        select(at, episodes.c.id)
        .where(*conditions)
        .order_by(*_ordered(at, episodes.c.id, newer=newer))
        .limit(limit + 1)
    )
    return _found([Cursor(*row) for row in found], limit, edge)


async def timeline_edge(connection: AsyncConnection, wanted: Wanted, end: datetime) -> datetime | None:
    """When the last of `COUNTED` episodes before `end` began; None where there are no more that may fit."""
    if wanted.nothing_fits:
        return None
    at = episodes.c.first_at
    look = [*_led_to(wanted), at < end]
    begin = _day_of(wanted.begin)
    if begin is not None:
        look.append(at >= begin)
    edge: datetime | None = await connection.scalar(
        select(at).where(*look).order_by(at.desc()).offset(COUNTED).limit(1)
    )
    return edge


def _led_to(wanted: Wanted) -> list[ColumnElement[bool]]:
    """True for the episodes that an index leads to: of one device, or the labelled ones."""
    if wanted.filter.labelled:
        return [episodes.c.labelled]
    return _of_devices(episodes, wanted.devices) if len(wanted.devices or ()) == 1 else []


def of_episode(wanted: Wanted) -> list[ColumnElement[bool]]:
    """True for the episodes that fit: those that reach into the time, also from before it."""
    conditions = _of_devices(episodes, wanted.devices)
    if wanted.end is not None:
        conditions.append(episodes.c.first_at < wanted.end)
    begin = _day_of(wanted.begin)
    if begin is not None:  # none is longer than its day
        conditions += [episodes.c.first_at >= begin, episodes.c.last_at >= wanted.begin]
    this = wanted.filter
    if this.episode is not None:
        conditions.append(episodes.c.id == this.episode)
    if this.emotion is not None:
        conditions.append(episodes.c.dominant_emotion == this.emotion)
    if this.min_confidence is not None:
        conditions.append(episodes.c.best_confidence >= this.min_confidence)
    if this.ok is not None:
        conditions.append(episodes.c.ok_share >= 0.5 if this.ok else episodes.c.ok_share < 0.5)
    if isinstance(this, EpisodeFilter) and this.min_quality is not None:
        conditions.append(episodes.c.ok_share >= this.min_quality)
    if this.labelled is not None:
        conditions.append(episodes.c.labelled if this.labelled else ~episodes.c.labelled)
    return conditions + of_model(episodes, this)


def _of_devices(table: Table, devices: Sequence[str] | None) -> list[ColumnElement[bool]]:
    if devices is None:
        return []
    return [table.c.device == devices[0]] if len(devices) == 1 else [table.c.device.in_(devices)]


def _day_of(moment: datetime | None) -> datetime | None:
    return None if moment is None else datetime.combine(moment.astimezone(UTC).date(), time(), UTC)


def _beyond(
    at: ColumnElement[datetime], id_: ColumnElement[UUID], cursor: Cursor | None, *, newer: bool
) -> list[ColumnElement[bool]]:
    """What comes after the cursor. The row comparison does not prune partitions; the plain bound does."""
    if cursor is None:
        return []
    here = tuple_(literal(cursor.captured_at), literal(cursor.id))
    if newer:
        return [at >= cursor.captured_at, tuple_(at, id_) > here]
    return [at <= cursor.captured_at, tuple_(at, id_) < here]


def _ordered(
    at: ColumnElement[datetime], id_: ColumnElement[UUID], *, newer: bool
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return (at, id_) if newer else (at.desc(), id_.desc())


def _found(keys: list[Cursor], limit: int, edge: datetime | None) -> Found:
    if len(keys) > limit:
        return Found(keys[:limit], keys[limit - 1], None)
    if edge is None:
        return Found(keys, None, None)
    # All of the edge's own time was looked at: what follows is before it.
    return Found(keys, Cursor(edge, _BEFORE_ALL), edge)
