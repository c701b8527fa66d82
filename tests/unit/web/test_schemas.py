"""What the filters take and refuse."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from services.web.schemas import EXAMPLE_DETECTION, DetectionQuery, StatsQuery, StoredDetection

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_times_in_any_zone_are_read() -> None:
    query = DetectionQuery.model_validate({"from": "2026-03-01T13:00:00+01:00", "to": "2026-03-01T12:00:00.5Z"})
    assert query.from_ == NOW
    assert query.to == NOW + timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"from": "2026-03-01T12:00:00"}, "with its offset"),
        ({"from": "1772366400"}, "with its offset"),
        ({"from": "2026-03-01T12:00:00 01:00"}, "%2B"),
        ({"from": "2026-02-30T12:00:00Z"}, "day value"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "1970 to 2200"),
        ({"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T12:00:00Z"}, "from must be before to"),
        ({"min_confidence": "NaN"}, "finite"),
        ({"min_confidence": "1.01"}, "less than or equal to 1"),
        ({"limit": "0"}, "greater than or equal to 1"),
        ({"limit": "1001"}, "less than or equal to 1000"),
        ({"emotion": "Happy"}, "Input should be"),
        ({"device": "Camera 1"}, "match pattern"),
        ({"device": "a\n"}, "match pattern"),
        ({"cursor": "x"}, "not a cursor"),
        ({"emotions": "happy"}, "not permitted"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        DetectionQuery.model_validate(given)


def test_stats_end_now_and_are_sixty_buckets_long_where_nothing_is_said() -> None:
    assert StatsQuery(bucket="1m").resolved(NOW) == (NOW - timedelta(hours=1), NOW)


def test_stats_of_too_many_buckets_say_how_many_are_given() -> None:
    query = StatsQuery.model_validate({"bucket": "1s", "from": "2026-02-01T00:00:00Z"})
    with pytest.raises(ValueError, match=r"2462400 buckets of 1s; at most 2000"):
        query.resolved(NOW)


def test_stats_that_would_begin_in_the_future_are_refused() -> None:
    with pytest.raises(ValueError, match="from must be before to"):
        StatsQuery.model_validate({"from": "2027-01-01T00:00:00Z"}).resolved(NOW)


def test_the_example_in_the_documentation_keeps_the_contract() -> None:
    assert StoredDetection.model_validate(EXAMPLE_DETECTION).model_dump(mode="json", by_alias=True) == EXAMPLE_DETECTION
