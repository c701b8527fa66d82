"""A change that the database undid because of another one: who asked is told to try again."""

import asyncio

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.web.database import Database, DatabaseConflict, problem_of
from shared.db.tables import devices


@pytest.fixture
async def database(engine: AsyncEngine) -> Database:
    async with engine.begin() as connection:
        await connection.execute(insert(devices), [{"device": "camera-1"}, {"device": "camera-2"}])
    made = Database(engine)
    async with made.reading():
        pass
    return made


async def see(connection: AsyncConnection, device: str) -> None:
    await connection.execute(update(devices).where(devices.c.device == device).values(last_seen=text("now()")))


async def test_of_two_changes_that_wait_for_each_other_one_is_told_to_try_again(database: Database) -> None:
    both = asyncio.Barrier(2)

    async def change(first: str, second: str) -> None:
        async with database.writing() as connection:
            await see(connection, first)
            await both.wait()
            await see(connection, second)

    done = await asyncio.gather(change("camera-1", "camera-2"), change("camera-2", "camera-1"), return_exceptions=True)
    undone = [error for error in done if error is not None]
    assert len(undone) == 1
    told(undone[0], database)


async def test_a_change_of_what_another_changed_meanwhile_is_told_to_try_again(
    database: Database, engine: AsyncEngine
) -> None:
    async def change() -> None:
        async with database.writing() as connection:
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            await connection.execute(select(devices))
            async with engine.begin() as other:
                await see(other, "camera-1")
            await see(connection, "camera-1")

    with pytest.raises(DatabaseConflict) as caught:
        await change()
    told(caught.value, database)


def told(error: BaseException, database: Database) -> None:
    """It is answered as what it is, and the database is not said to be away."""
    assert isinstance(error, DatabaseConflict)
    problem = problem_of(error)
    assert (problem.status, problem.kind, problem.headers) == (503, "changed-meanwhile", {"Retry-After": "1"})
    assert "undid this change" in problem.detail
    assert problem.next_step == "Try again."
    assert database.last_error is None
