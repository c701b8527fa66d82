"""Migrations and partitions on a real Postgres."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import Store
from shared.db import account_tables, episode_tables, hourly_tables, study_tables, tables
from shared.db.engine import create_engine
from shared.db.faults import Fault, fault_of
from shared.db.migrate import MigrationError, upgrade
from shared.db.migrations import versions
from shared.db.partitions import ensure_day, has_own_partition, partition_name
from shared.settings import DatabaseSettings
from tests.integration.delivery import detection, until
from tests.support.web import accepted, waits_for_a_lock

DAY = date(2026, 3, 29)


def _is_ours(name: str | None, kind: str, _: object) -> bool:
    return kind != "table" or not (name or "").startswith(
        tuple(f"{table}_" for table in (*tables.PARTITIONED, "audit_log"))
    )


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True, "include_name": _is_ours}
    )
    assert account_tables.users.metadata is study_tables.votes.metadata is tables.metadata  # all are loaded
    assert episode_tables.episodes.metadata is hourly_tables.hourly_totals.metadata is tables.metadata
    return list(compare_metadata(context, tables.metadata))


async def test_migrated_schema_is_what_the_tables_say(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []


async def test_pictures_are_stored_out_of_line_uncompressed_in_every_partition(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await ensure_day(connection, "frames", DAY)
        rows = await connection.execute(
            text(
                "SELECT attrelid::regclass::text, attstorage::text FROM pg_attribute "
                "WHERE attname IN ('jpeg', 'payload') AND attnum > 0 ORDER BY 1"
            )
        )
        assert rows.all() == [("dead_letters", "e"), ("frames", "e"), ("frames_20260329", "e"), ("frames_default", "e")]


async def test_upgrade_says_what_it_does_and_a_second_one_has_nothing_to_do(
    database_settings: DatabaseSettings,
) -> None:
    steps: list[str] = []
    await upgrade(database_settings, steps.append)
    await upgrade(database_settings, steps.append)
    await asyncio.sleep(0)
    newest = max(path.name[1:5] for path in Path(versions.__path__[0]).glob("v0*.py"))
    assert steps == [
        f"the database's schema goes from nothing to {newest}",
        f"the database has the newest schema ({newest})",
    ]


async def test_several_upgrades_at_once_leave_one_schema(database_settings: DatabaseSettings) -> None:
    await asyncio.gather(*(upgrade(database_settings) for _ in range(4)))
    engine = create_engine(database_settings)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    await engine.dispose()


async def test_database_out_of_reach_is_told_without_the_password() -> None:
    nowhere = DatabaseSettings(url=SecretStr("postgresql://me:hunter2@127.0.0.1:1/emotion"))
    with pytest.raises(MigrationError, match=r"me:\*\*\*@127\.0\.0\.1:1/emotion cannot be brought") as caught:
        await upgrade(nowhere)
    assert "hunter2" not in str(caught.value)


def frame_row(captured_at: datetime, number: int) -> dict[str, object]:
    from uuid import uuid4

    return {
        "captured_at": captured_at,
        "frame_id": uuid4(),
        "device": "d",
        "boot_id": uuid4(),
        "frame_number": number,
        "source_kind": "file",
        "source_name": "x",
        "width": 1,
        "height": 1,
        "sha256": b"",
        "jpeg": b"jpeg",
    }


async def test_partition_is_made_once(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        assert await ensure_day(connection, "frames", DAY)
    async with engine.begin() as connection:
        assert not await ensure_day(connection, "frames", DAY)


async def test_rows_go_to_the_partition_of_their_utc_day(engine: AsyncEngine) -> None:
    midnight = datetime(2026, 3, 29, tzinfo=UTC)
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL timezone = 'Asia/Tokyo'"))
        await ensure_day(connection, "frames", DAY)
        moments = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(days=1, microseconds=-1)]
        await connection.execute(insert(tables.frames), [frame_row(m, n) for n, m in enumerate(moments)])
        rows = await connection.execute(text("SELECT tableoid::regclass::text FROM frames ORDER BY frame_number"))
        assert rows.scalars().all() == ["frames_default", "frames_20260329", "frames_20260329"]


async def test_making_a_partition_moves_the_rows_of_its_day_out_of_the_default_one(engine: AsyncEngine) -> None:
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    async with engine.begin() as connection:
        await connection.execute(
            insert(tables.frames), [frame_row(noon, 1), frame_row(noon, 2), frame_row(noon + timedelta(days=1), 3)]
        )
    async with engine.begin() as connection:
        assert await ensure_day(connection, "frames", DAY)
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT tableoid::regclass::text, frame_number FROM frames ORDER BY frame_number")
        )
        assert rows.all() == [("frames_20260329", 1), ("frames_20260329", 2), ("frames_default", 3)]
        stored = await connection.scalars(select(tables.frames.c.jpeg))
        assert set(stored) == {b"jpeg"}


async def test_partitions_made_at_once_by_several_are_made_once(engine: AsyncEngine) -> None:
    async def make() -> bool:
        async with engine.begin() as connection:
            return await ensure_day(connection, "detections", DAY)

    assert sorted(await asyncio.gather(*(make() for _ in range(4)))) == [False, False, False, True]


async def test_a_row_whose_partition_is_made_meanwhile_is_no_fault_of_the_row(engine: AsyncEngine) -> None:
    ahead = detection(faces=0, captured_at=datetime.now(UTC) + timedelta(days=5))  # too far for its own partition
    judged = accepted(ahead)
    store = Store(engine, dead_letter_bytes=1000)
    async with engine.connect() as other:
        await ensure_day(other, "detections", ahead.captured_at.date())
        saving = asyncio.create_task(store.save([judged]))
        await until(lambda: waits_for_a_lock(engine))
        await other.commit()
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            await saving
    assert fault_of(caught.value) is Fault.RETRY
    saved = await store.save([judged])
    assert (saved.stored, saved.refused) == (1, [])


async def test_only_partitioned_tables_have_partitions(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        with pytest.raises(ValueError, match="'devices' has no partitions"):
            await ensure_day(connection, "devices", DAY)


def test_days_far_from_now_get_no_partition_of_their_own() -> None:
    assert has_own_partition(DAY, DAY)
    assert has_own_partition(DAY + timedelta(days=2), DAY)
    assert not has_own_partition(DAY + timedelta(days=3), DAY)
    assert has_own_partition(DAY - timedelta(days=400), DAY)
    assert not has_own_partition(DAY - timedelta(days=401), DAY)
    assert partition_name("faces", DAY) == "faces_20260329"
