"""The edge to Postgres: connections, and what to tell people when there are none."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.web.problems import ApiProblem
from shared import logs
from shared.db.audit import Entry, write
from shared.db.faults import describe
from shared.errors import EmotionEdgeError

log = logs.get(__name__)

STATEMENT_TIMEOUT_S: Final = 10
_TOTAL_TIMEOUT_S: Final = 15.0
_QUERY_CANCELED: Final = "57014"
_UNDEFINED_TABLE: Final = "42P01"
_UNDONE: Final = ("40001", "40P01")
"""A change that does not go with another one at the same moment; a deadlock."""


class DatabaseUnavailable(EmotionEdgeError):
    """The database cannot answer now. `next_step` says what a person can do."""

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(reason)
        self.next_step = next_step


class DatabaseConflict(DatabaseUnavailable):
    """The database answers, and undid this change because of another one at the same moment."""

    def __init__(self) -> None:
        super().__init__(
            "Somebody else changed the same records at the same moment, and the database undid this change.",
            "Try again.",
        )


def problem_of(error: DatabaseUnavailable) -> ApiProblem:
    """As it is answered to a request."""
    if isinstance(error, DatabaseConflict):
        return ApiProblem(
            503,
            "changed-meanwhile",
            "Two changes met",
            str(error),
            error.next_step,
            headers={"Retry-After": "1"},
        )
    return ApiProblem(
        503,
        "database-unavailable",
        "The database does not answer",
        str(error),
        error.next_step,
        headers={"Retry-After": "5"},
    )


class Database:
    """Connections from a pool: read-only ones, and those that write what people add."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._writing = engine
        self._engine = engine.execution_options(postgresql_readonly=True)
        self.last_error: str | None = "not asked yet"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a read-only transaction, whose statements are cut off after 10 s.

        Raises:
            DatabaseUnavailable: if it cannot be reached, has no tables, or takes too long.
        """
        try:
            async with asyncio.timeout(_TOTAL_TIMEOUT_S), self._engine.connect() as connection:
                await connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_S * 1000}"))
                yield connection
        except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise self._failed(error) from error
        self._succeeded()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that is committed at the end, unless something was raised.

        Raises:
            DatabaseUnavailable: as in `reading`; DatabaseConflict if another change undid it. What the statements
                violate is raised as it is: IntegrityError.
        """
        try:
            async with asyncio.timeout(_TOTAL_TIMEOUT_S), self._writing.begin() as connection:
                await connection.execute(text(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_S * 1000}"))
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise self._failed(error) from error
        self._succeeded()

    async def write_audit(self, entries: Sequence[Entry]) -> None:
        """Add to the audit log.

        Raises:
            DatabaseUnavailable: if it cannot be written now.
        """
        try:
            async with asyncio.timeout(_TOTAL_TIMEOUT_S), self._writing.begin() as connection:
                await write(connection, entries)
        except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise _explained(error) from error

    def _failed(self, error: Exception) -> DatabaseUnavailable:
        told = _explained(error)
        if isinstance(told, DatabaseConflict):
            log.warning("two changes met, and one was undone", reason=describe(error))
            return told
        if self.last_error != str(told):
            log.warning("database does not answer", reason=str(told), next_step=told.next_step)
        self.last_error = str(told)
        return told

    def _succeeded(self) -> None:
        if self.last_error is not None:
            log.info("database answers")
        self.last_error = None


def _explained(error: Exception) -> DatabaseUnavailable:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(cause, "sqlstate", None)
    if state == _QUERY_CANCELED or isinstance(error, TimeoutError):
        return DatabaseUnavailable(
            f"The database did not answer within {STATEMENT_TIMEOUT_S} seconds.",
            "Ask for a shorter time or one device, or try again when it is less busy.",
        )
    if state in _UNDONE:
        return DatabaseConflict()
    if state == _UNDEFINED_TABLE:
        return DatabaseUnavailable(
            "The database has no tables of this project yet.", "Run `emotion-edge migrate` against it."
        )
    return DatabaseUnavailable(
        f"The database is not reached ({type(cause).__name__}).",
        "Check that Postgres runs and that EMOTION_DATABASE__URL is right; live data goes on without it.",
    )
