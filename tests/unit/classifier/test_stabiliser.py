"""Words appear when it is clear for a moment, and go when it is unclear for longer."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier.stabiliser import ENTER_S, HOLD_S, LEAVE_S, NO_DATA_S, Stabiliser
from shared.emotions import EMOTIONS, Emotion
from shared.messages import Shown
from tests.classifier_kit import at

STEP = 0.1


def reading(emotion: Emotion, p: float, second: Emotion = "neutral") -> np.ndarray:
    """`emotion` with `p`, nearly all of the rest to `second`."""
    values = np.full(7, 0.001)
    values[EMOTIONS.index(second)] = 1 - p - 0.005
    values[EMOTIONS.index(emotion)] = p
    result: np.ndarray = values / values.sum()
    return result


class Face:
    """One track that is fed at ten frames a second."""

    def __init__(self) -> None:
        self.stabiliser = Stabiliser()
        self.now = 0.0

    def see(self, values: np.ndarray, seconds: float, *, readable: bool = True) -> list[Shown]:
        shown = []
        for _ in range(round(seconds / STEP)):
            shown.append(self.stabiliser.update(1, values, self.now, at(self.now), readable=readable))
            self.now += STEP
        return shown


def test_a_new_face_is_not_sure_and_a_clear_one_is_named_after_three_samples_and_300_ms() -> None:
    shown = Face().see(reading("happy", 0.95), 1.0)
    assert [s.state for s in shown[:4]] == ["unsure", "unsure", "unsure", "happy"]
    assert shown[0].since == at(0)
    assert shown[-1].since == at(0.3)


def test_three_samples_are_needed_at_low_frame_rates() -> None:
    stabiliser = Stabiliser()
    states = [stabiliser.update(1, reading("happy", 0.95), n * 0.5, at(n * 0.5)).state for n in range(3)]
    assert states == ["unsure", "unsure", "happy"]


@pytest.mark.parametrize("emotion", ["angry", "fear", "disgust"])
def test_costly_words_need_more(emotion: Emotion) -> None:
    assert {s.state for s in Face().see(reading(emotion, 0.70, "sad"), 3.0)} == {"unsure"}
    assert Face().see(reading(emotion, 0.80, "sad"), 3.0)[-1].state == emotion


def test_sixty_percent_is_enough_for_other_words_and_less_is_not() -> None:
    assert Face().see(reading("sad", 0.62), 2.0)[-1].state == "sad"
    assert Face().see(reading("sad", 0.58), 2.0)[-1].state == "unsure"


def test_one_odd_frame_changes_nothing() -> None:
    face = Face()
    face.see(reading("happy", 0.95), 2.0)
    assert {s.state for s in face.see(reading("sad", 0.99), STEP) + face.see(reading("happy", 0.95), 1.0)} == {"happy"}


def test_a_word_goes_when_it_was_unclear_for_800_ms() -> None:
    face = Face()
    face.see(reading("happy", 0.95), 3.0)
    gone = [s.state for s in face.see(reading("happy", 0.40), 3.0)]
    assert gone[0] == "happy"
    assert gone[-1] == "unsure"
    assert gone.index("unsure") * STEP >= LEAVE_S


def test_a_word_stays_at_least_a_second_and_a_half() -> None:
    face = Face()
    shown = face.see(reading("happy", 0.95), 0.5) + face.see(reading("sad", 0.95), 4.0)
    assert [s.state for s in shown if s.state == "sad"]
    assert [s.state for s in shown].count("happy") * STEP >= HOLD_S


def test_another_clear_word_takes_over_without_a_gap() -> None:
    face = Face()
    face.see(reading("happy", 0.95), 3.0)
    states = [s.state for s in face.see(reading("surprise", 0.95), 2.0)]
    assert "unsure" not in states
    assert states.index("surprise") * STEP <= 1.0, "within the second that a conversation allows"


def test_unreadable_sights_name_nothing_and_let_a_word_go() -> None:
    assert {s.state for s in Face().see(reading("happy", 0.95), 3.0, readable=False)} == {"unsure"}
    face = Face()
    face.see(reading("happy", 0.95), 3.0)
    assert face.see(reading("happy", 0.95), 1.5, readable=False)[-1].state == "unsure"


def test_what_was_known_is_forgotten_after_two_seconds_without_a_sight() -> None:
    face = Face()
    face.see(reading("happy", 0.95), 3.0)
    face.now += NO_DATA_S
    assert face.see(reading("happy", 0.95), STEP)[0].state == "unsure"


def test_tracks_do_not_influence_each_other_and_lost_ones_are_forgotten() -> None:
    stabiliser = Stabiliser()
    for n in range(10):
        one = stabiliser.update(1, reading("happy", 0.95), n * STEP, at(n * STEP))
        two = stabiliser.update(2, reading("sad", 0.95), n * STEP, at(n * STEP))
    assert (one.state, two.state) == ("happy", "sad")
    stabiliser.keep_only(frozenset({2}))
    assert stabiliser.mean(2)[EMOTIONS.index("sad")] > 0.9
    with pytest.raises(KeyError):
        stabiliser.mean(1)


@given(
    st.lists(
        st.tuples(st.sampled_from(EMOTIONS), st.floats(0.2, 0.99), st.floats(0.0, 0.5), st.booleans()), max_size=80
    )
)
def test_a_word_is_never_shorter_than_its_hold_and_means_stay_probabilities(
    sights: list[tuple[Emotion, float, float, bool]],
) -> None:
    stabiliser = Stabiliser()
    now = 0.0
    history: list[Shown] = []
    for emotion, p, step, readable in sights:
        now += step
        history.append(stabiliser.update(1, reading(emotion, p, "sad"), now, at(now), readable=readable))
        mean = stabiliser.mean(1)
        assert mean.sum() == pytest.approx(1.0)
        assert (mean >= 0).all()
    for before, after in pairwise(history):
        assert before.since <= after.since
        if before.state != after.state and before.state != "unsure" and after.state != "unsure":
            assert (after.since - before.since).total_seconds() >= HOLD_S - 1e-5
        if after.state not in ("unsure", before.state):
            assert (after.since - history[0].since).total_seconds() >= ENTER_S - 1e-5
