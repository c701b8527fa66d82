"""How far a device's clock is off: known from two statuses that agree, and told with its sign."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.web.clocks import clock_skew_s
from shared.messages import rfc3339

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def heard(*statuses: tuple[float, float | None]) -> list[float | None]:
    """The skew after each status, given as seconds after noon: by the device's clock, and by this machine's; None where
    the broker had kept it."""
    before: dict[str, Any] | None = None
    found = []
    for at, received_at in statuses:
        sent = NOON + timedelta(seconds=at)
        came = None if received_at is None else NOON + timedelta(seconds=received_at)
        skew = clock_skew_s(sent, came, before)
        before = {"at": rfc3339(sent), "received_at": None if came is None else rfc3339(came), "clock_skew_s": skew}
        found.append(skew)
    return found


def test_two_that_agree_tell_it_and_ahead_is_above_zero() -> None:
    assert heard((90, 0), (95.1, 5)) == [None, 90.1]
    assert heard((-90, 0), (-85, 5)) == [None, -90.0]


def test_one_that_the_broker_kept_tells_nothing() -> None:
    # Sent an hour ago and kept; then two fresh ones.
    assert heard((-3600, 0), (1.9, 2), (6.8, 7)) == [None, None, -0.2]
    assert heard((-3600, None), (1.9, 2), (6.8, 7)) == [None, None, -0.2]
    assert heard((90, 0), (95, 5), (97, None), (105, 15)) == [None, 90.0, 90.0, 90.0], "what was known stays known"


def test_the_same_one_again_tells_nothing() -> None:
    assert heard((-3600, 0), (-3600, 0.1), (2, 2)) == [None, None, None]


def test_a_last_will_changes_nothing_and_a_clock_that_was_set_is_seen() -> None:
    assert heard((90, 0), (95, 5), (0, 100), (110, 110), (115, 115)) == [None, 90.0, 90.0, 90.0, 0.0]
