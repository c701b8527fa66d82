"""Daily partitions, made as rows of new days come.

A day within the window gets a partition of its own, which retention can drop. What is outside (a clock that is years
off) goes to the DEFAULT partition, so that a wild clock cannot make thousands of tables.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.tables import PARTITIONED

DAYS_BACK: Final = 400
DAYS_AHEAD: Final = 2
_LOCK: Final = 0x656D6F70
"""The advisory lock under which partitions are made, so that two replicas do not make the same one."""


def day_of(moment: datetime) -> date:
    """The UTC day to whose partition a moment belongs."""
    return moment.astimezone(UTC).date()


def has_own_partition(day: date, today: date) -> bool:
    """Whether rows of `day` get a partition of their own, seen from `today`."""
    return today - timedelta(days=DAYS_BACK) <= day <= today + timedelta(days=DAYS_AHEAD)


def partition_name(table: str, day: date) -> str:
    """The name of the partition of `table` that holds `day`."""
    return f"{table}_{day:%Y%m%d}"


async def ensure_day(connection: AsyncConnection, table: str, day: date) -> bool:
    """Make the partition of `table` for `day` if there is none; return whether it was made. The caller commits.

    Rows of that day which are already in the DEFAULT partition move into it. Readers and writers of other partitions
    go on meanwhile: it is attached, which does not lock the table as CREATE … PARTITION OF would.

    Raises:
        ValueError: if `table` has no partitions.
        sqlalchemy.exc.DBAPIError: if another transaction is in the way; the caller rolls back and may try later.
    """
    if table not in PARTITIONED:
        raise ValueError(f"{table!r} has no partitions; expected one of {', '.join(PARTITIONED)}")
    name = partition_name(table, day)
    start, end = _bounds(day)
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if await connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None:
        return False
    # A long query on the table must not hold up all that come after us: rather try again later.
    await connection.execute(text("SET LOCAL lock_timeout = '3s'"))
    await connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
    # Names and times in the statements are our own: a table of ours, and a day's ISO form.
    within = f"captured_at >= '{start}' AND captured_at < '{end}'"
    misplaced = text(f"SELECT EXISTS (SELECT 1 FROM {table}_default WHERE {within})")  # noqa: S608 - names and times are our own
    if await connection.scalar(misplaced):
        await connection.execute(text(f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE"))
        taken_out = f"DELETE FROM {table}_default WHERE {within} RETURNING *"  # noqa: S608 - names and times are our own
        move = f"WITH moved AS ({taken_out}) INSERT INTO {name} SELECT * FROM moved"  # noqa: S608 - names and times are our own
        await connection.execute(text(move))
    await connection.execute(
        text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')")
    )
    return True


def _bounds(day: date) -> tuple[str, str]:
    after = day + timedelta(days=1)
    return f"{day.isoformat()} 00:00:00+00", f"{after.isoformat()} 00:00:00+00"
