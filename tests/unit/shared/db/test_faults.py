"""What is tried again, what is refused for good, and that nothing else is guessed."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, InterfaceError

from shared.db.faults import Fault, describe, fault_of


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (asyncpg.AdminShutdownError("terminating connection"), Fault.RETRY),
        (asyncpg.CannotConnectNowError("starting up"), Fault.RETRY),
        (asyncpg.ConnectionDoesNotExistError("gone"), Fault.RETRY),
        (asyncpg.TooManyConnectionsError("full"), Fault.RETRY),
        (asyncpg.DiskFullError("full"), Fault.RETRY),
        (asyncpg.SerializationError("again"), Fault.RETRY),
        (asyncpg.DeadlockDetectedError("again"), Fault.RETRY),
        (asyncpg.InterfaceError("connection is closed"), Fault.RETRY),
        (ConnectionRefusedError(111, "refused"), Fault.RETRY),
        (FileNotFoundError(2, "no such socket"), Fault.RETRY),
        (TimeoutError(), Fault.RETRY),
        (asyncpg.CharacterNotInRepertoireError("0x00"), Fault.DATA),
        (asyncpg.NumericValueOutOfRangeError("real"), Fault.DATA),
        (asyncpg.NotNullViolationError("null"), Fault.DATA),
        (asyncpg.exceptions._base.DataError("invalid input for query argument $1"), Fault.DATA),
        (asyncpg.UndefinedTableError("relation does not exist"), Fault.UNKNOWN),
        (asyncpg.InvalidPasswordError("no"), Fault.UNKNOWN),
        (RuntimeError("?"), Fault.UNKNOWN),
        (ValueError("?"), Fault.UNKNOWN),
        (DBAPIError("SELECT 1", None, asyncpg.AdminShutdownError("bye")), Fault.RETRY),
        (InterfaceError("SELECT 1", None, asyncpg.InterfaceError("closed")), Fault.RETRY),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.name,
)
def test_fault_of(error: BaseException, fault: Fault) -> None:
    assert fault_of(error) is fault


def test_description_has_no_statement_and_no_parameters() -> None:
    error = DBAPIError("INSERT INTO faces", {"name": "somebody"}, asyncpg.AdminShutdownError("bye\nDETAIL: more"))
    assert describe(error) == "AdminShutdownError: bye"
