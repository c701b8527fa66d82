"""What the commands of privacy take."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.privacy import PrivacyError, parse_scope
from shared.db.places import Scope

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ID = "0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e"


def test_a_range_ends_now_where_no_end_is_given() -> None:
    assert parse_scope("lab", None, None, None, NOW) == Scope("lab", None, NOW)
    begin = datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert parse_scope(None, "2026-03-01T12:00:00+01:00", None, None, NOW) == Scope(None, begin, NOW)
    assert parse_scope(None, None, "2026-03-01T11:00:00Z", None, NOW) == Scope(None, None, begin)


def test_one_item_is_named_by_its_id() -> None:
    assert parse_scope(None, None, None, ID, NOW) == Scope(item_id=UUID(ID))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((None, None, None, None), "say what to erase"),
        (("Lab", None, None, None), "--device is 'Lab'"),
        (("lab", "yesterday", None, None), "--from is 'yesterday'; expected a time with its offset"),
        (("lab", "2026-03-01T12:00:00", None, None), "nobody knows the time zone"),
        (("lab", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", None), "--from must be before --to"),
        (("lab", "2026-03-03T12:00:00Z", None, None), "--from must be before --to"),
        ((None, None, None, "frame 7"), "--id is 'frame 7'"),
        (("lab", None, None, ID), "--id names one item"),
    ],
)
def test_what_does_not_fit_is_told(given: tuple[str | None, str | None, str | None, str | None], told: str) -> None:
    with pytest.raises(PrivacyError, match=told):
        parse_scope(*given, NOW)
