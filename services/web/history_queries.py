"""Reading episodes, their timeline, and what surrounds one detection. Plain functions on a connection."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import Interval, Row, and_, any_, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web import cursors, search
from services.web.cursors import Cursor
from services.web.history_schemas import (
    Context,
    Episode,
    EpisodePage,
    Neighbour,
    Neighbours,
    Sample,
    SessionRef,
    Timeline,
    TimelineBucket,
)
from services.web.schemas import DetectionFilter, EpisodeFilter, EpisodeQuery, StoredDetection
from services.web.wording import detection_words
from shared.db.episode_tables import episodes
from shared.db.study_tables import study_sessions, votes
from shared.db.tables import detections, faces, frames
from shared.emotions import EMOTIONS
from shared.messages import ModelRef, Region
from shared.wording import LOOKS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BUCKETS: Final = 96
_SHORTEST_BUCKET: Final = timedelta(seconds=1)
_FRAME_SLACK: Final = timedelta(minutes=10)
"""A picture is captured when its detection is; this forgives a clock that was set in between."""
_STEPS: Final = 5
"""Searches for a neighbour before it is given up."""


async def episode_page(connection: AsyncConnection, query: EpisodeQuery) -> EpisodePage:
    """Episodes that fit a query, newest first.

    Raises:
        UnknownReference: if the query names a session or an episode that is not there.
    """
    wanted = await search.resolve(connection, query)
    cursor = cursors.decode(query.cursor) if query.cursor is not None else None
    found = await search.find_episodes(connection, wanted, cursor, query.limit)
    return EpisodePage(
        items=await _episodes_of(connection, found.keys),
        next_cursor=cursors.encode(found.next) if found.next is not None else None,
        searched_to=found.searched_to,
    )


async def _episodes_of(connection: AsyncConnection, keys: Sequence[Cursor]) -> list[Episode]:
    if not keys:
        return []
    wanted = search.these(keys)
    same = and_(episodes.c.first_at == wanted.c.captured_at, episodes.c.id == wanted.c.id)
    statement = select(episodes).join_from(wanted, episodes, same)
    rows = {(row.first_at, row.id): row for row in await connection.execute(statement)}
    found = [rows[key] for key in keys if key in rows]
    sizes = await _regions(connection, found)
    kept = await kept_pictures(connection, [(row.frame_id, row.captured_at) for row in found])
    return [_episode(row, sizes, kept) for row in found]


async def _regions(
    connection: AsyncConnection, found: Sequence[Row[*tuple[Any, ...]]]
) -> dict[tuple[datetime, UUID, int], Row[*tuple[Any, ...]]]:
    """The faces that stand for episodes, with the sizes of their frames."""
    if not found:
        return {}
    wanted = search.these([Cursor(row.captured_at, row.event_id) for row in found])
    of_face = and_(faces.c.captured_at == wanted.c.captured_at, faces.c.event_id == wanted.c.id)
    of_detection = and_(detections.c.captured_at == wanted.c.captured_at, detections.c.event_id == wanted.c.id)
    key = (faces.c.captured_at, faces.c.event_id, faces.c.face_index)
    rows = await connection.execute(
        select(*key, faces.c.x, faces.c.y, faces.c.w, faces.c.h, detections.c.frame_width, detections.c.frame_height)
        .join_from(wanted, faces, of_face)
        .join(detections, of_detection)
    )
    return {(row.captured_at, row.event_id, row.face_index): row for row in rows}


async def kept_pictures(connection: AsyncConnection, wanted: Iterable[tuple[UUID | None, datetime]]) -> set[UUID]:
    """Which of these frames, each with its time of capture, are there."""
    named = [(frame_id, at) for frame_id, at in wanted if frame_id is not None]
    if not named:
        return set()
    times = [at for _, at in named]
    statement = (
        select(frames.c.frame_id)
        .where(frames.c.frame_id.in_([frame_id for frame_id, _ in named]))
        .where(frames.c.captured_at.between(min(times) - _FRAME_SLACK, max(times) + _FRAME_SLACK))
    )
    return set(await connection.scalars(statement))


def picture_address(frame_id: UUID | None, kept: set[UUID]) -> str | None:
    """Where a frame is, if it is kept."""
    return f"/api/v1/frames/{frame_id}.jpg" if frame_id in kept else None


def _episode(
    row: Row[*tuple[Any, ...]], sizes: dict[tuple[datetime, UUID, int], Row[*tuple[Any, ...]]], kept: set[UUID]
) -> Episode:
    size = sizes.get((row.captured_at, row.event_id, row.face_index))
    return Episode(
        id=row.id,
        device=row.device,
        boot_id=row.boot_id,
        track_id=row.track_id,
        first_at=row.first_at,
        last_at=row.last_at,
        faces=row.face_count,
        ok_share=round(row.ok_share, 4),
        counts={emotion: row._mapping[emotion] for emotion in EMOTIONS},
        dominant_emotion=row.dominant_emotion,
        headline=LOOKS[row.dominant_emotion].capitalize(),
        best_confidence=round(row.best_confidence, 6),
        labelled=row.labelled,
        model=ModelRef(name=row.model_name, version=row.model_version),
        sample=Sample(
            event_id=row.event_id,
            face_index=row.face_index,
            captured_at=row.captured_at,
            region=None if size is None else Region(x=size.x, y=size.y, w=size.w, h=size.h),
            frame_size=None if size is None else (size.frame_width, size.frame_height),
            picture=picture_address(row.frame_id, kept),
        ),
    )


async def timeline(connection: AsyncConnection, query: EpisodeFilter, now: datetime) -> Timeline:
    """How many episodes of which emotion began when.

    Without `from` it begins with the oldest episode, without `to` it ends at `now`. Where there are more than are
    counted at once, it begins with the newest of them.

    Raises:
        UnknownReference: if the query names a session or an episode that is not there.
    """
    wanted = await search.resolve(connection, query)
    at = episodes.c.first_at
    end = wanted.end or now
    edge = await search.timeline_edge(connection, wanted, end)
    if edge is not None:
        begin = edge
    else:
        begin = wanted.begin or await connection.scalar(select(at).order_by(at, episodes.c.id).limit(1)) or end
    begin = min(begin, end - _BUCKETS * _SHORTEST_BUCKET)
    width = max(_SHORTEST_BUCKET, (end - begin) / _BUCKETS)
    # What began before the time and reaches into it is counted at its beginning.
    start = func.date_bin(literal(width, Interval()), func.greatest(at, literal(begin)), literal(begin)).label("start")
    counted = (start, episodes.c.dominant_emotion)
    conditions = [*search.of_episode(wanted), at < end]
    if edge is not None:
        conditions.append(at >= edge)
    rows = await connection.execute(
        select(*counted, func.count().label("episodes"), func.sum(episodes.c.face_count).label("faces"))
        .where(*conditions)
        .group_by(*counted)
    )
    of_start: dict[datetime, list[Row[*tuple[Any, ...]]]] = {}
    for row in rows:
        of_start.setdefault(row.start, []).append(row)
    items = [
        TimelineBucket(
            start=begun,
            faces=sum(row.faces for row in found),
            episodes=dict.fromkeys(EMOTIONS, 0) | {row.dominant_emotion: row.episodes for row in found},
        )
        for begun, found in sorted(of_start.items())
    ]
    return Timeline.model_validate(
        {"from": begin, "to": end, "bucket_s": width.total_seconds(), "items": items, "more": edge is not None}
    )


async def context(connection: AsyncConnection, one: StoredDetection) -> Context:
    """What surrounds a detection."""
    kept = await kept_pictures(connection, [(one.frame_id, one.captured_at)])
    counted: list[dict[str, int]] = [{} for _ in one.faces]
    rows = await connection.execute(
        select(votes.c.face_index, votes.c.label, func.count().label("times"))
        .where(votes.c.event_id == one.event_id)
        .group_by(votes.c.face_index, votes.c.label)
        .order_by(votes.c.face_index, votes.c.label)
    )
    for row in rows:
        if row.face_index < len(counted):
            counted[row.face_index][row.label] = row.times
    sessions = await connection.execute(
        select(study_sessions)
        .where(study_sessions.c.started_at <= one.captured_at)
        .where(or_(study_sessions.c.ended_at.is_(None), study_sessions.c.ended_at > one.captured_at))
        .where(literal(one.device) == any_(study_sessions.c.devices))
        .order_by(study_sessions.c.started_at.desc())
        .limit(10)
    )
    picture = picture_address(one.frame_id, kept)
    return Context(
        words=[detection_words(face) for face in one.faces],
        picture=picture,
        picture_state="kept" if picture else "not-kept" if one.frame_id is None else "missing",
        votes=counted,
        sessions=[
            SessionRef(id=row.id, participant=row.participant, condition=row.condition, started_at=row.started_at)
            for row in sessions
        ],
    )


async def detection_neighbours(connection: AsyncConnection, here: Cursor, query: DetectionFilter) -> Neighbours:
    """The next newer and the next older detection that fit a filter."""
    wanted = await search.resolve(connection, query)
    found: list[Neighbour | None] = []
    for newer in (True, False):
        key = await _next_key(search.find_detections, connection, wanted, here, newer=newer)
        found.append(None if key is None else Neighbour(event_id=key.id))
    return Neighbours(newer=found[0], older=found[1])


async def episode_neighbours(
    connection: AsyncConnection, episode_id: UUID, begun: datetime, query: EpisodeFilter
) -> Neighbours:
    """The next newer and the next older episode that fit a filter, each with the detection that stands for it."""
    wanted = await search.resolve(connection, query)
    found: list[Neighbour | None] = []
    for newer in (True, False):
        key = await _next_key(search.find_episodes, connection, wanted, Cursor(begun, episode_id), newer=newer)
        stands = None
        if key is not None:
            at = (episodes.c.first_at == key.captured_at, episodes.c.id == key.id)
            stands = cast("UUID | None", await connection.scalar(select(episodes.c.event_id).where(*at)))
        found.append(None if key is None or stands is None else Neighbour(event_id=stands, episode_id=key.id))
    return Neighbours(newer=found[0], older=found[1])


async def _next_key(
    find: Callable[..., Awaitable[search.Found]],
    connection: AsyncConnection,
    wanted: search.Wanted,
    here: Cursor,
    *,
    newer: bool,
) -> Cursor | None:
    """The first that fits on one side of `here`; None where there is none, or none within some searches."""
    cursor: Cursor | None = here
    for _ in range(_STEPS):
        result = await find(connection, wanted, cursor, 1, newer=newer)
        if result.keys:
            return result.keys[0]
        cursor = result.next
        if cursor is None:
            break
    return None


async def episode_begun(connection: AsyncConnection, episode_id: UUID) -> datetime | None:
    """When an episode began; None where there is none such."""
    return cast(
        "datetime | None", await connection.scalar(select(episodes.c.first_at).where(episodes.c.id == episode_id))
    )
