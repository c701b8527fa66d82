"""Which frames are kept: never in privacy mode, never without a face, never more than the cap."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.classifier.sampling import EmptyFrames, FrameSampler, Kept, effective
from services.classifier.settings import SamplingSettings
from shared.messages import Quality, Sampling
from tests.classifier_kit import T0, at, face

ON = SamplingSettings(mode="on", low_confidence=None, min_interval_s=0.0)
UNREADABLE = Quality(size_px=20, blur=1.0, brightness=110.0, ok=False, reasons=("small", "blurred"))


def test_pictures_are_off_unless_somebody_turns_them_on() -> None:
    assert SamplingSettings().mode == "off"


def test_privacy_mode_keeps_nothing_whatever_happens() -> None:
    sampler = FrameSampler()
    rules = SamplingSettings(mode="off", low_confidence=1.0, every_s=0.1, min_interval_s=0.0)
    for n, state in enumerate(("happy", "sad", "unsure", "angry")):
        assert sampler.decide(rules, [face(state=state, confidence=0.3)], n, at(n)) is None


def test_a_change_of_the_shown_word_is_kept_and_staying_is_not() -> None:
    sampler = FrameSampler()
    states = ["unsure", "happy", "happy", "unsure", "happy", "sad", "sad"]
    kept = [sampler.decide(ON, [face(state=state)], n, at(n)) for n, state in enumerate(states)]
    assert kept == [None, "change", None, None, None, "change", None]


def test_a_change_during_the_pause_is_caught_up_after_it() -> None:
    sampler = FrameSampler()
    rules = ON.model_copy(update={"min_interval_s": 2.0})
    assert sampler.decide(rules, [face(state="happy")], 0.0, at(0)) == "change"
    assert sampler.decide(rules, [face(state="sad")], 1.0, at(1)) is None
    assert sampler.decide(rules, [face(state="sad")], 2.0, at(2)) == "change"


def test_low_confidence_is_kept_for_readable_faces_only() -> None:
    rules = ON.model_copy(update={"on_change": False, "low_confidence": 0.5})
    assert FrameSampler().decide(rules, [face(confidence=0.4)], 0.0, T0) == "low_confidence"
    assert FrameSampler().decide(rules, [face(confidence=0.6)], 0.0, T0) is None
    assert FrameSampler().decide(rules, [face(confidence=0.4, quality=UNREADABLE)], 0.0, T0) is None


def test_one_is_kept_every_so_many_seconds_but_never_without_a_face() -> None:
    rules = ON.model_copy(update={"on_change": False, "every_s": 5.0})
    sampler = FrameSampler()
    assert sampler.decide(rules, [], 0.0, at(0)) is None
    kept = [sampler.decide(rules, [face()], n, at(n)) is not None for n in range(1, 12)]
    assert [n for n, yes in enumerate(kept, 1) if yes] == [1, 6, 11]


def test_the_daily_cap_counts_by_utc_day_and_over_a_restart() -> None:
    rules = ON.model_copy(update={"on_change": False, "every_s": 0.1, "daily_cap": 3})
    sampler = FrameSampler(Kept(T0.date(), 2))
    assert [sampler.decide(rules, [face()], n, at(n)) for n in range(3)] == ["interval", None, None]
    assert sampler.decide(rules, [face()], 86400, at(86400)) == "interval"
    assert sampler.kept == Kept(at(86400).date(), 1)


@given(
    st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["happy", "sad", "unsure"]), st.floats(0.2, 1)), max_size=60)
)
def test_cap_and_pause_are_kept_under_any_sequence(frames: list[tuple[float, str, float]]) -> None:
    rules = SamplingSettings(mode="on", low_confidence=0.5, every_s=2.0, daily_cap=5, min_interval_s=1.0)
    sampler, now, kept = FrameSampler(), 0.0, []
    for step, state, confidence in frames:
        now += step
        if sampler.decide(rules, [face(state=state, confidence=confidence)], now, at(now)):
            kept.append(now)
    assert len(kept) <= 5
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(kept))


def test_what_a_person_wants_wins_field_by_field() -> None:
    rules = effective(SamplingSettings(daily_cap=7), Sampling(mode="on", every_s=3.0))
    assert (rules.mode, rules.every_s, rules.daily_cap) == ("on", 3.0, 7)
    assert effective(ON, Sampling(mode="off")).mode == "off"
    assert effective(ON, None) is ON


def test_empty_frames_are_recorded_at_the_first_of_a_stretch_and_then_now_and_then() -> None:
    empty = EmptyFrames(10.0)
    faces = [True, False, False, True, False]
    assert [empty.record(has_faces=yes, now=n) for n, yes in enumerate(faces)] == [True, True, False, True, True]
    assert [empty.record(has_faces=False, now=n) for n in (9.0, 14.0, 15.0, 24.0)] == [False, True, False, True]


def test_an_interval_of_zero_records_every_empty_frame() -> None:
    empty = EmptyFrames(0.0)
    assert all(empty.record(has_faces=False, now=n / 100) for n in range(5))
