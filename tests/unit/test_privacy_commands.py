"""What the commands of privacy take."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.privacy import PrivacyError, parse_scope
from shared.db.places import Scope

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ID = "0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e"


def test_a_range_ends_now_where_no_end_is_given() -> None:
    assert parse_scope("lab", None, None, None, None, NOW) == Scope("lab", None, NOW)
    begin = datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert parse_scope(None, "2026-03-01T12:00:00+01:00", None, None, None, NOW) == Scope(None, begin, NOW)
    assert parse_scope(None, None, "2026-03-01T11:00:00Z", None, None, NOW) == Scope(None, None, begin)


def test_one_item_is_named_by_its_id() -> None:
    assert parse_scope(None, None, None, ID, None, NOW) == Scope(item_id=UUID(ID))


def test_a_session_is_named_by_its_id() -> None:
    assert parse_scope(None, None, None, None, ID, NOW) == UUID(ID)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((None, None, None, None, None), "say what to erase"),
        (("Lab", None, None, None, None), "--device is 'Lab'"),
        (("lab", "yesterday", None, None, None), "--from is 'yesterday'; expected a time with its offset"),
        (("lab", "2026-03-01T12:00:00", None, None, None), "nobody knows the time zone"),
        (("lab", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", None, None), "--from must be before --to"),
        (("lab", "2026-03-03T12:00:00Z", None, None, None), "--from must be before --to"),
        ((None, None, None, "frame 7", None), "--id is 'frame 7'"),
        (("lab", None, None, ID, None), "--id names one item"),
        ((None, None, None, None, "monday"), "--session is 'monday'; expected a study session's id"),
        ((None, None, "2026-03-03T12:00:00Z", None, ID), "--session names one session"),
        ((None, None, None, ID, ID), "--session names one session"),
    ],
)
def test_what_does_not_fit_is_told(
    given: tuple[str | None, str | None, str | None, str | None, str | None], told: str
) -> None:
    with pytest.raises(PrivacyError, match=told):
        parse_scope(*given, NOW)
