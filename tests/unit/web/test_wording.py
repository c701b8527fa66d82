"""What is said about faces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web.wording import LOOKS, about_percent, detection_words, live_words
from shared.emotions import EMOTIONS
from tests.support.scenes import SMALL_AND_DARK, face, live_face, unsure_face


@pytest.mark.parametrize(
    ("probability", "certainty", "percent"),
    [(0.84, "likely", 80), (0.8, "likely", 80), (0.799, "maybe", 75), (0.5, "maybe", 50), (1.0, "likely", 100)],
)
def test_a_reading_is_likely_from_eighty_per_cent_on(probability: float, certainty: str, percent: int) -> None:
    words = live_words(live_face(state="happy", probability=probability))
    assert (words.headline, words.certainty, words.percent) == ("Looks happy", certainty, percent)


def test_every_emotion_has_words_that_say_looks_and_never_is() -> None:
    assert set(LOOKS) == set(EMOTIONS)
    assert all(text.startswith("Looks ") for text in LOOKS.values())


def test_not_sure_says_why() -> None:
    words = live_words(unsure_face())
    assert (words.headline, words.why) == ("Not sure", "the face is far away and in the dark")
    assert words.percent is None


def test_not_sure_without_a_fault_of_the_picture_says_that_no_expression_is_clear() -> None:
    words = detection_words(face(confidence=0.4))
    assert (words.state, words.why) == ("unsure", "no expression is clear enough")


def test_a_face_that_cannot_be_read_is_not_sure_however_confident_the_model() -> None:
    words = detection_words(face(confidence=0.99).model_copy(update={"quality": SMALL_AND_DARK}))
    assert words.headline == "Not sure"


@given(st.floats(0, 1))
def test_per_cent_never_claims_more_than_was_read(probability: float) -> None:
    percent = about_percent(probability)
    assert percent % 5 == 0
    assert percent <= probability * 100 + 1e-5
    assert probability * 100 - percent < 5.001
