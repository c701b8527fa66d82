"""Pages of a list, newest first, that go on where a cursor stands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Column, Row, Select, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web import cursors
from services.web.cursors import Cursor


class PageWanted(Protocol):
    """Which page: after the one that `cursor` ended, of at most `limit` rows."""

    @property
    def cursor(self) -> str | None: ...

    @property
    def limit(self) -> int: ...


async def newest_first(
    connection: AsyncConnection,
    statement: Select[*tuple[Any, ...]],
    at: Column[datetime],
    id_: Column[UUID],
    wanted: PageWanted,
) -> tuple[Sequence[Row[*tuple[Any, ...]]], str | None]:
    """A page of what `statement` selects, by `at` and then `id_`, and the cursor of the next; None on the last page."""
    if wanted.cursor is not None:
        moment, last = cursors.decode(wanted.cursor)
        # The row comparison does not prune partitions; the plain bound does.
        statement = statement.where(at <= moment, tuple_(at, id_) < tuple_(literal(moment), literal(last)))
    # One row more than the page, to know whether more follows.
    statement = statement.order_by(at.desc(), id_.desc()).limit(wanted.limit + 1)
    rows = (await connection.execute(statement)).all()
    page = rows[: wanted.limit]
    more = len(rows) > wanted.limit
    return page, cursors.encode(Cursor(page[-1]._mapping[at], page[-1]._mapping[id_])) if more else None
