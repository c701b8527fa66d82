"""Retention on a real Postgres: what has expired is dropped, everything else stays."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db import audit
from shared.db.partitions import ensure_audit_month, ensure_day, partitions
from shared.db.retention import RetentionSettings, run_pass
from shared.db.study_tables import votes
from shared.db.tables import audit_log, dead_letters, detections, faces, frames
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import ingest, ingest_settings, until
from tests.support import scenes
from tests.support.web import store, store_frame

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
KEEP = RetentionSettings(detections_days=30, frames_days=7, dead_letters_days=10, audit_days=60)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


async def record(engine: AsyncEngine, name: str, at: datetime, *, own_partition: bool = True) -> None:
    """A detection with a face, and a picture, captured at `at`."""
    if own_partition:
        async with engine.begin() as connection:
            for table in ("detections", "faces", "frames"):
                await ensure_day(connection, table, at.date())
    await store(engine, [scenes.detection(name, scenes.face(1, "happy", 0.9), captured_at=at)])
    await store_frame(engine, uuid4(), scenes.picture(64, 36), at)


async def of_devices(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        seen = set(await connection.scalars(select(detections.c.device)))
        assert seen == set(await connection.scalars(select(faces.c.device)))
        return seen


async def picture_times(engine: AsyncEngine) -> set[datetime]:
    async with engine.connect() as connection:
        return set(await connection.scalars(select(frames.c.captured_at)))


async def test_only_what_has_wholly_expired_goes_and_partitions_are_made_ahead(engine: AsyncEngine) -> None:
    # 31 days ago is a day that ended 30.5 days ago; the last moments of day 30 are not 30 days old yet.
    for name, days in (("gone", 31), ("day-30", 30), ("week", 7), ("new", 0)):
        await record(engine, name, ago(days))
    outcome = await run_pass(engine, KEEP, NOW)
    assert outcome is not None
    assert await of_devices(engine) == {"day-30", "week", "new"}
    assert await picture_times(engine) == {ago(7), ago(0)}
    assert set(outcome.dropped) == {
        "detections_20260515",
        "faces_20260515",
        "frames_20260515",
        "frames_20260516",
    }
    assert outcome.rows_deleted == {}
    async with engine.connect() as connection:
        for table in ("detections", "faces", "frames"):
            newest = (await partitions(connection, table))[-1]
            assert newest.end == datetime(2026, 6, 18, tzinfo=UTC)
        (written,) = await audit.newest(connection, 10)
    assert (written.entry.who, written.entry.action) == ("retention", "retention")
    assert set(written.entry.detail["dropped"]) == set(outcome.dropped)
    again = await run_pass(engine, KEEP, NOW)
    assert again is not None
    assert (again.made, again.dropped, again.rows_deleted) == ([], [], {})
    async with engine.connect() as connection:
        assert len(await audit.newest(connection, 10)) == 1  # a pass without anything to do is not worth a line


async def test_votes_go_with_their_faces_and_not_before(engine: AsyncEngine) -> None:
    far_ahead = datetime(2090, 1, 1, tzinfo=UTC)
    for name, at in (("gone", ago(40)), ("new", ago(1)), ("far-ahead", far_ahead)):
        await record(engine, name, at, own_partition=at != far_ahead)
    async with engine.begin() as connection:
        found = (await connection.execute(select(faces.c.event_id, faces.c.captured_at, faces.c.device))).all()
        rows = [{**row._mapping, "face_index": 0, "label": "happy"} for row in found]
        await connection.execute(insert(votes), [row | {"labeller": who} for row in rows for who in ("ada", "bob")])

    async def voted() -> list[str]:
        async with engine.connect() as connection:
            return list(await connection.scalars(select(votes.c.device).distinct().order_by(votes.c.device)))

    async with engine.connect() as reading:  # keeps the face's partition for another pass, and so its votes
        await reading.execute(select(func.count()).select_from(faces))
        await run_pass(engine, KEEP, NOW)
        assert await voted() == ["far-ahead", "gone", "new"]
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE detections SET received_at = :old WHERE device = 'far-ahead'"), {"old": ago(40)}
        )
    outcome = await run_pass(engine, KEEP, NOW)
    assert outcome is not None
    assert outcome.rows_deleted["votes"] == 4
    assert await voted() == ["new"]


async def test_zero_days_keep_for_ever(engine: AsyncEngine) -> None:
    await record(engine, "old", ago(300))
    await run_pass(engine, RetentionSettings(detections_days=0, frames_days=0, dead_letters_days=0, audit_days=0), NOW)
    assert await of_devices(engine) == {"old"}
    assert await picture_times(engine) == {ago(300)}


async def test_rows_without_a_partition_expire_by_capture_where_the_clock_is_believed_else_by_arrival(
    engine: AsyncEngine,
) -> None:
    await record(engine, "late", ago(100), own_partition=False)
    await record(engine, "new", ago(1), own_partition=False)
    await record(engine, "no-clock", datetime(2001, 1, 1, tzinfo=UTC))
    await record(engine, "far-ahead", datetime(2090, 1, 1, tzinfo=UTC), own_partition=False)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE detections DETACH PARTITION detections_20010101"))
        for statement in (
            "INSERT INTO detections_default SELECT * FROM detections_20010101",
            "UPDATE detections SET received_at = :now",
            "UPDATE frames SET received_at = :now",
            "UPDATE detections SET received_at = :old WHERE device = 'far-ahead'",
        ):
            times = {"now": NOW, "old": ago(40)}
            await connection.execute(text(statement), {k: v for k, v in times.items() if f":{k}" in statement})
        # Its faces and picture as well were never given a day of their own.
        for table in ("faces", "frames"):
            await connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {table}_20010101"))
            await connection.execute(text(f"INSERT INTO {table}_default SELECT * FROM {table}_20010101"))
    outcome = await run_pass(engine, KEEP, NOW)
    assert outcome is not None
    assert await of_devices(engine) == {"new", "no-clock"}
    assert outcome.rows_deleted == {"detections": 2, "frames": 1}
    assert await picture_times(engine) == {ago(1), datetime(2001, 1, 1, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC)}


async def test_dead_letters_and_months_of_the_audit_log_expire(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        for number, days in enumerate((11, 9)):
            row = {"received_at": ago(days), "topic": "t", "reason": f"{days} days", "payload": b"", "payload_bytes": 0}
            await connection.execute(insert(dead_letters), [row | {"digest": bytes([number])}])
        for month in (date(2026, 3, 1), date(2026, 4, 1)):
            await ensure_audit_month(connection, month)
            line = {"at": datetime(2026, month.month, 20, tzinfo=UTC), "who": "a", "action": "b"}
            await connection.execute(insert(audit_log), [line | {"object": str(month.month), "detail": {}}])
    outcome = await run_pass(engine, KEEP, NOW)
    assert outcome is not None
    assert outcome.rows_deleted == {"dead_letters": 1}
    assert outcome.dropped == ["audit_log_202603"]
    async with engine.connect() as connection:
        assert list(await connection.scalars(select(dead_letters.c.reason))) == ["9 days"]
        kept = await connection.scalars(select(audit_log.c.object).where(audit_log.c.who == "a"))
        assert list(kept) == ["4"]


async def test_a_partition_that_is_read_is_left_for_the_next_pass(engine: AsyncEngine) -> None:
    await record(engine, "gone", ago(40))
    await run_pass(engine, RetentionSettings(frames_days=0, detections_days=0), NOW)
    async with engine.connect() as reading:
        await reading.execute(select(func.count()).select_from(faces))
        outcome = await run_pass(engine, KEEP, NOW)
        assert outcome is not None
        assert outcome.postponed == ["faces_20260506"]
        assert "frames_20260506" in outcome.dropped
    outcome = await run_pass(engine, KEEP, NOW)
    assert outcome is not None
    assert outcome.dropped == ["faces_20260506"]
    assert await of_devices(engine) == set()


async def test_of_several_at_once_one_works(engine: AsyncEngine) -> None:
    async with engine.connect() as holder:
        await holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": 0x656D6F72})
        assert await run_pass(engine, KEEP, NOW) is None
        await holder.execute(text("SELECT pg_advisory_unlock_all()"))
    outcomes = await asyncio.gather(*(run_pass(engine, KEEP, NOW) for _ in range(4)))
    made = [name for outcome in outcomes if outcome is not None for name in outcome.made]
    assert len(made) == len(set(made)) == 9
    assert await run_pass(engine, KEEP, NOW) is not None  # nobody kept the lock


async def test_ingest_runs_it_by_itself_and_goes_on(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    old = datetime.now(UTC) - timedelta(days=40)
    await record(engine, "old", old)
    settings = ingest_settings(mqtt_settings, database_settings, retention=KEEP, retention_every_s=0.1)

    async def is_gone() -> bool:
        # Each table's partition goes in a transaction of its own.
        async with engine.connect() as connection:
            tables = (detections, faces, frames)
            return not any([await connection.scalar(select(func.count()).select_from(t)) for t in tables])

    async with ingest(settings):
        await until(is_gone)
        # Not only at the start.
        await record(engine, "later", old)
        await until(is_gone)


APPEND_ONLY = [
    "UPDATE audit_log SET who = 'nobody'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "UPDATE {month} SET who = 'nobody'",
    "DELETE FROM {month} WHERE who = 'a'",
    "TRUNCATE {month}",
]


@pytest.mark.parametrize("statement", APPEND_ONLY)
async def test_the_database_refuses_to_change_the_audit_log(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await audit.write(connection, [audit.Entry("a", "view", "frames", {"ids": ["1"]}, "r-1")])
        (month,) = await partitions(connection, "audit_log")
    with pytest.raises(DBAPIError, match="added and never changed"):
        async with engine.begin() as connection:
            await connection.execute(text(statement.format(month=month.name)))
    async with engine.connect() as connection:
        (written,) = await audit.newest(connection, 10)
    assert written.entry == audit.Entry("a", "view", "frames", {"ids": ["1"]}, "r-1")
