"""What an episode is, and how it is made again where some of its faces are gone.

An episode is what was read of one face that a device followed (a track of one start of the device) on one day (UTC).
Ingest adds each face to it in the transaction that stores the face; whoever removes faces calls `remake` in the
transaction that removes them, or after it. Whoever adds or removes a vote calls `labelled_now` after it, in its
transaction.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Date, Row, Select, and_, case, cast, delete, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.episode_tables import episodes
from shared.db.study_tables import votes
from shared.db.tables import detections, faces
from shared.emotions import EMOTIONS

_WITH_PICTURE: Final = 2.0
_READABLE: Final = 1.0


class EpisodeKey(NamedTuple):
    """Which episode. In this order rows are locked, so that nobody waits in a circle."""

    day: date
    device: str
    boot_id: UUID
    track_id: int


def score(*, has_picture: bool, readable: bool, confidence: float) -> float:
    """How well a face stands for its episode: one with a picture before all others, then one that is good enough."""
    return _WITH_PICTURE * has_picture + _READABLE * readable + confidence


_SCORE: Final = (
    case((detections.c.frame_id.is_not(None), _WITH_PICTURE), else_=0.0)
    + case((faces.c.quality_ok, _READABLE), else_=0.0)
    + faces.c.confidence
)
_DAY: Final = cast(func.timezone("UTC", faces.c.captured_at), Date)
_WITH_DETECTION: Final = and_(
    faces.c.captured_at == detections.c.captured_at, faces.c.event_id == detections.c.event_id
)


async def keys_of_event(connection: AsyncConnection, event_id: UUID) -> list[EpisodeKey]:
    """The episodes that hold a face of one detection."""
    found = await connection.execute(
        select(_DAY, faces.c.device, detections.c.boot_id, faces.c.track_id)
        .join_from(faces, detections, _WITH_DETECTION)
        .where(faces.c.event_id == event_id)
    )
    return [EpisodeKey(*row) for row in found]


async def labelled_now(connection: AsyncConnection, captured_at: datetime, event_id: UUID, face_index: int) -> None:
    """Note in the episode of a face whether anybody voted on one of its faces. The caller commits.

    As in `remake` the row is locked before anything is counted: of two people who vote and take back at once, the
    later one counts what both did.
    """
    found = await connection.execute(
        select(_DAY, faces.c.device, detections.c.boot_id, faces.c.track_id)
        .join_from(faces, detections, _WITH_DETECTION)
        .where(faces.c.captured_at == captured_at, faces.c.event_id == event_id, faces.c.face_index == face_index)
    )
    for key in (EpisodeKey(*row) for row in found):
        held = await _lock(connection, key)
        if held is not None:
            labelled = await _is_labelled(connection, key, held)
            await connection.execute(update(episodes).where(_this(key)).values(labelled=labelled))


async def remake(connection: AsyncConnection, keys: Iterable[EpisodeKey]) -> None:
    """Make episodes of the faces that are there now; those without any go. The caller commits.

    Ingest may add to the same episodes meanwhile: the row is locked first, and faces are counted only then, so what was
    committed before is counted here and what comes later is added after.
    """
    for key in sorted(set(keys)):
        held = await _lock(connection, key)
        if held is None:
            continue
        left = await _counted(connection, key, held)
        if not left.face_count:
            await connection.execute(delete(episodes).where(_this(key)))
            continue
        best = (await connection.execute(_best(key, held))).one()
        labelled = await _is_labelled(connection, key, held)
        await connection.execute(
            update(episodes).where(_this(key)).values(**left._mapping, **best._mapping, labelled=labelled)
        )


def _this(key: EpisodeKey) -> ColumnElement[bool]:
    return and_(*(episodes.c[name] == value for name, value in key._asdict().items()))


async def _lock(connection: AsyncConnection, key: EpisodeKey) -> Row[*tuple[Any, ...]] | None:
    """The times of an episode, which nobody else changes until the transaction ends; None where there is none."""
    statement = select(episodes.c.first_at, episodes.c.last_at).where(_this(key)).with_for_update()
    return (await connection.execute(statement)).one_or_none()


def _of_track(
    statement: Select[*tuple[Any, ...]], key: EpisodeKey, held: Row[*tuple[Any, ...]]
) -> Select[*tuple[Any, ...]]:
    return statement.join_from(faces, detections, _WITH_DETECTION).where(
        faces.c.device == key.device,
        faces.c.captured_at.between(held.first_at, held.last_at),
        faces.c.track_id == key.track_id,
        detections.c.boot_id == key.boot_id,
    )


async def _counted(connection: AsyncConnection, key: EpisodeKey, held: Row[*tuple[Any, ...]]) -> Row[*tuple[Any, ...]]:
    statement = select(
        func.min(faces.c.captured_at).label("first_at"),
        func.max(faces.c.captured_at).label("last_at"),
        func.count().label("face_count"),
        func.count().filter(faces.c.quality_ok).label("ok_count"),
        *(func.count().filter(faces.c.dominant_emotion == literal(name)).label(name) for name in EMOTIONS),
        func.max(faces.c.confidence).label("best_confidence"),
    )
    return (await connection.execute(_of_track(statement, key, held))).one()


async def _is_labelled(connection: AsyncConnection, key: EpisodeKey, held: Row[*tuple[Any, ...]]) -> bool:
    voted = and_(
        votes.c.captured_at == faces.c.captured_at,
        votes.c.event_id == faces.c.event_id,
        votes.c.face_index == faces.c.face_index,
    )
    # The votes of that time are few and have an index; of the faces there may be thousands.
    here = and_(votes.c.device == key.device, votes.c.captured_at.between(held.first_at, held.last_at))
    statement = _of_track(select(faces.c.event_id), key, held).join(votes, voted).where(here).limit(1)
    return await connection.scalar(statement) is not None


def _best(key: EpisodeKey, held: Row[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    statement = select(
        _SCORE.label("score"),
        faces.c.captured_at,
        faces.c.event_id,
        faces.c.face_index,
        detections.c.frame_id,
        detections.c.model_name,
        detections.c.model_version,
    )
    order = (_SCORE.desc(), faces.c.captured_at, faces.c.event_id, faces.c.face_index)
    return _of_track(statement, key, held).order_by(*order).limit(1)
