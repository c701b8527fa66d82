"""What a failed statement means: try again, never try again, or nobody knows."""

from collections.abc import Iterator
from enum import Enum
from typing import Final

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

_RETRY_CLASSES: Final = ("08", "40", "53", "57")
"""Connection, transaction rollback (serialisation, deadlock), out of resources, operator intervention. The last holds
57P01, what a restarted Postgres says to its clients, which asyncpg does not count among its connection errors."""
_DATA_CLASSES: Final = ("22", "23")
"""Data exception, integrity constraint violation."""


class Fault(Enum):
    """What to do about an error."""

    RETRY = "the database is away or busy: the same statement succeeds later"
    DATA = "a row does not fit: it never will"
    UNKNOWN = "neither is known"


def fault_of(error: BaseException) -> Fault:
    """Judge an error that a statement or a connection attempt raised, by its SQLSTATE or, without one, its type.

    SQLAlchemy's wrappers are looked through. Nothing is guessed: what is neither known to pass nor known to be the
    data's fault is UNKNOWN.
    """
    chain = list(_causes(error))
    for one in chain:
        state = getattr(one, "sqlstate", None)
        if isinstance(state, str):
            if state.startswith(_RETRY_CLASSES) or _is_of_a_partition(one):
                return Fault.RETRY
            return Fault.DATA if state.startswith(_DATA_CLASSES) else Fault.UNKNOWN
    for one in chain:
        # asyncpg's own complaint about a value that cannot be sent as its column's type.
        if isinstance(one, asyncpg.InterfaceError):
            return Fault.DATA if isinstance(one, ValueError) else Fault.RETRY
        if isinstance(one, OSError | TimeoutError | EOFError):  # refused, unreachable, reset, too slow, no such host
            return Fault.RETRY
    return Fault.UNKNOWN


def _is_of_a_partition(error: BaseException) -> bool:
    """Whether the day's partition was made while the row waited to go to the default one: next time it finds it.

    Postgres tells that as a check violation, but names no constraint, as a table's own would be.
    """
    return isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None


def describe(error: BaseException) -> str:
    """The error in one line, without SQLAlchemy's statement and parameters (they may hold people's data)."""
    *_, last = _causes(error)
    lines = str(last).splitlines()
    told = f"{type(last).__name__}: {lines[0]}" if lines else type(last).__name__
    if isinstance(last, asyncpg.UndefinedTableError):
        told += "; make the tables with `emotion-edge migrate`"
    return told


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and, as far as SQLAlchemy wrapped it, what is inside."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        wrapped = isinstance(seen, SQLAlchemyError) or type(seen).__module__.startswith("sqlalchemy.")
        seen = (getattr(seen, "orig", None) or seen.__cause__) if wrapped else None
