"""What is remembered of a device: no more than its timeline shows, and nothing once it is forgotten."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.web.recent import EMPTY_EVERY_S, FACES_EVERY_S, KEPT_S, MAX_BYTES, Recent
from shared.messages import MAX_FACES
from tests.support import scenes

BEGUN = datetime(2026, 3, 1, 12, tzinfo=UTC)
EMPTY = scenes.live("a")
FACES = scenes.live("a", scenes.live_face(1, "happy", 0.84), scenes.live_face(7, "sad", 0.4))


def read(kept: Recent, now: float) -> list[Any]:
    found: list[Any] = json.loads(kept.text(now) or "[]")
    return found


def test_a_reading_has_when_it_came_and_the_probabilities_of_each_face_in_class_order() -> None:
    kept = Recent()
    kept.add(5.0, BEGUN + timedelta(seconds=0.25), FACES)
    ((at, faces),) = read(kept, 5.0)
    assert at == BEGUN.timestamp() + 0.25
    assert faces == [[1, *[0.027] * 3, 0.84, *[0.027] * 3], [7, *[0.1] * 4, 0.4, *[0.1] * 2]]


@given(st.lists(st.tuples(st.floats(0.01, 90), st.booleans()), max_size=60))
def test_it_holds_the_last_minutes_and_leaves_no_gap_where_there_was_none(steps: list[tuple[float, bool]]) -> None:
    kept = Recent()
    now, came = 0.0, []
    for step, seen in steps:
        now += step
        came.append(now)
        kept.add(now, BEGUN + timedelta(seconds=now), FACES if seen else EMPTY)
    found = [at - BEGUN.timestamp() for at, _ in read(kept, now)]
    within = [at for at in came if now - at <= KEPT_S]
    assert all(now - at <= KEPT_S + 0.001 for at in found)
    assert all(after - before >= FACES_EVERY_S - 0.001 for before, after in pairwise(found))
    for at in within[1:]:  # something that came before it is kept and near, however it was thinned out
        assert any(0 <= at - one + 0.001 <= EMPTY_EVERY_S + 0.002 for one in found)
    assert read(kept, now + KEPT_S + 0.001) == []


def test_a_room_without_anybody_costs_little_and_a_face_is_taken_as_soon_as_it_comes() -> None:
    kept = Recent()
    for frame in range(15 * 60):
        kept.add(frame / 15, BEGUN + timedelta(seconds=frame / 15), EMPTY)
    assert len(read(kept, 60.0)) == 60
    kept.add(60.1, BEGUN + timedelta(seconds=60.1), FACES)
    assert len(read(kept, 60.1)[-1][1]) == 2


def test_a_crowd_makes_it_remember_for_a_shorter_time_and_not_more() -> None:
    crowd = scenes.live("a", *(scenes.live_face(number) for number in range(MAX_FACES)))
    kept = Recent()
    for number in range(720):
        kept.add(number * 0.25, BEGUN + timedelta(seconds=number * 0.25), crowd)
    text = kept.text(179.75)
    assert text is not None
    assert MAX_BYTES * 0.9 < len(text) < MAX_BYTES * 1.01
    assert json.loads(text)[-1][0] == BEGUN.timestamp() + 179.75


def test_a_clock_that_is_set_back_does_not_stop_it() -> None:
    kept = Recent()
    kept.add(1.0, BEGUN, FACES)
    kept.add(2.0, BEGUN - timedelta(hours=1), FACES)
    assert [at for at, _ in read(kept, 2.0)] == [BEGUN.timestamp(), BEGUN.timestamp() - 3600]


def test_what_is_forgotten_does_not_come_back() -> None:
    kept = Recent()
    kept.add(1.0, BEGUN, FACES)
    kept.forget()
    assert kept.text(1.0) is None
    kept.add(1.1, BEGUN, EMPTY)
    assert len(read(kept, 1.1)) == 1


def test_what_is_older_than_a_timeline_is_held_no_longer_also_where_nothing_comes_any_more() -> None:
    kept = Recent()
    kept.add(1.0, BEGUN, FACES)
    kept.drop_old(1.0 + KEPT_S)
    assert len(read(kept, 1.0)) == 1
    kept.drop_old(1.1 + KEPT_S)
    assert read(kept, 1.0) == []
