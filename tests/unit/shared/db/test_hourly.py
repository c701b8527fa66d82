"""What rows add to hourly totals."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from shared.db.hourly import gather, hour_of
from shared.emotions import EMOTIONS

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
TIMES = st.integers(0, 5 * 3600).map(lambda seconds: NOON + timedelta(seconds=seconds))
DEVICES = st.sampled_from(["camera-1", "camera-2"])
DETECTED = st.lists(st.tuples(TIMES, DEVICES))
BILLIONTHS = st.integers(0, 10**9)
READ = st.lists(st.tuples(TIMES, DEVICES, st.sampled_from(EMOTIONS), *[BILLIONTHS] * len(EMOTIONS)))


def test_hours_are_whole_ones_of_utc() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    assert hour_of(datetime(2026, 3, 29, 17, 59, 59, 999999, india)) == NOON
    assert hour_of(datetime(2026, 3, 29, 17, 29, 59, 999999, india)) == NOON - timedelta(hours=1)


def test_a_row_says_how_many_of_what_and_the_sums() -> None:
    rows = [(NOON, "b", "happy", 1, 2, 3, 4, 5, 6, 7), (NOON + timedelta(minutes=1), "b", "sad", 0, 0, 9, 0, 7, 0, 0)]
    assert gather([(NOON, "b"), (NOON + timedelta(minutes=59), "a"), (NOON, "b")], rows) == [
        (NOON, "a", 1, *[0] * 15),
        (NOON, "b", 2, 2, *(0, 0, 0, 1, 1, 0, 0), *(1, 2, 12, 4, 12, 6, 7)),
    ]


@given(DETECTED, READ)
def test_what_is_subtracted_leaves_no_trace_and_keys_are_in_order(
    detected: list[tuple[datetime, str]], read: list[tuple[datetime, str, str]]
) -> None:
    added = gather(detected, read)
    taken = gather(reversed(detected), reversed(read), -1)
    assert [row[:2] for row in added] == [row[:2] for row in taken] == sorted({row[:2] for row in added})
    assert [row[2:] for row in added] == [tuple(-number for number in row[2:]) for row in taken]
