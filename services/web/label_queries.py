"""Votes on faces in the tables, and the faces to be voted on. Plain functions on a connection; the caller commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Row, Uuid, and_, any_, cast, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web import cursors
from services.web.agreement import Tally, cohens_kappa, fleiss_kappa, observed_agreement
from services.web.by_id import first_by_id
from services.web.face_pictures import mark_of
from services.web.label_queue import Candidate
from services.web.label_schemas import (
    Agreement,
    FaceMark,
    PairAgreement,
    Progress,
    QueuedFace,
    Vote,
    VotePage,
    VoteQuery,
)
from services.web.queries import face_of_row, within
from services.web.schemas import Span
from services.web.search import Wanted
from shared.db.episodes import labelled_now
from shared.db.study_tables import VOTES, votes
from shared.db.tables import detections, faces, frames
from shared.emotions import EMOTIONS
from shared.messages import Face

POOL: Final = 500
"""Pictures looked at in one query."""
MAX_POOLS: Final = 40
"""After which a labeller who voted on all of them is told that older ones were not looked at: 20,000 pictures."""


def _ids(found: Sequence[UUID]) -> ColumnElement[Any]:
    return cast(literal(list(found), ARRAY(Uuid)), ARRAY(Uuid))


@dataclass(frozen=True, slots=True)
class Pool:
    """Faces that can be asked about, and what is shown of them."""

    candidates: list[Candidate]
    shown: dict[tuple[UUID, int], QueuedFace]
    more: bool
    """Whether pictures older than these were not looked at."""


async def pool(connection: AsyncConnection, wanted: Wanted, labeller: str) -> Pool:
    """Faces with a kept picture that `labeller` has not voted on: of the newest pictures that have any.

    However many pictures there are, the work is bounded: it goes back in steps of 500 pictures until it has met 500
    faces, or has looked at 20,000 pictures.
    """
    if wanted.nothing_fits:
        return Pool([], {}, more=False)
    found: list[Row[Any]] = []
    pictures: dict[UUID, Row[Any]] = {}
    last: Row[Any] | None = None
    full = True
    for _ in range(MAX_POOLS):
        batch = await _pictures(connection, wanted, last)
        full = len(batch) == POOL
        if batch:
            last = batch[-1]
            pictures |= {row.event_id: row for row in batch}
            found += await _open_faces(connection, batch, labeller)
        if not full or len(found) >= POOL:
            break
    said = await _votes_of_others(connection, {row.event_id for row in found}, labeller)
    candidates = []
    shown = {}
    for row in found:
        key = (row.event_id, row.face_index)
        counts = said.get(key, {})
        candidates.append(
            Candidate(
                event_id=row.event_id,
                face_index=row.face_index,
                probabilities=[row._mapping[emotion] for emotion in EMOTIONS],
                votes=[counts.get(label, 0) for label in VOTES],
                person=(row.device, row.track_id),
            )
        )
        frame_id = pictures[row.event_id].frame_id
        shown[key] = QueuedFace(
            event_id=row.event_id,
            face_index=row.face_index,
            device=row.device,
            captured_at=row.captured_at,
            frame_id=frame_id,
            picture=f"/api/v1/frames/{frame_id}/faces/{row.face_index}.jpg",
            mark=_mark(row),
        )
    return Pool(candidates, shown, more=full)


def _mark(row: Row[Any]) -> FaceMark | None:
    found = mark_of((row.x, row.y, row.w, row.h), (row.frame_width, row.frame_height))
    return None if found is None else FaceMark(**{side: round(share, 4) for side, share in found._asdict().items()})


async def _pictures(connection: AsyncConnection, wanted: Wanted, last: Row[Any] | None) -> list[Row[Any]]:
    table = frames.c
    statement = select(table.frame_id, table.captured_at, table.event_id).where(
        table.event_id.is_not(None), *wanted.within(frames)
    )
    if last is not None:
        # The row comparison does not prune partitions; the plain bound does.
        place = tuple_(literal(last.captured_at), literal(last.frame_id))
        statement = statement.where(
            table.captured_at <= last.captured_at, tuple_(table.captured_at, table.frame_id) < place
        )
    statement = statement.order_by(table.captured_at.desc(), table.frame_id.desc()).limit(POOL)
    return list(await connection.execute(statement))


async def _open_faces(connection: AsyncConnection, pictures: Sequence[Row[Any]], labeller: str) -> list[Row[Any]]:
    mine = (
        select(votes.c.event_id)
        .where(votes.c.event_id == faces.c.event_id, votes.c.face_index == faces.c.face_index)
        .where(votes.c.labeller == labeller)
    )
    names = ("event_id", "face_index", "captured_at", "device", "track_id", "x", "y", "w", "h", *EMOTIONS)
    same = and_(detections.c.captured_at == faces.c.captured_at, detections.c.event_id == faces.c.event_id)
    # Spelled out for both tables, so that each is cut to the partitions of that time.
    between = (pictures[-1].captured_at, pictures[0].captured_at)
    statement = (
        select(*(faces.c[name] for name in names), detections.c.frame_width, detections.c.frame_height)
        .join_from(faces, detections, same)
        .where(faces.c.captured_at.between(*between), detections.c.captured_at.between(*between))
        .where(faces.c.event_id == any_(_ids([row.event_id for row in pictures])), ~mine.exists())
    )
    return list(await connection.execute(statement))


async def _votes_of_others(
    connection: AsyncConnection, events: set[UUID], labeller: str
) -> dict[tuple[UUID, int], dict[str, int]]:
    table = votes.c
    statement = (
        select(table.event_id, table.face_index, table.label, func.count().label("n"))
        .where(table.event_id == any_(_ids(list(events))), table.labeller != labeller)
        .group_by(table.event_id, table.face_index, table.label)
    )
    said: dict[tuple[UUID, int], dict[str, int]] = {}
    for row in await connection.execute(statement):
        said.setdefault((row.event_id, row.face_index), {})[row.label] = row.n
    return said


@dataclass(frozen=True, slots=True)
class Votable:
    """A face that somebody wants to vote on."""

    captured_at: datetime
    device: str
    face: Face
    has_picture: bool


async def votable(connection: AsyncConnection, event_id: UUID, face_index: int) -> Votable | None:
    """A face, which stays until the transaction ends: an erasure that comes meanwhile finds the vote on it as well."""
    statement = (
        select(faces)
        .where(faces.c.event_id == event_id, faces.c.face_index == face_index)
        .with_for_update(read=True, key_share=True)
    )
    row = await first_by_id(connection, statement, faces, event_id)
    if row is None:
        return None
    picture = select(frames.c.frame_id).where(frames.c.captured_at == row.captured_at, frames.c.event_id == event_id)
    has_picture = await connection.scalar(picture.limit(1)) is not None
    return Votable(row.captured_at, row.device, face_of_row(row), has_picture)


async def put_vote(connection: AsyncConnection, values: dict[str, Any]) -> Vote:
    """Keep a vote; one of the same labeller on the same face is replaced."""
    statement = insert(votes).values(values)
    statement = statement.on_conflict_do_update(
        index_elements=[votes.c.event_id, votes.c.face_index, votes.c.labeller],
        set_={"label": statement.excluded.label, "voted_at": func.now()},
    )
    vote = _vote((await connection.execute(statement.returning(votes))).one())
    await labelled_now(connection, vote.captured_at, vote.event_id, vote.face_index)
    return vote


def _vote(row: Row[Any]) -> Vote:
    return Vote.model_validate(row, from_attributes=True)


async def others(connection: AsyncConnection, vote: Vote) -> dict[str, int]:
    """What other labellers called the same face."""
    said = await _votes_of_others(connection, {vote.event_id}, vote.labeller)
    return said.get((vote.event_id, vote.face_index), {})


async def take_back(connection: AsyncConnection, event_id: UUID, face_index: int, labeller: str) -> bool:
    """Remove a labeller's vote; False where there is none."""
    table = votes.c
    statement = votes.delete().where(
        table.event_id == event_id, table.face_index == face_index, table.labeller == labeller
    )
    at = await connection.scalar(statement.returning(table.captured_at))
    if at is not None:
        await labelled_now(connection, at, event_id, face_index)
    return at is not None


async def vote_page(connection: AsyncConnection, query: VoteQuery) -> VotePage:
    """Votes that fit a query, those on the newest faces first."""
    table = votes.c
    conditions = within(votes, query)
    for name in ("labeller", "label", "event_id"):
        wanted = getattr(query, name)
        if wanted is not None:
            conditions.append(table[name] == wanted)
    key = (table.captured_at, table.event_id, table.face_index, table.labeller)
    if query.cursor is not None:
        conditions.append(tuple_(*key) < tuple_(*map(literal, cursors.decode_vote(query.cursor))))
    statement = select(votes).where(*conditions).order_by(*(column.desc() for column in key)).limit(query.limit + 1)
    rows = (await connection.execute(statement)).all()
    items = [_vote(row) for row in rows[: query.limit]]
    cursor = None
    if len(rows) > query.limit:
        last = items[-1]
        cursor = cursors.encode_vote(
            cursors.VoteCursor(last.captured_at, last.event_id, last.face_index, last.labeller)
        )
    return VotePage(items=items, next_cursor=cursor)


async def agreement(connection: AsyncConnection, span: Span) -> Agreement:
    """How far labellers agree. The database groups faces of which the same was said by the same; what it finds is read
    in parts, so that memory grows with labellers, not with votes."""
    vote = votes.c.label.concat("/").concat(votes.c.labeller)
    # In the order of the table's key, so that nothing has to be sorted.
    said = func.array_agg(aggregate_order_by(vote, votes.c.labeller)).label("said")
    of_face = select(said).where(*within(votes, span)).group_by(votes.c.event_id, votes.c.face_index).subquery()
    alike = select(of_face.c.said, func.count().label("times")).group_by(of_face.c.said)
    tally = Tally(VOTES)
    async for row in await connection.stream(alike):
        tally.add([_said(one) for one in row.said], row.times)
    return Agreement(
        labellers=dict(sorted(tally.labellers.items())),
        faces=sum(times for _, times in tally.judged),
        fleiss_kappa=fleiss_kappa(tally.judged),
        pairs=[
            PairAgreement(
                first=first,
                second=second,
                faces=sum(pairs.values()),
                agreement=observed_agreement(pairs) or 0.0,
                kappa=cohens_kappa(pairs),
            )
            for (first, second), pairs in sorted(tally.tables.items())
        ],
    )


def _said(vote: str) -> tuple[str, str]:
    label, _, labeller = vote.partition("/")  # a name may hold anything
    return labeller, label


async def votes_since(connection: AsyncConnection, labeller: str, since: datetime) -> int:
    """How many votes a labeller gave since a time."""
    statement = select(func.count()).where(votes.c.labeller == labeller, votes.c.voted_at >= since)
    return await connection.scalar(statement) or 0


async def progress(connection: AsyncConnection, labeller: str, since: datetime) -> Progress:
    """How much is done."""
    table = votes.c
    mine = select(func.count()).where(table.labeller == labeller)
    faces_voted = (
        select(func.count().label("n")).select_from(votes).group_by(table.event_id, table.face_index).subquery()
    )
    of_all = (
        await connection.execute(
            select(func.count().label("all"), func.count().filter(faces_voted.c.n > 1).label("several")).select_from(
                faces_voted
            )
        )
    ).one()
    return Progress(
        labeller=labeller,
        votes=await connection.scalar(mine) or 0,
        votes_since=await votes_since(connection, labeller, since),
        faces_of_all=of_all.all,
        faces_of_several=of_all.several,
    )
