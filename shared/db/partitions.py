"""Partitions by time, made ahead and as rows of new days come, and dropped whole when their time is over.

A day within the window gets a partition of its own, which retention can drop. What is outside (a clock that is years
off) goes to the DEFAULT partition, so that a wild clock cannot make thousands of tables. The audit log has a partition
a month.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.tables import AUDIT_LOG, PARTITIONED

DAYS_BACK: Final = 400
DAYS_AHEAD: Final = 2
_LOCK: Final = 0x656D6F70
"""The advisory lock under which partitions are made, so that two replicas do not make the same one."""
_SHORT_LOCK: Final = text("SET LOCAL lock_timeout = '3s'")


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
    if not await _create(connection, table, name):
        return False
    start, end = _moment(day), _moment(day + timedelta(days=1))
    # Names and times in the statements are our own: a table of ours, and a day's ISO form.
    within = f"captured_at >= '{start}' AND captured_at < '{end}'"
    misplaced = text(f"SELECT EXISTS (SELECT 1 FROM {table}_default WHERE {within})")  # noqa: S608 - names and times are our own
    if await connection.scalar(misplaced):
        await connection.execute(text(f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE"))
        taken_out = f"DELETE FROM {table}_default WHERE {within} RETURNING *"  # noqa: S608 - names and times are our own
        move = f"WITH moved AS ({taken_out}) INSERT INTO {name} SELECT * FROM moved"  # noqa: S608 - names and times are our own
        await connection.execute(text(move))
    await _attach(connection, table, name, start, end)
    return True


async def ensure_audit_month(connection: AsyncConnection, day: date) -> bool:
    """Make the audit log's partition for the month of `day` if there is none; as `ensure_day`.

    The audit log has no default partition: what is in one could not be moved out of it.
    """
    first = day.replace(day=1)
    name = f"{AUDIT_LOG}_{first:%Y%m}"
    if not await _create(connection, AUDIT_LOG, name):
        return False
    await _attach(connection, AUDIT_LOG, name, _moment(first), _moment(_next_month(first)))
    # Triggers for each row come with the partition; those for whole statements do not.
    await connection.execute(
        text(
            f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    )
    return True


async def _create(connection: AsyncConnection, table: str, name: str) -> bool:
    """Make the table that is to become a partition; False if it is there."""
    # The lock first: a name that was looked up before it stays unknown to this session until the transaction ends.
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if await connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None:
        return False
    # A long query on the table must not hold up all that come after us: rather try again later.
    await connection.execute(_SHORT_LOCK)
    await connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
    return True


async def _attach(connection: AsyncConnection, table: str, name: str, start: str, end: str) -> None:
    await connection.execute(
        text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')")
    )


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; it holds what is before `end` (UTC)."""

    name: str
    end: datetime

    @property
    def last_day(self) -> date:
        """The last day that it holds."""
        return day_of(self.end) - timedelta(days=1)


async def partitions(connection: AsyncConnection, table: str) -> list[Partition]:
    """The partitions of `table` but the default one, oldest first, as their names tell."""
    rows = await connection.scalars(
        text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:table) ORDER BY 1"),
        {"table": table},
    )
    return [Partition(name, _end(digits)) for name in rows if (digits := name.removeprefix(f"{table}_")).isdigit()]


async def drop(connection: AsyncConnection, partition: Partition) -> None:
    """Drop a partition with all that is in it. The caller commits.

    Raises:
        sqlalchemy.exc.DBAPIError: if a long query is in the way; the caller rolls back and may try later.
    """
    await connection.execute(_SHORT_LOCK)
    await connection.execute(text(f"DROP TABLE {partition.name}"))


def _end(digits: str) -> datetime:
    first = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8] or 1))
    after = first + timedelta(days=1) if len(digits) == len("20260329") else _next_month(first)
    return datetime(after.year, after.month, after.day, tzinfo=UTC)


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _moment(day: date) -> str:
    return f"{day.isoformat()} 00:00:00+00"
