"""Going back to an older schema, on a real Postgres."""

import asyncpg
import pytest

from shared.db.migrate import MigrationError, downgrade, upgrade
from shared.settings import DatabaseSettings


async def revision(settings: DatabaseSettings) -> str:
    connection = await asyncpg.connect(settings.url.get_secret_value())
    try:
        return str(await connection.fetchval("SELECT version_num FROM alembic_version"))
    finally:
        await connection.close()


async def test_a_schema_that_is_not_behind_is_refused_and_nothing_is_touched(
    database_settings: DatabaseSettings,
) -> None:
    await upgrade(database_settings)
    newest = await revision(database_settings)
    with pytest.raises(MigrationError, match=r"'9999' is no schema before the database's"):
        await downgrade(database_settings, "9999")
    await downgrade(database_settings, newest)
    assert await revision(database_settings) == newest


async def test_an_older_version_says_that_it_does_not_know_a_newer_schema(database_settings: DatabaseSettings) -> None:
    await upgrade(database_settings)
    connection = await asyncpg.connect(database_settings.url.get_secret_value())
    await connection.execute("UPDATE alembic_version SET version_num = '8888'")
    await connection.close()
    with pytest.raises(MigrationError, match="does not know the database's schema 8888"):
        await downgrade(database_settings, "0001")
    with pytest.raises(MigrationError, match="does not know the database's schema 8888"):
        await upgrade(database_settings)
