"""Retention: partitions are made ahead, and what is older than its kind is kept is dropped, a whole partition at once.

Rows are deleted one by one only where they have no partition of their own: in the default partitions (a clock that was
never set), among dead letters, and votes with the faces that they are on.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import Field
from sqlalchemy import Row, delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import logs
from shared.db import hourly, partitions
from shared.db.audit import Entry, write
from shared.db.episode_tables import episodes
from shared.db.episodes import EpisodeKey, remake
from shared.db.faults import describe
from shared.db.partitions import DAYS_AHEAD, DAYS_BACK, Partition, day_of
from shared.db.tables import AUDIT_LOG, PARTITIONED, detections, faces, retention_in_force
from shared.settings import Group

_LOCK: Final = 0x656D6F72
_BATCH: Final = 2000
_LOCK_NOT_AVAILABLE: Final = "55P03"
_BY_RETENTION: Final = "retention"

log = logs.get(__name__)


class RetentionSettings(Group):
    """For how many days each kind of data is kept; 0 keeps it for ever."""

    detections_days: int = Field(
        default=0, ge=0, le=36_500, description="days that detections and faces are kept after capture; 0: for ever"
    )
    frames_days: int = Field(
        default=0, ge=0, le=36_500, description="days that pictures are kept after capture; 0: for ever"
    )
    dead_letters_days: int = Field(
        default=30, ge=0, le=36_500, description="days that refused messages are kept; 0: for ever"
    )
    audit_days: int = Field(
        default=1095, ge=0, le=36_500, description="days that the audit log is kept, in whole months; 0: for ever"
    )

    def days(self, table: str) -> int:
        """For how many days `table` is kept."""
        of_table = {
            "detections": self.detections_days,
            "faces": self.detections_days,
            "frames": self.frames_days,
            "votes": self.detections_days,
            "dead_letters": self.dead_letters_days,
            AUDIT_LOG: self.audit_days,
        }
        return of_table[table]


@dataclass(slots=True)
class Outcome:
    """What one pass did."""

    made: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    rows_deleted: dict[str, int] = field(default_factory=dict)
    postponed: list[str] = field(default_factory=list)
    """Partitions that a long query held on to; the next pass drops or makes them."""


def expired(found: list[Partition], days: int, now: datetime) -> list[Partition]:
    """Those of a table's partitions of which everything is older than `days`; none where that is 0. Pure."""
    return [partition for partition in found if days and partition.end <= now - timedelta(days=days)]


async def run_pass(engine: AsyncEngine, settings: RetentionSettings, now: datetime | None = None) -> Outcome | None:
    """Make partitions ahead and drop what has expired at `now`; None where another program is doing just that.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database fails. What was done until then is done.
    """
    now = now or datetime.now(UTC)
    async with engine.connect() as connection, _alone(connection) as alone:
        if not alone:
            return None
        outcome = Outcome()
        await _note(connection, settings, now)
        await _make_ahead(connection, now, outcome)
        for table in (*PARTITIONED, AUDIT_LOG):
            await _drop_expired(connection, table, settings.days(table), now, outcome)
        for table, statement in _DELETES.items():
            days = settings.days(table)
            if days:
                await _delete(connection, table, statement, now - timedelta(days=days), now, outcome)
        if outcome.dropped or outcome.rows_deleted:
            detail = {"dropped": outcome.dropped, "rows_deleted": outcome.rows_deleted, "days": settings.model_dump()}
            await write(connection, [Entry(_BY_RETENTION, "retention", "what expired", detail)])
            await connection.commit()
            log.info("expired data dropped", partitions=outcome.dropped, rows_deleted=outcome.rows_deleted)
        return outcome


async def _note(connection: AsyncConnection, settings: RetentionSettings, now: datetime) -> None:
    """Let people see what is set."""
    row = insert(retention_in_force).values(id=1, at=now, days=settings.model_dump())
    kept = {"at": row.excluded.at, "days": row.excluded.days}
    await connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=kept))
    await connection.commit()


@contextlib.asynccontextmanager
async def _alone(connection: AsyncConnection) -> AsyncIterator[bool]:
    """Hold the lock of the whole database for this pass; it ends with the connection, whatever happens."""
    mine = bool(await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}))
    await connection.commit()
    try:
        yield mine
    except BaseException:
        await connection.invalidate()
        raise
    if mine:
        await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        await connection.commit()


async def _make_ahead(connection: AsyncConnection, now: datetime, outcome: Outcome) -> None:
    today = partitions.day_of(now)
    for table in PARTITIONED:
        for ahead in range(DAYS_AHEAD + 1):
            day = today + timedelta(days=ahead)
            name = partitions.partition_name(table, day)
            async with _patiently(connection, name, outcome):
                if await partitions.ensure_day(connection, table, day):
                    outcome.made.append(name)


async def _drop_expired(connection: AsyncConnection, table: str, days: int, now: datetime, outcome: Outcome) -> None:
    found = await partitions.partitions(connection, table)
    await connection.commit()
    for partition in expired(found, days, now):
        async with _patiently(connection, partition.name, outcome):
            await partitions.drop(connection, partition)
            if table in (detections.name, faces.name):  # and so what is made of them
                await connection.execute(delete(episodes).where(episodes.c.day == partition.last_day))
                await hourly.forget_day(connection, table, partition.last_day)
            outcome.dropped.append(partition.name)


@contextlib.asynccontextmanager
async def _patiently(connection: AsyncConnection, name: str, outcome: Outcome) -> AsyncIterator[None]:
    """One transaction that gives way to a long query: it is postponed to the next pass."""
    try:
        yield
        await connection.commit()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        await connection.rollback()
        outcome.postponed.append(name)
        log.warning("a partition is in use; retention comes back to it", partition=name, error=describe(error))


# In a default partition are days whose clock nobody believes: they expire by when they were stored. Days near enough
# to be believed are there only because their partition could not be made or is gone already: they expire as it did.
_EXPIRED_HERE: Final = "(received_at < :before OR captured_at >= :believable AND captured_at < :before)"
_READ: Final = ", ".join(hourly.OF_FACE[2:])
_DELETES: Final = {
    # These two give a row for each face that goes, and one for each detection without any.
    "detections": f"""
        WITH gone AS (
            DELETE FROM detections_default WHERE (captured_at, event_id) IN (
                SELECT captured_at, event_id FROM detections_default WHERE {_EXPIRED_HERE} LIMIT {_BATCH})
            RETURNING event_id, boot_id, captured_at, device),
        faceless AS (DELETE FROM faces f USING gone g WHERE (f.captured_at, f.event_id) = (g.captured_at, g.event_id)
            RETURNING f.*)
        SELECT event_id, g.boot_id, f.track_id, captured_at, g.device, {_READ}
        FROM gone g LEFT JOIN faceless f USING (captured_at, event_id)""",  # noqa: S608 - every part is a constant of this module
    "faces": f"""
        WITH gone AS (
            DELETE FROM faces_default WHERE (captured_at, event_id, face_index) IN (
                SELECT captured_at, event_id, face_index FROM faces_default
                WHERE captured_at >= :believable AND captured_at < :before LIMIT {_BATCH})
            RETURNING *)
        SELECT event_id, d.boot_id, f.track_id, captured_at, f.device, {_READ}
        FROM gone f LEFT JOIN detections d USING (captured_at, event_id)""",  # noqa: S608 - every part is a constant of this module
    "frames": f"""
        WITH gone AS (
            DELETE FROM frames_default WHERE (captured_at, frame_id) IN (
                SELECT captured_at, frame_id FROM frames_default WHERE {_EXPIRED_HERE} LIMIT {_BATCH})
            RETURNING 1)
        SELECT count(*) FROM gone""",  # noqa: S608 - every part is a constant of this module
    "dead_letters": f"""
        WITH gone AS (
            DELETE FROM dead_letters WHERE id IN (
                SELECT id FROM dead_letters WHERE received_at < :before LIMIT {_BATCH})
            RETURNING 1)
        SELECT count(*) FROM gone""",  # noqa: S608 - every part is a constant of this module
    # A vote goes with its face, however that went: after the partitions, and after what is in the default ones.
    "votes": f"""
        WITH gone AS (
            DELETE FROM votes WHERE (event_id, face_index, labeller) IN (
                SELECT v.event_id, v.face_index, v.labeller FROM votes v
                WHERE (v.captured_at < :before OR v.captured_at >= :ahead) AND NOT EXISTS (
                    SELECT 1 FROM faces f WHERE (f.captured_at, f.event_id, f.face_index)
                        = (v.captured_at, v.event_id, v.face_index))
                LIMIT {_BATCH})
            RETURNING 1)
        SELECT count(*) FROM gone""",  # noqa: S608 - every part is a constant of this module
}


async def _delete(
    connection: AsyncConnection, table: str, statement: str, before: datetime, now: datetime, outcome: Outcome
) -> None:
    times = {"before": before}
    if ":believable" in statement:
        times["believable"] = now - timedelta(days=DAYS_BACK)
    if ":ahead" in statement:
        times["ahead"] = now + timedelta(days=DAYS_AHEAD)
    while True:
        found = (await connection.execute(text(statement), times)).all()
        rows = await _bring_into_step(connection, table, found)
        await connection.commit()
        if not rows:
            return
        outcome.rows_deleted[table] = outcome.rows_deleted.get(table, 0) + rows


async def _bring_into_step(connection: AsyncConnection, table: str, found: Sequence[Row[Any]]) -> int:
    """Take rows that were removed one by one out of what is made of them; return how many there were."""
    if table not in (detections.name, faces.name):
        count: int = found[0][0]
        return count
    read = [row for row in found if row.track_id is not None]
    # Where the detection went before, so did its episodes.
    with_boot = (row for row in read if row.boot_id is not None)
    await remake(
        connection, [EpisodeKey(day_of(row.captured_at), row.device, row.boot_id, row.track_id) for row in with_boot]
    )
    of = found if table == detections.name else []
    detected = {(row.captured_at, row.event_id): (row.captured_at, row.device) for row in of}
    await hourly.subtract(connection, detected=list(detected.values()), read=[row[3:] for row in read])
    return len(detected) or len(read)
