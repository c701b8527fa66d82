"""A row is found by its id wherever it lies, and one whose id tells its time without a look at all partitions."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.web import label_queries, queries
from shared.db.partitions import partition_name
from shared.settings import DatabaseSettings
from tests.support import scenes
from tests.support.web import records, store, store_frame

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYS = [NOON.date() - timedelta(days=n) for n in range(20)]


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, *DAYS) as engine:
        yield engine


def id_of(moment: datetime) -> UUID:
    """A UUIDv7 made at this time."""
    random = uuid4().int & ~(0xFFFFFFFFFFFF << 80) & ~(0xF << 76)
    return UUID(int=int(moment.timestamp() * 1000) << 80 | 7 << 76 | random)


async def scans(connection: AsyncConnection) -> Counter[str]:
    """How often each partition was read from, as this transaction knows; what it did not begin with is its own."""
    rows = await connection.execute(
        text(
            "SELECT relname, seq_scan + coalesce(idx_scan, 0) AS scans FROM pg_stat_xact_user_tables "
            "WHERE relname ~ '^(detections|faces|frames)_'"
        )
    )
    return Counter({row.relname: row.scans for row in rows})


CASES = {
    "its own time": (NOON, id_of(NOON)),
    "just before midnight, of a capture after it": (
        NOON.replace(hour=0),
        id_of(NOON.replace(hour=0) - timedelta(seconds=1)),
    ),
    "a clock that was set forward by days after the capture": (NOON - timedelta(days=12), id_of(NOON)),
    "a clock that was set back, which ids do not follow": (NOON - timedelta(days=2), id_of(NOON + timedelta(days=700))),
    "a clock that was never set, in the default partition": (datetime(2000, 1, 1, tzinfo=UTC), id_of(NOON)),
    "its own time, in the default partition": (
        datetime(2031, 1, 1, tzinfo=UTC),
        id_of(datetime(2031, 1, 1, tzinfo=UTC)),
    ),
    "no time at all": (NOON - timedelta(days=5), uuid4()),
    "a time after all calendars": (NOON - timedelta(days=5), UUID(int=0xFFFFFFFFFFFF << 80 | 7 << 76 | 5)),
}


@pytest.mark.parametrize("case", CASES)
async def test_every_stored_row_is_found_whatever_time_its_id_tells(engine: AsyncEngine, case: str) -> None:
    captured_at, id_ = CASES[case]
    await store(engine, [scenes.detection("camera-1", scenes.face(), captured_at=captured_at, event_id=id_)])
    await store_frame(engine, id_, b"a picture", captured_at, event_id=id_)

    async with engine.connect() as connection:
        assert await queries.captured_at(connection, id_) == captured_at
        assert await queries.frame_jpeg(connection, id_) == b"a picture"
        assert await queries.frame_digest(connection, id_) is not None
        assert await queries.face_of_frame(connection, id_, 0) is not None
        found = await label_queries.votable(connection, id_, 0)
    assert found is not None
    assert found.captured_at == captured_at


async def test_an_id_that_tells_its_time_is_looked_for_there_alone(engine: AsyncEngine) -> None:
    id_ = id_of(NOON)
    await store(engine, [scenes.detection("camera-1", scenes.face(), captured_at=NOON, event_id=id_)])
    await store_frame(engine, id_, b"a picture", NOON, event_id=id_)

    async with engine.connect() as connection:
        before = await scans(connection)
        for look_up in (
            queries.captured_at(connection, id_),
            queries.frame_jpeg(connection, id_),
            queries.frame_digest(connection, id_),
            queries.face_of_frame(connection, id_, 0),
            label_queries.votable(connection, id_, 0),
        ):
            assert await look_up is not None
        assert set(await scans(connection) - before) == {
            partition_name(table, NOON.date()) for table in ("detections", "faces", "frames")
        }


async def test_an_id_of_no_row_is_looked_for_everywhere_and_not_found(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        before = await scans(connection)
        assert await queries.captured_at(connection, id_of(NOON)) is None
        everywhere = {partition_name("detections", day) for day in DAYS} | {"detections_default"}
        assert set(await scans(connection) - before) == everywhere
        assert await queries.frame_jpeg(connection, uuid4()) is None
        assert await label_queries.votable(connection, id_of(NOON), 0) is None
