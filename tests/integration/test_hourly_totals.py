"""Hourly totals on a real Postgres: always what the rows that are there make, whatever comes twice, late, or goes."""

import asyncio
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest import store as ingest_store
from services.ingest.store import Store
from services.web.stats_queries import stats
from shared.db import partitions
from shared.db.engine import create_engine
from shared.db.erasure import erase
from shared.db.faults import Fault, fault_of
from shared.db.hourly_tables import HOUR, hourly_totals
from shared.db.migrate import downgrade, upgrade
from shared.db.places import Scope
from shared.db.retention import RetentionSettings, run_pass
from shared.db.tables import PARTITIONED, detections, faces
from shared.emotions import EMOTIONS
from shared.messages import Detection
from shared.settings import DatabaseSettings
from tests.support import scenes
from tests.support.web import accepted, ingested

MIDNIGHT = datetime(2026, 3, 30, tzinfo=UTC)
KEEP = RetentionSettings(detections_days=30)
FIRST_DAY_EXPIRES = MIDNIGHT + timedelta(days=30, hours=1)
ALL_EXPIRES = datetime.now(UTC) + timedelta(days=60)
DEVICES = ("camera-1", "camera-2")


def scene(seed: int, count: int = 60, *, hours: float = 3.0) -> list[Detection]:
    """Two devices around midnight and one without a clock, up to three faces at a time."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        found = [
            scenes.face(track, chance.choice(EMOTIONS), chance.uniform(0.2, 1.0))
            for track in range(chance.choice((0, 1, 1, 3)))
        ]
        at = MIDNIGHT + timedelta(seconds=round(chance.uniform(-hours, hours) * 1800))
        if number % 8 == 0:
            at = datetime(2001, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        made.append(scenes.detection(chance.choice(DEVICES), *found, captured_at=at, seq=number))
    return made


Totals = dict[tuple[datetime, str], dict[str, int]]


async def expected(engine: AsyncEngine) -> Totals:
    """Totals by the plainest reading of the rows that are there."""
    made: Totals = {}

    def total(row: Any) -> dict[str, int]:
        at = row.captured_at.astimezone(UTC)
        nothing = {column.name: 0 for column in hourly_totals.c if column.name not in ("hour", "device")}
        return made.setdefault((at.replace(minute=0, second=0, microsecond=0), row.device), nothing)

    async with engine.connect() as connection:
        for row in await connection.execute(select(detections)):
            total(row)["detections"] += 1
        for row in await connection.execute(select(faces)):
            this = total(row)
            this["faces"] += 1
            this[row.dominant_emotion] += 1
            for emotion in EMOTIONS:
                this[f"{emotion}_billionths"] += round(row._mapping[emotion] * 10**9)
    return made


async def in_step(engine: AsyncEngine) -> int:
    """Compare; return how many there are."""
    async with engine.connect() as connection:
        rows = (await connection.execute(select(hourly_totals))).mappings().all()
    found = {
        (row["hour"], row["device"]): {k: v for k, v in row.items() if k not in ("hour", "device")} for row in rows
    }
    assert found == await expected(engine)
    return len(found)


@dataclass(frozen=True)
class Stored:
    """Some detections come, perhaps again; where no partition can be made they go to the default one."""

    numbers: list[int]
    own_partition: bool

    async def do(self, engine: AsyncEngine, pool: list[Detection]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if not self.own_partition:
                patch.setattr(ingest_store, "has_own_partition", lambda *_: False)
            batch = [accepted(pool[number]) for number in self.numbers]
            await Store(engine, dead_letter_bytes=1000).save(batch)


@dataclass(frozen=True)
class Erased:
    device: str | None
    begin: int
    minutes: int

    async def do(self, engine: AsyncEngine, pool: list[Detection]) -> None:
        begin = MIDNIGHT + timedelta(minutes=self.begin)
        await erase(engine, Scope(self.device, begin, begin + timedelta(minutes=self.minutes)), "tester")


@dataclass(frozen=True)
class ErasedItem:
    number: int

    async def do(self, engine: AsyncEngine, pool: list[Detection]) -> None:
        await erase(engine, Scope(item_id=pool[self.number].event_id), "tester")


@dataclass(frozen=True)
class Expired:
    """Retention runs, perhaps while somebody reads a table, so that its partitions stay and the other's go."""

    now: datetime
    read: str | None

    async def do(self, engine: AsyncEngine, pool: list[Detection]) -> None:
        async with engine.connect() as reading:
            if self.read is not None:
                await reading.execute(text(f"SELECT FROM {self.read}"))
            assert await run_pass(engine, KEEP, self.now) is not None


STEPS = st.one_of(
    st.builds(Stored, st.lists(st.integers(0, 59), min_size=1, max_size=60), st.booleans()),
    st.builds(Erased, st.sampled_from((None, *DEVICES)), st.integers(-90, 90), st.integers(1, 180)),
    st.builds(ErasedItem, st.integers(0, 59)),
    st.builds(
        Expired, st.sampled_from((FIRST_DAY_EXPIRES, ALL_EXPIRES)), st.sampled_from((None, None, "detections", "faces"))
    ),
)
ALL_OF_IT = Stored(list(range(60)), own_partition=True)


async def emptied(engine: AsyncEngine) -> None:
    """As the migrations left it."""
    async with engine.begin() as connection:
        for table in PARTITIONED:
            for partition in await partitions.partitions(connection, table):
                await partitions.drop(connection, partition)
        await connection.execute(text("TRUNCATE detections, faces, frames, episodes, hourly_totals, erasures, devices"))


def test_any_sequence_of_storing_erasing_and_expiring_leaves_them_right(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "_SHORT_LOCK", text("SET LOCAL lock_timeout = '30ms'"))
    monkeypatch.setattr("shared.db.erasure.BATCH", 7)
    pool = scene(1)
    with asyncio.Runner() as runner:
        runner.run(upgrade(database_settings))
        engine = create_engine(database_settings)

        async def one_after_the_other(steps: list[Any]) -> None:
            await emptied(engine)
            for step in [ALL_OF_IT, *steps]:
                await step.do(engine, pool)
                await in_step(engine)

        @settings(max_examples=30, deadline=None)
        @given(st.lists(STEPS, min_size=1, max_size=6))
        def check(steps: list[Any]) -> None:
            runner.run(one_after_the_other(steps))

        check()
        runner.run(engine.dispose())


@pytest.mark.parametrize("seed", [1, 2])
async def test_replicas_erasures_and_retention_side_by_side_leave_them_right(engine: AsyncEngine, seed: int) -> None:
    sent = [accepted(one) for one in scene(seed, 300)]
    batches = [sent[start : start + 20] for start in range(0, len(sent), 20)]
    again = [[*batch, *batch[:5]] for batch in batches[::-1]]

    async def replica(share: list[list[Any]]) -> None:
        store = Store(engine, dead_letter_bytes=1000)
        for batch in share:
            while True:  # as ingest does
                try:
                    assert not (await store.save(batch)).refused
                except (OSError, asyncpg.PostgresError, SQLAlchemyError) as error:
                    if fault_of(error) is not Fault.RETRY:
                        raise
                else:
                    break

    async def eraser(device: str | None, begin: int) -> None:
        at = MIDNIGHT + timedelta(minutes=begin)
        await erase(engine, Scope(device, at, at + timedelta(minutes=25)), "tester")

    async def upkeep() -> None:
        for _ in range(3):
            await run_pass(engine, KEEP, FIRST_DAY_EXPIRES)

    work = [replica(batches), replica(again), replica(batches[5:] + again[:5]), eraser("camera-1", -40), upkeep()]
    await asyncio.gather(*work, eraser(None, 20), eraser("camera-2", 35))
    assert await in_step(engine) > 2


async def test_of_an_hour_that_is_erased_nothing_is_left(engine: AsyncEngine) -> None:
    await ingested(engine, scene(3))
    scope = Scope("camera-1", MIDNIGHT, MIDNIGHT + HOUR)
    before, after = await erase(engine, scope, "tester")
    assert (before["hourly_totals"], after["hourly_totals"]) == (1, 0)
    async with engine.connect() as connection:
        left = select(func.count()).where(hourly_totals.c.hour == MIDNIGHT, hourly_totals.c.device == "camera-1")
        assert await connection.scalar(left) == 0
    assert await in_step(engine) > 4


async def test_rows_that_were_never_counted_can_be_erased_all_the_same(engine: AsyncEngine) -> None:
    await ingested(engine, scene(3))
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM hourly_totals WHERE device = 'camera-1'"))
    await erase(engine, Scope("camera-1", None, MIDNIGHT + timedelta(days=1)), "tester")
    await in_step(engine)


async def test_the_migration_adds_up_the_rows_that_are_there_and_tells_how_long(
    engine: AsyncEngine, database_settings: DatabaseSettings
) -> None:
    await ingested(engine, scene(4, 300))
    whole = await in_step(engine)
    assert whole > 8
    await downgrade(database_settings, "0008")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE pg_class SET reltuples = 20e6 WHERE relname = 'faces_20260330'"))
    steps: list[str] = []
    await upgrade(database_settings, steps.append)
    await asyncio.sleep(0)
    assert await in_step(engine) == whole
    (told,) = steps[1:]
    assert told.startswith("adding up about 20,")
    assert "some 2 min" in told


async def test_whole_hours_are_told_without_reading_their_rows(engine: AsyncEngine) -> None:
    await ingested(engine, scene(5, 300))
    counted = text(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables "
        "WHERE relname ~ '^(faces|detections)_'"
    )
    begin, end = MIDNIGHT - 3 * HOUR, MIDNIGHT + 3 * HOUR
    async with engine.connect() as connection:
        found = await stats(connection, None, begin, end, "1h")
        assert await connection.scalar(counted) == 0
    async with engine.connect() as connection:
        later = timedelta(minutes=59)
        assert len(await stats(connection, None, begin - later, end + later, "1h")) == len(found) == 4
        assert await connection.scalar(counted) == 0
    async with engine.connect() as connection:
        await stats(connection, None, MIDNIGHT - timedelta(minutes=5), end, "1h")
        assert 0 < await connection.scalar(counted) < 100
