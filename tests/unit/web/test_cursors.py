"""Cursors say where a page ended, and nothing else is taken for one."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web import cursors
from services.web.cursors import Cursor

TIMES = st.integers(0, 7_258_118_400_000_000).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)


@given(TIMES, st.uuids())
def test_a_cursor_comes_back_as_it_went(at: datetime, id_: UUID) -> None:
    text = cursors.encode(Cursor(at, id_))
    assert cursors.decode(text) == Cursor(at, id_)
    assert len(text) == 32
    assert text.replace("-", "").replace("_", "").isalnum()


def test_the_zone_of_a_time_does_not_matter() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert cursors.decode(cursors.encode(Cursor(at, UUID(int=1)))).captured_at == at


@given(st.text(max_size=70))
def test_other_text_is_refused_or_is_a_cursor_in_its_one_form(text: str) -> None:
    try:
        cursor = cursors.decode(text)
    except ValueError:
        return
    assert cursors.encode(cursor) == text


@pytest.mark.parametrize("text", ["", "x", "=" * 32, "é" * 32, "f" * 32, "A" * 33, "A" * 31])
def test_what_is_not_a_cursor_is_named_as_such(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor of this service"):
        cursors.decode(text)
