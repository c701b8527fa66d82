"""What is said about faces."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web.wording import detection_words, live_words
from shared.emotions import EMOTIONS
from shared.messages import Face, Quality, Shown
from shared.wording import LOOKS, about_percent
from tests.support.scenes import GOOD, SMALL_AND_DARK, face, live_face, unsure_face


@pytest.mark.parametrize(
    ("probability", "certainty", "percent"),
    [(0.84, "likely", 80), (0.8, "likely", 80), (0.799, "maybe", 75), (0.5, "maybe", 50), (1.0, "likely", 100)],
)
def test_a_reading_is_likely_from_eighty_per_cent_on(probability: float, certainty: str, percent: int) -> None:
    words = live_words(live_face(state="happy", probability=probability))
    assert (words.headline, words.certainty, words.percent) == ("Looks happy", certainty, percent)


def test_every_emotion_has_words_that_say_looks_and_never_is() -> None:
    assert set(LOOKS) == set(EMOTIONS)
    assert all(text.startswith("looks ") for text in LOOKS.values())


def test_not_sure_says_why() -> None:
    words = live_words(unsure_face())
    assert (words.headline, words.why) == ("Not sure", "the face is far away and in the dark")
    assert words.percent is None


def unstabilised(confidence: float, quality: Quality = GOOD) -> Face:
    return face(confidence=confidence).model_copy(update={"shown": None, "quality": quality})


def test_not_sure_without_a_fault_of_the_picture_says_that_no_expression_is_clear() -> None:
    words = detection_words(unstabilised(0.4))
    assert (words.state, words.why) == ("unsure", "no expression is clear enough")


def test_a_face_that_cannot_be_read_is_not_sure_however_confident_the_model() -> None:
    assert detection_words(unstabilised(0.99, SMALL_AND_DARK)).headline == "Not sure"


def test_a_frame_is_told_as_the_screen_showed_it() -> None:
    frame = face(dominant="sad", confidence=0.9)
    since = datetime(2026, 3, 1, tzinfo=UTC)
    unsure = detection_words(frame.model_copy(update={"shown": Shown(state="unsure", since=since)}))
    assert unsure.headline == "Not sure"
    outlasted = detection_words(frame.model_copy(update={"shown": Shown(state="happy", since=since)}))
    assert (outlasted.headline, outlasted.certainty, outlasted.percent) == ("Looks happy", "maybe", None)


@given(st.floats(0, 1))
def test_per_cent_never_claims_more_than_was_read(probability: float) -> None:
    percent = about_percent(probability)
    assert percent % 5 == 0
    assert percent <= probability * 100 + 1e-5
    assert probability * 100 - percent < 5.001
