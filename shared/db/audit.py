"""The audit log: who saw, exported or erased what. Rows are added; the database refuses to change or delete them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from getpass import getuser
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.partitions import day_of, ensure_audit_month
from shared.db.tables import audit_log


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. `object` names a thing or a kind of things; `detail` holds JSON and never a face."""

    who: str
    action: str
    object: str
    detail: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """An entry as it stands in the log."""

    at: datetime
    entry: Entry


async def write(connection: AsyncConnection, entries: Sequence[Entry]) -> None:
    """Add entries under the database's time. The caller commits.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database does not take them.
    """
    if not entries:
        return
    # The same clock that stamps the rows, so that they meet their month also in its last second.
    now = await connection.scalar(select(func.now()))
    assert isinstance(now, datetime)
    await ensure_audit_month(connection, day_of(now))
    rows = [
        {
            "who": entry.who,
            "action": entry.action,
            "object": entry.object,
            "detail": entry.detail,
            "request_id": entry.request_id,
        }
        for entry in entries
    ]
    await connection.execute(insert(audit_log), rows)


async def newest(connection: AsyncConnection, limit: int, action: str | None = None) -> list[Written]:
    """The newest entries, oldest of them first."""
    statement = select(audit_log).order_by(audit_log.c.at.desc(), audit_log.c.id).limit(limit)
    if action is not None:
        statement = statement.where(audit_log.c.action == action)
    rows = (await connection.execute(statement)).all()
    return [Written(row.at, Entry(row.who, row.action, row.object, row.detail, row.request_id)) for row in rows[::-1]]


def person_at_the_keyboard() -> str:
    """Who runs this program, as the operating system knows them."""
    try:
        return f"{getuser()} (command line)"
    except (OSError, KeyError):  # a user id without a name, as in a container
        return "unknown (command line)"
