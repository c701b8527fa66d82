"""What only one program at a time may do, under a lock of the whole database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine


@asynccontextmanager
async def alone(engine: AsyncEngine, key: int) -> AsyncIterator[None]:
    """Wait until nobody else holds the lock `key`, and hold it. Who dies loses it with their connection.

    Takes one connection of the pool for as long; `engine` is without a limit on the time that a statement takes.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database fails.
    """
    async with engine.connect() as lock:
        # Held by the connection, not by a transaction: it would otherwise keep the tables' old rows for hours.
        await lock.execution_options(isolation_level="AUTOCOMMIT")
        try:
            await lock.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            yield
        finally:
            with suppress(SQLAlchemyError, OSError):  # a connection that broke holds no lock any more
                await lock.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
