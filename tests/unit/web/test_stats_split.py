"""Which hours of a time are told by totals."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.web.schemas import BUCKETS
from services.web.stats_queries import split
from shared.db.hourly import hour_of

HOUR = timedelta(hours=1)
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=84_000)).map(datetime(1970, 1, 1, tzinfo=UTC).__add__)
LENGTHS = st.one_of(st.timedeltas(timedelta(microseconds=1), timedelta(hours=3)), st.integers(1, 9).map(HOUR.__mul__))


def test_every_bucket_of_an_hour_or_more_is_whole_hours() -> None:
    assert all(width % HOUR == timedelta(0) for width in BUCKETS.values() if width >= HOUR)


@given(st.one_of(MOMENTS, MOMENTS.map(hour_of)), LENGTHS, st.sampled_from(list(BUCKETS.values())))
def test_whole_hours_and_the_rest_are_the_time_once(begin: datetime, length: timedelta, width: timedelta) -> None:
    end = begin + length
    whole, rest = split(begin, end, width)
    every = sorted([*([whole] if whole else []), *rest])
    assert [every[0][0], *(later for _, later in every)] == [*(earlier for earlier, _ in every), end]
    assert all(earlier < later for earlier, later in every)
    if whole is None:
        assert width < HOUR or length < 2 * HOUR
    else:
        assert width >= HOUR
        assert whole == (hour_of(whole[0]), hour_of(whole[1]))
        assert all(later - earlier < HOUR for earlier, later in rest)
