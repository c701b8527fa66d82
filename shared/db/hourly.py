"""Hourly totals: what they are made of, and how they are kept in step with it.

Whoever adds detections or faces, or removes some, adds or subtracts exactly those in the same transaction; so totals
always tell what the rows tell, and nobody has to count again. Probabilities are added up as whole billionths: unlike
fractions, these come out the same in any order, and what is subtracted leaves no trace.

Locks are taken in one order by everybody, so that nobody waits in a circle: rows of detections and faces, episodes,
totals by hour and device, devices.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.hourly_tables import SUMS, hourly_totals
from shared.db.tables import detections
from shared.emotions import EMOTIONS

BILLION: Final = 10**9
OF_DETECTION: Final = ("captured_at", "device")
"""What counts of a detection, in SQL."""
OF_FACE: Final = (
    *("captured_at", "device", "dominant_emotion"),
    *(f"CAST(round(CAST({emotion} AS float8) * {BILLION}) AS bigint)" for emotion in EMOTIONS),
)
"""What counts of a face, in SQL."""

_NUMBERS: Final = ("detections", "faces", *EMOTIONS, *SUMS)
_OF_FACES: Final = _NUMBERS[1:]
_COLUMNS: Final = {"hour": "timestamptz", "device": "text"} | dict.fromkeys(_NUMBERS, "bigint")
_ARRAYS: Final = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_COLUMNS.values(), start=1))
_ADDED: Final = ", ".join(f"{name} = hourly_totals.{name} + excluded.{name}" for name in _NUMBERS)
ADD: Final = (
    f"INSERT INTO hourly_totals ({', '.join(_COLUMNS)}) "  # noqa: S608 - every part is a constant of this module
    f"SELECT * FROM unnest({_ARRAYS}) ON CONFLICT (hour, device) DO UPDATE SET {_ADDED}"
)
"""Adds rows of `gather`, a column as an array each."""

Rows = list[tuple[Any, ...]]


def hour_of(moment: datetime) -> datetime:
    """The begin of the hour (UTC) in which a moment lies."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def gather(detected: Iterable[Sequence[Any]], read: Iterable[Sequence[Any]], sign: int = 1) -> Rows:
    """What rows add to the totals, in the order in which totals are locked. Pure.

    Args:
        detected: of each detection what `OF_DETECTION` names, as the database has it.
        read: of each face what `OF_FACE` names, as the database has it.
        sign: -1 to subtract them.
    """
    detections_of = Counter((hour_of(at), device) for at, device in detected)
    faces_of: dict[tuple[datetime, str], list[Sequence[Any]]] = {}
    for row in read:
        faces_of.setdefault((hour_of(row[0]), row[1]), []).append(row[2:])
    rows = []
    for key in sorted(detections_of.keys() | faces_of.keys()):
        # A column at a time, which is several times faster than a face at a time.
        emotions, *probabilities = zip(*faces_of[key], strict=True) if key in faces_of else [()] * (1 + len(EMOTIONS))
        counts = Counter(emotions)
        numbers = (detections_of[key], len(emotions), *(counts[e] for e in EMOTIONS), *map(sum, probabilities))
        rows.append((*key, *(sign * number for number in numbers)))
    return rows


async def subtract(
    connection: AsyncConnection, *, detected: Sequence[Sequence[Any]] = (), read: Sequence[Sequence[Any]] = ()
) -> None:
    """Take detections and faces that were removed out of the totals, as `gather` wants them. The caller commits.

    An hour of which nothing is left goes.
    """
    rows = gather(detected, read, -1)
    if not rows:
        return
    await connection.exec_driver_sql(ADD, tuple(list(column) for column in zip(*rows, strict=True)))
    key = tuple_(hourly_totals.c.hour, hourly_totals.c.device)
    # Less than nothing: of rows that were never counted, as a program that writes past ingest makes them.
    nothing = and_(hourly_totals.c.detections <= 0, hourly_totals.c.faces <= 0)
    await connection.execute(delete(hourly_totals).where(key.in_([row[:2] for row in rows]), nothing))


async def forget_day(connection: AsyncConnection, table: str, day: date) -> None:
    """Take a day of `detections` or `faces` out of the totals whose partition was dropped. The caller commits."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    within = and_(hourly_totals.c.hour >= begin, hourly_totals.c.hour < begin + timedelta(days=1))
    in_order = (hourly_totals.c.hour, hourly_totals.c.device.collate("C"))  # as `gather` sorts
    await connection.execute(select(hourly_totals.c.hour).where(within).order_by(*in_order).with_for_update())
    gone = ("detections",) if table == detections.name else _OF_FACES
    await connection.execute(update(hourly_totals).where(within).values(dict.fromkeys(gone, 0)))
    nothing = and_(hourly_totals.c.detections == 0, hourly_totals.c.faces == 0)
    await connection.execute(delete(hourly_totals).where(within, nothing))
