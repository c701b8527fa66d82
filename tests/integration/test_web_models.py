"""Which models the list names, over a real Postgres."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, text, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.web import device_queries
from shared.db.episode_tables import episodes
from shared.messages import Detection, Face, ModelRef
from shared.settings import DatabaseSettings
from tests.support import scenes
from tests.support.web import ingested, records

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, NOON.date()) as engine:
        yield engine


def read_by(model: str, seconds: int, *faces: Face) -> Detection:
    name, version = model.split("@")
    one = scenes.detection("camera-1", *faces, captured_at=NOON + timedelta(seconds=seconds), seq=seconds)
    return one.model_copy(update={"model": ModelRef(name=name, version=version)})


async def listed(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return [f"{one.name}@{one.version}" for one in await device_queries.models_in_detections(connection)]


async def test_a_model_that_read_a_face_is_listed_however_much_came_since(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_queries, "NEWEST", 3)
    assert await listed(engine) == []
    await ingested(
        engine,
        [
            read_by("old@2", 0, scenes.face(1)),
            read_by("old@10", 1, scenes.face(2)),
            read_by("a@1", 2, scenes.face(3), scenes.face(4)),
            read_by("long-empty@1", 3),
            *(read_by("new@1", number, scenes.face(5)) for number in range(10, 20)),
            read_by("now-empty@1", 30),
        ],
    )
    assert await listed(engine) == ["a@1", "new@1", "now-empty@1", "old@10", "old@2"]


async def rows_read(connection: AsyncConnection) -> int:
    """Rows of episodes that were read, as this transaction knows."""
    counted = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'episodes'"
    return int(await connection.scalar(text(counted)))


async def test_the_list_is_made_without_reading_all_episodes(engine: AsyncEngine) -> None:
    await ingested(engine, [read_by(f"m{number}@1", number, scenes.face(number)) for number in range(3)])
    same = [each for each in episodes.c if each.computed is None and each.name not in ("id", "track_id")]
    times = func.generate_series(1, 3000).table_valued("n", name="times").render_derived()
    many = select(*same, episodes.c.track_id + 10 * times.c.n).join_from(episodes, times, true())
    async with engine.begin() as connection:
        await connection.execute(insert(episodes).from_select([*same, episodes.c.track_id], many))
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM ANALYZE episodes"))
    async with engine.connect() as connection:
        before = await rows_read(connection)
        assert len(await device_queries.models_in_detections(connection)) == 3
        assert await rows_read(connection) - before < 50


async def test_names_that_are_made_up_do_not_make_the_list_longer(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_queries, "MOST", 5)
    await ingested(engine, [read_by(f"m{number}@1", number, scenes.face(number)) for number in range(9)])
    assert await listed(engine) == [f"m{number}@1" for number in range(5)]
