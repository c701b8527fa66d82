"""When a recording's frames are sent."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capture.pacing import AHEAD, CONFIRM_S, MAX_GAP_S, RESYNC_S, Pacer, Timeline, Window


def test_frames_follow_the_recordings_own_timestamps() -> None:
    timeline = Timeline(12.5)
    assert [timeline.next(at) for at in (0.0, 0.08, 0.17, 0.25)] == pytest.approx([0.0, 0.08, 0.17, 0.25])


def test_frames_without_timestamps_follow_the_frame_rate() -> None:
    timeline = Timeline(10)
    assert [timeline.next(None) for _ in range(3)] == pytest.approx([0.0, 0.1, 0.2])


def test_a_loop_goes_on_one_frame_after_the_last() -> None:
    timeline = Timeline(10)
    first = [timeline.next(at) for at in (0.0, 0.1, 0.2)]
    timeline.begin_again()
    assert first + [timeline.next(at) for at in (0.0, 0.1)] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


@given(
    st.floats(min_value=-10, max_value=500),
    st.lists(st.one_of(st.none(), st.floats()), max_size=50),
)
def test_places_only_grow_and_never_jump_whatever_the_timestamps_say(fps: float, positions: list[float | None]) -> None:
    timeline = Timeline(fps)
    places = [timeline.next(position) for position in positions]
    assert all(0 <= b - a <= MAX_GAP_S * (1 + 1e-6) for a, b in itertools.pairwise(places))


def test_real_time_pace_waits_until_each_frame_is_due() -> None:
    pacer = Pacer()
    assert pacer.wait_s(0.0, 100.0) == 0
    assert pacer.wait_s(0.1, 100.02) == pytest.approx(0.08)
    assert pacer.wait_s(0.2, 100.25) == 0


def test_a_short_delay_is_caught_up_and_a_long_one_is_not() -> None:
    pacer = Pacer()
    pacer.wait_s(0.0, 100.0)
    pacer.wait_s(0.1, 100.1 + RESYNC_S - 0.1)
    assert pacer.resyncs == 0
    assert pacer.wait_s(0.2, 105.0) == 0
    assert pacer.resyncs == 1
    assert pacer.wait_s(0.3, 105.0) == pytest.approx(0.1)


def test_after_a_pause_the_next_frame_is_due_at_once() -> None:
    pacer = Pacer()
    pacer.wait_s(0.0, 100.0)
    pacer.resync()
    assert pacer.wait_s(0.1, 100.0) == pytest.approx(0)
    assert pacer.wait_s(0.2, 100.0) == pytest.approx(0.1)


def test_fast_pace_sends_no_more_than_the_window_ahead() -> None:
    window = Window()
    for number in range(AHEAD):
        assert window.wait_s(0.0) == 0
        window.sent(number, 0.0)
    assert window.wait_s(0.5) == pytest.approx(CONFIRM_S - 0.5)
    window.confirmed(0, 0.6)
    assert window.wait_s(0.6) == 0


def test_frames_that_nobody_confirms_are_given_up_and_counted() -> None:
    window = Window()
    window.sent(0, 0.0)
    assert window.wait_s(CONFIRM_S) == 0
    assert window.unconfirmed == 1


def test_confirming_a_frame_confirms_those_before_it() -> None:
    window = Window()
    window.sent(3, 0.0)
    window.sent(7, 0.0)
    window.confirmed(7, 0.1)
    assert window.wait_s(0.1) == 0
    assert window.unconfirmed == 0


@given(st.lists(st.tuples(st.sampled_from(["send", "confirm"]), st.floats(0, 3))))
def test_the_window_is_never_exceeded(steps: list[tuple[str, float]]) -> None:
    window, now, number, done = Window(), 0.0, 0, -1
    for step, pause in steps:
        now += pause
        if step == "confirm" and done < number - 1:
            done += 1
            window.confirmed(done, now)
        elif step == "send" and window.wait_s(now) == 0:
            window.sent(number, now)
            number += 1
        assert number - 1 - done - window.unconfirmed <= AHEAD
