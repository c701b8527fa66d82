"""Counts and mean probabilities by stretches of time: of whole hours from their totals, of the rest from the rows."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Interval,
    Select,
    cast,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web.queries import number, within
from services.web.schemas import BUCKETS, Bucket, Span, StatsBucket
from shared.db.hourly import BILLION, hour_of
from shared.db.hourly_tables import HOUR, SUMS, hourly_totals
from shared.db.tables import detections, faces
from shared.emotions import EMOTIONS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Where buckets begin; those of an hour or more are whole hours, since every width is a multiple of the narrower."""
Stretch = tuple[datetime, datetime]


async def stats(
    connection: AsyncConnection, device: str | None, begin: datetime, end: datetime, bucket: Bucket
) -> list[StatsBucket]:
    """Buckets that hold anything, oldest first."""
    width = BUCKETS[bucket]
    whole, rest = split(begin, end, width)
    parts = [part for stretch in rest for part in _of_rows(device, stretch, width)]
    if whole is not None:
        parts.append(_of_totals(device, whole, width))
    found: dict[datetime, list[Any]] = {}
    # One statement, so that all is of one moment.
    for start, *numbers in await connection.execute(union_all(*parts)):
        so_far = found.get(start, [0] * len(numbers))
        found[start] = [one + other for one, other in zip(so_far, numbers, strict=True)]
    buckets = (_bucket(start, *found[start]) for start in sorted(found))
    return [one for one in buckets if one.detections]


def split(begin: datetime, end: datetime, width: timedelta) -> tuple[Stretch | None, list[Stretch]]:
    """The whole hours of [begin, end), which totals tell, and what is left of it. Pure.

    Buckets that are narrower than an hour have none.
    """
    first, last = hour_of(begin), hour_of(end)
    if first < begin:
        first += HOUR
    if width < HOUR or first >= last:
        return None, [(begin, end)]
    return (first, last), [stretch for stretch in ((begin, first), (last, end)) if stretch[0] < stretch[1]]


def _start(moment: ColumnElement[datetime], width: timedelta) -> ColumnElement[datetime]:
    return func.date_bin(literal(width, Interval()), moment, literal(_EPOCH)).label("start")


# Each part has the columns of `_bucket`.
def _of_rows(device: str | None, stretch: Stretch, width: timedelta) -> list[Select[*tuple[Any, ...]]]:
    span = Span.model_validate({"device": device, "from": stretch[0], "to": stretch[1]})
    frames_at, faces_at = _start(detections.c.captured_at, width), _start(faces.c.captured_at, width)
    nothing = literal(0, BigInteger())
    no_sum: ColumnElement[float] = literal(0.0, Double())
    return [
        select(frames_at, func.count(), *[nothing] * (1 + len(EMOTIONS)), *[no_sum] * len(EMOTIONS))
        .where(*within(detections, span))
        .group_by(frames_at),
        select(
            faces_at,
            nothing,
            func.count(),
            *(func.count().filter(faces.c.dominant_emotion == emotion) for emotion in EMOTIONS),
            *(func.sum(cast(faces.c[emotion], Double())) for emotion in EMOTIONS),
        )
        .where(*within(faces, span))
        .group_by(faces_at),
    ]


def _of_totals(device: str | None, stretch: Stretch, width: timedelta) -> Select[*tuple[Any, ...]]:
    at = hourly_totals.c.hour
    start = _start(at, width)
    counts = (cast(func.sum(hourly_totals.c[name]), BigInteger()) for name in ("detections", "faces", *EMOTIONS))
    sums = (cast(func.sum(hourly_totals.c[name]), Double()) / BILLION for name in SUMS)
    of_device = [hourly_totals.c.device == device] if device is not None else []
    return select(start, *counts, *sums).where(at >= stretch[0], at < stretch[1], *of_device).group_by(start)


def _bucket(start: datetime, classified: int, read: int, *numbers: float) -> StatsBucket:
    counts, sums = numbers[: len(EMOTIONS)], numbers[len(EMOTIONS) :]
    return StatsBucket(
        start=start,
        detections=classified,
        faces=read,
        counts={emotion: int(count) for emotion, count in zip(EMOTIONS, counts, strict=True)},
        mean={emotion: number(one / read) for emotion, one in zip(EMOTIONS, sums, strict=True)} if read else None,
    )
