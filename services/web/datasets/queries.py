"""Reading and writing datasets and exports. Plain functions on a connection; the caller commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    any_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy import (
    cast as sql_cast,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web.datasets.formats import FORMATS, Item
from services.web.datasets.judging import Terms
from services.web.datasets.schemas import SPLITS, DatasetFilter, NewDataset, PageQuery
from services.web.paging import newest_first
from shared.db.study_tables import dataset_items, datasets, exports, study_sessions, votes
from shared.db.tables import detections, erasures, faces, frames

BUILDING_LOCK: Final = 0x656D6F64
"""The advisory lock of the web service that builds and exports: two of them would write the same file."""
_ROOM_LOCK: Final = 0x656D6F78
"""The advisory lock of whoever adds an export."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face that fits a filter; whether its votes give it a label is judged elsewhere."""

    captured_at: datetime
    event_id: UUID
    face_index: int
    frame_id: UUID | None
    device: str
    box: tuple[int, int, int, int]
    votes: Mapping[str, int]
    guess: str
    person: str
    session_id: UUID | None

    @property
    def key(self) -> tuple[datetime, UUID, int]:
        """Its place in the order in which faces are taken."""
        return self.captured_at, self.event_id, self.face_index


@dataclass(frozen=True, slots=True)
class Kind:
    """Faces that are the same as far as a preview looks, and how many they are."""

    votes: Mapping[str, int]
    guess: str
    person: str
    session_id: UUID | None
    has_picture: bool
    count: int


def terms_of(chosen: DatasetFilter) -> Terms:
    """What the filter asks of a label."""
    return Terms(frozenset(chosen.labels), chosen.min_votes, chosen.min_agreement)


def _candidates(chosen: DatasetFilter, begin: datetime | None) -> Select[Any]:
    """Labelled faces that fit (with pseudo-labels, others too), captured at or after `begin`."""
    spans: list[ColumnElement[bool]] = []
    for table in (votes, faces):
        start = max(filter(None, (chosen.from_, begin)), default=None)
        conditions: list[ColumnElement[bool]] = []
        if start is not None:
            conditions.append(table.c.captured_at >= start)
        if chosen.to is not None:
            conditions.append(table.c.captured_at < chosen.to)
        if chosen.device is not None:
            conditions.append(table.c.device == chosen.device)
        spans.append(and_(literal(True), *conditions))
    key = ("captured_at", "event_id", "face_index")
    counted = (
        select(*(votes.c[name] for name in key), votes.c.label, func.count().label("n"))
        .where(spans[0])
        .group_by(*(votes.c[name] for name in key), votes.c.label)
        .subquery("counted")
    )
    voted = (
        select(*(counted.c[name] for name in key), func.jsonb_object_agg(counted.c.label, counted.c.n).label("votes"))
        .group_by(*(counted.c[name] for name in key))
        .subquery("voted")
    )
    session = (
        select(study_sessions.c.id, study_sessions.c.participant)
        .where(
            faces.c.device == any_(study_sessions.c.devices),
            study_sessions.c.started_at <= faces.c.captured_at,
            or_(study_sessions.c.ended_at.is_(None), faces.c.captured_at < study_sessions.c.ended_at),
        )
        .order_by(study_sessions.c.started_at.desc(), study_sessions.c.id)
        .limit(1)
        .lateral("session")
    )
    joined = (
        faces.join(
            voted,
            and_(*(voted.c[name] == faces.c[name] for name in key)),
            isouter=chosen.pseudo_labels,
        )
        .join(
            detections,
            and_(detections.c.captured_at == faces.c.captured_at, detections.c.event_id == faces.c.event_id),
        )
        .outerjoin(
            frames,
            and_(frames.c.captured_at == detections.c.captured_at, frames.c.frame_id == detections.c.frame_id),
        )
        .outerjoin(session, literal(True))
    )
    track = faces.c.device + "/" + sql_cast(detections.c.boot_id, Text) + "/" + sql_cast(faces.c.track_id, Text)
    statement = (
        select(
            *(faces.c[name] for name in (*key, "device", "x", "y", "w", "h")),
            faces.c.dominant_emotion.label("guess"),
            voted.c.votes,
            frames.c.frame_id,
            func.coalesce(session.c.participant, track).label("person"),
            session.c.id.label("session_id"),
        )
        .select_from(joined)
        .where(spans[1], faces.c.confidence.between(chosen.min_confidence, chosen.max_confidence))
    )
    if chosen.quality_ok:
        statement = statement.where(faces.c.quality_ok)
    if chosen.session is not None:
        statement = statement.where(session.c.id == chosen.session)
    if chosen.pseudo_labels:
        sure = faces.c.confidence >= chosen.pseudo_min_confidence
        statement = statement.where(or_(voted.c.votes.is_not(None), sure))
    return statement


async def kinds(connection: AsyncConnection, chosen: DatasetFilter) -> list[Kind]:
    """All faces that fit, counted by what a preview tells apart."""
    found = _candidates(chosen, None).subquery("found")
    has_picture = found.c.frame_id.is_not(None)
    # A guess matters only where there are no votes.
    guess = case((found.c.votes.is_(None), found.c.guess), else_="")
    same = (found.c.votes, guess, found.c.person, found.c.session_id, has_picture)
    grouped = select(
        found.c.votes,
        guess.label("guess"),
        found.c.person,
        found.c.session_id,
        has_picture.label("has_picture"),
        func.count().label("n"),
    ).group_by(*same)
    return [
        Kind(row.votes or {}, row.guess, row.person, row.session_id, row.has_picture, row.n)
        for row in await connection.execute(grouped)
    ]


async def candidates(
    connection: AsyncConnection,
    chosen: DatasetFilter,
    after: tuple[datetime, UUID, int] | None,
    limit: int,
    *,
    only_with_picture: bool = False,
) -> list[Candidate]:
    """The next faces that fit, in the order of their keys."""
    statement = _candidates(chosen, after[0] if after else None)
    if only_with_picture:
        statement = statement.where(frames.c.frame_id.is_not(None))
    key = tuple_(faces.c.captured_at, faces.c.event_id, faces.c.face_index)
    if after is not None:
        statement = statement.where(key > tuple_(*(literal(part) for part in after)))
    statement = statement.order_by(faces.c.captured_at, faces.c.event_id, faces.c.face_index).limit(limit)
    return [
        Candidate(
            captured_at=row.captured_at,
            event_id=row.event_id,
            face_index=row.face_index,
            frame_id=row.frame_id,
            device=row.device,
            box=(row.x, row.y, row.w, row.h),
            votes=row.votes or {},
            guess=row.guess,
            person=row.person,
            session_id=row.session_id,
        )
        for row in await connection.execute(statement)
    ]


async def picture(connection: AsyncConnection, captured_at: datetime, frame_id: UUID) -> bytes | None:
    """A kept picture."""
    statement = select(frames.c.jpeg).where(frames.c.captured_at == captured_at, frames.c.frame_id == frame_id)
    return cast("bytes | None", await connection.scalar(statement))


async def erased(connection: AsyncConnection, found: Sequence[Candidate]) -> set[tuple[datetime, UUID, int]]:
    """The keys of those that lie within an erasure, also one that is being carried out."""
    if not found:
        return set()
    ids = {one.event_id for one in found} | {one.frame_id for one in found if one.frame_id is not None}
    of_range = and_(
        erasures.c.item_id.is_(None),
        or_(erasures.c.device.is_(None), erasures.c.device.in_({one.device for one in found})),
        erasures.c.captured_to > found[0].captured_at,
        or_(erasures.c.captured_from.is_(None), erasures.c.captured_from <= found[-1].captured_at),
    )
    rows = (await connection.execute(select(erasures).where(or_(erasures.c.item_id.in_(ids), of_range)))).all()
    return {one.key for one in found if any(_within(one, row) for row in rows)}


def _within(one: Candidate, row: Row[Any]) -> bool:
    if row.item_id is not None:
        return row.item_id in (one.event_id, one.frame_id)
    return (
        row.device in (None, one.device)
        and (row.captured_from is None or row.captured_from <= one.captured_at)
        and one.captured_at < row.captured_to
    )


# --- datasets ---------------------------------------------------------------------------------------------------------


async def add_dataset(connection: AsyncConnection, new: NewDataset, who: str) -> Row[Any]:
    """A dataset to be built.

    Raises:
        sqlalchemy.exc.IntegrityError: if there is one of its name.
    """
    values = {
        "name": new.name,
        "filter": new.filter.model_dump(mode="json", by_alias=True),
        "split": new.split.model_dump(mode="json"),
        "note": new.note,
        "state": "building",
        "created_by": who,
    }
    made: Row[Any] = (await connection.execute(insert(datasets).values(values).returning(datasets))).one()
    return made


async def dataset(connection: AsyncConnection, which: UUID | str) -> Row[Any] | None:
    """A dataset by its id or name."""
    column = datasets.c.id if isinstance(which, UUID) else datasets.c.name
    return (await connection.execute(select(datasets).where(column == which))).first()


async def dataset_kept(connection: AsyncConnection, dataset_id: UUID) -> Row[Any] | None:
    """A dataset that stays as it is until the transaction ends, so that something may be added to it.

    An erasure that takes faces from it is waited for: it marks only those exports that it finds.
    """
    statement = select(datasets).where(datasets.c.id == dataset_id).with_for_update(read=True)
    return (await connection.execute(statement)).first()


async def dataset_page(connection: AsyncConnection, query: PageQuery) -> tuple[Sequence[Row[Any]], str | None]:
    """Datasets, newest first, and the cursor of the next page."""
    return await newest_first(connection, select(datasets), datasets.c.created_at, datasets.c.id, query)


async def remove_dataset(connection: AsyncConnection, dataset_id: UUID) -> str | None:
    """Remove it with its items and exports; its name, or None where there is none."""
    statement = delete(datasets).where(datasets.c.id == dataset_id).returning(datasets.c.name)
    return cast("str | None", await connection.scalar(statement))


# --- items ------------------------------------------------------------------------------------------------------------


async def last_key(connection: AsyncConnection, dataset_id: UUID) -> tuple[tuple[datetime, UUID, int] | None, int]:
    """The key of the last face that was taken while building, and how many there are."""
    key = ("captured_at", "event_id", "face_index")
    statement = (
        select(*(dataset_items.c[name] for name in key))
        .where(dataset_items.c.dataset_id == dataset_id)
        .order_by(*(dataset_items.c[name].desc() for name in key))
        .limit(1)
    )
    row = (await connection.execute(statement)).first()
    count = await connection.scalar(
        select(func.count()).select_from(dataset_items).where(dataset_items.c.dataset_id == dataset_id)
    )
    return (None if row is None else (row.captured_at, row.event_id, row.face_index)), count or 0


async def lowest_number(connection: AsyncConnection, dataset_id: UUID) -> int:
    """The lowest number of a dataset that is being built, or 0. A count does not tell it: some may have been erased."""
    lowest = await connection.scalar(
        select(func.min(dataset_items.c.number)).where(dataset_items.c.dataset_id == dataset_id)
    )
    return lowest or 0


async def counts_by_split(connection: AsyncConnection, dataset_id: UUID) -> dict[str, int]:
    """Faces by split, of those splits that have any, in their order."""
    statement = (
        select(dataset_items.c.split, func.count().label("n"))
        .where(dataset_items.c.dataset_id == dataset_id)
        .group_by(dataset_items.c.split)
    )
    found = {row.split: row.n for row in await connection.execute(statement)}
    return {split: found[split] for split in SPLITS if split in found}


async def items_after(
    connection: AsyncConnection, dataset_id: UUID, split: str | None, after: int, limit: int, *, images: bool
) -> list[Item]:
    """The next faces of a dataset, by number."""
    columns = [dataset_items.c[name] for name in Item.__dataclass_fields__ if name != "image"]
    image = dataset_items.c.image if images else literal(b"").label("image")
    statement = (
        select(*columns, image)
        .where(dataset_items.c.dataset_id == dataset_id, dataset_items.c.number > after)
        .order_by(dataset_items.c.number)
        .limit(limit)
    )
    if split is not None:
        statement = statement.where(dataset_items.c.split == split)
    return [Item(**row._mapping) for row in await connection.execute(statement)]


async def items_to_deal(connection: AsyncConnection, dataset_id: UUID) -> Sequence[Row[Any]]:
    """What dealing out needs of all items, in the order in which they were taken."""
    names = ("number", "person", "session_id", "label", "agreement", "sha256", "fingerprint")
    statement: Select[Any] = (
        select(
            *(dataset_items.c[name] for name in names),
            (dataset_items.c.votes != literal({}, JSONB)).label("voted"),
            func.octet_length(dataset_items.c.image).label("bytes"),
        )
        .where(dataset_items.c.dataset_id == dataset_id)
        .order_by(dataset_items.c.captured_at, dataset_items.c.event_id, dataset_items.c.face_index)
    )
    found: Sequence[Row[Any]] = (await connection.execute(statement)).all()
    return found


async def remove_items(connection: AsyncConnection, dataset_id: UUID, numbers: Sequence[int]) -> None:
    """Remove these items of a dataset that is being built."""
    statement = text(
        "DELETE FROM dataset_items WHERE dataset_id = :dataset AND number = ANY(CAST(:numbers AS integer[]))"
    )
    await connection.execute(statement, {"dataset": dataset_id, "numbers": list(numbers)})


async def labellers(connection: AsyncConnection, dataset_id: UUID) -> int:
    """How many people voted on a dataset's faces."""
    statement = (
        select(func.count(votes.c.labeller.distinct()))
        .select_from(dataset_items)
        .join(
            votes,
            and_(votes.c.event_id == dataset_items.c.event_id, votes.c.face_index == dataset_items.c.face_index),
        )
        .where(dataset_items.c.dataset_id == dataset_id)
    )
    return await connection.scalar(statement) or 0


async def labellers_of(connection: AsyncConnection, found: Sequence[Candidate]) -> int:
    """How many people voted on these faces."""
    statement = text(
        "SELECT count(DISTINCT v.labeller) FROM votes AS v JOIN "
        "unnest(CAST(:events AS uuid[]), CAST(:faces AS integer[])) AS f(event_id, face_index) "
        "ON v.event_id = f.event_id AND v.face_index = f.face_index"
    )
    values = {"events": [one.event_id for one in found], "faces": [one.face_index for one in found]}
    return await connection.scalar(statement, values) or 0


async def renumber(connection: AsyncConnection, dataset_id: UUID, moved: Sequence[tuple[int, int, str]]) -> None:
    """Give items their final numbers and splits: (number before, number now, split). The new numbers are free."""
    statement = text(
        "UPDATE dataset_items AS i SET number = m.now, split = m.split "
        "FROM unnest(CAST(:before AS integer[]), CAST(:now AS integer[]), CAST(:split AS text[])) "
        "AS m(before, now, split) WHERE i.dataset_id = :dataset AND i.number = m.before"
    )
    before, now, split = [list(column) for column in zip(*moved, strict=True)] if moved else ([], [], [])
    await connection.execute(statement, {"before": before, "now": now, "split": split, "dataset": dataset_id})


# --- exports ----------------------------------------------------------------------------------------------------------


def _exports() -> Select[Any]:
    return select(exports, datasets.c.name.label("dataset")).join(datasets, datasets.c.id == exports.c.dataset_id)


async def add_export(connection: AsyncConnection, dataset_id: UUID, form: str, total: int, who: str) -> UUID:
    """An export to be made; its id."""
    values = {"dataset_id": dataset_id, "format": form, "state": "waiting", "items_total": total, "created_by": who}
    made = await connection.scalar(insert(exports).values(values).returning(exports.c.id))
    return cast("UUID", made)


async def export(connection: AsyncConnection, export_id: UUID) -> Row[Any] | None:
    """An export with its dataset's name."""
    found: Row[Any] | None = (await connection.execute(_exports().where(exports.c.id == export_id))).first()
    return found


async def export_page(
    connection: AsyncConnection, dataset_id: UUID | None, query: PageQuery
) -> tuple[Sequence[Row[Any]], str | None]:
    """Exports, newest first, and the cursor of the next page."""
    statement = _exports()
    if dataset_id is not None:
        statement = statement.where(exports.c.dataset_id == dataset_id)
    return await newest_first(connection, statement, exports.c.created_at, exports.c.id, query)


async def remove_export(connection: AsyncConnection, export_id: UUID) -> bool:
    """Whether there was one."""
    return (await connection.execute(delete(exports).where(exports.c.id == export_id))).rowcount > 0


async def size(connection: AsyncConnection, dataset_id: UUID) -> tuple[int, int]:
    """Faces of a dataset, and the bytes of their pictures."""
    statement = select(func.count(), func.coalesce(func.sum(func.octet_length(dataset_items.c.image)), 0)).where(
        dataset_items.c.dataset_id == dataset_id
    )
    faces_, pictures = (await connection.execute(statement)).one()
    return int(faces_), int(pictures)


async def room_taken(connection: AsyncConnection) -> int:
    """Bytes that all exports take together, those that wait or are being written at most.

    Until the transaction ends nobody else asks: whoever adds an export does, so none is added that was not counted.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ROOM_LOCK})
    ready = await connection.scalar(
        select(func.coalesce(func.sum(exports.c.bytes), 0)).where(exports.c.state == "ready")
    )
    taken = int(ready or 0)
    pending = select(exports.c.dataset_id, exports.c.format, func.count().label("n")).where(
        exports.c.state.in_(("waiting", "running"))
    )
    for row in await connection.execute(pending.group_by(exports.c.dataset_id, exports.c.format)):
        taken += row.n * FORMATS[row.format].room(*await size(connection, row.dataset_id))
    return taken


async def export_states(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The state of each that there is."""
    rows = await connection.execute(select(exports.c.id, exports.c.state).where(exports.c.id.in_(ids)))
    return {row.id: row.state for row in rows}


async def set_export(connection: AsyncConnection, export_id: UUID, while_: Sequence[str], **values: Any) -> bool:
    """Change an export, if it is still in one of these states; whether it was."""
    statement = update(exports).where(exports.c.id == export_id, exports.c.state.in_(while_)).values(**values)
    return (await connection.execute(statement)).rowcount > 0


async def finish_export(connection: AsyncConnection, export_id: UUID, size: int, sha256: bytes) -> bool:
    """The file is there; whether the export still wants it."""
    values = {"state": "ready", "error": None, "bytes": size, "sha256": sha256, "finished_at": func.now()}
    return await set_export(connection, export_id, ("running",), **values, items_done=exports.c.items_total)
