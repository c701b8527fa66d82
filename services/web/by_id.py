"""Finding a row by its id in a table that is cut into partitions by time."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Table
from sqlalchemy.ext.asyncio import AsyncConnection

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SLACK: Final = timedelta(minutes=10)
"""A device makes an id within moments of the capture that it names."""


async def first_by_id(
    connection: AsyncConnection, statement: Select[*tuple[Any, ...]], table: Table, id_: UUID
) -> Row[*tuple[Any, ...]] | None:
    """The row that `statement` selects from `table` by `id_`; None where there is none such.

    It is looked for in the partitions around the time that a UUIDv7 names, and only then in all of them. The time of an
    id promises nothing: a clock may be set between capture and id, ids of one process do not go back when its clock
    does, and other senders may use ids without a time.
    """
    statement = statement.limit(1)
    near = _near(table, id_)
    row = (await connection.execute(statement.where(near))).one_or_none() if near is not None else None
    return row or (await connection.execute(statement)).one_or_none()


def _near(table: Table, id_: UUID) -> ColumnElement[bool] | None:
    if id_.version != 7:
        return None
    try:
        made = _EPOCH + timedelta(milliseconds=id_.int >> 80)
        return table.c.captured_at.between(made - _SLACK, made + _SLACK)
    except OverflowError:
        return None
