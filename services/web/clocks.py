"""How far a device's clock is from this machine's, from when its statuses were sent and when they came."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

AGREE_S: Final = 1.0
"""Two statuses in a row that were on their way for as long, as far as both clocks say, are as old as they look."""


def clock_skew_s(at: datetime, received_at: datetime | None, before: Mapping[str, Any] | None) -> float | None:
    """Seconds that a device's clock is ahead of this machine's; less than 0 where it is behind. With the way's delay.

    A status that the broker kept is old when it comes, and so is a last will; two in a row that agree are not. Where
    this one and the one `before` do not, what was known stays known; None: nothing is known yet.

    Args:
        at: when the status was sent, by the device's clock.
        received_at: when it came, by this machine's; None where the broker had kept it from before.
        before: the same service's status before it, as it was passed on, with its own `clock_skew_s`.
    """
    if before is None:
        return None
    known: float | None = before["clock_skew_s"]
    if received_at is None or before["received_at"] is None:
        return known
    at_before = datetime.fromisoformat(before["at"])
    offset = (at - received_at).total_seconds()
    offset_before = (at_before - datetime.fromisoformat(before["received_at"])).total_seconds()
    if at != at_before and abs(offset - offset_before) < AGREE_S:
        return round(offset, 3)
    return known
