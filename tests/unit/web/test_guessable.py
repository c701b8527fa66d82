"""Which long passwords are guessed first, and that others are let alone."""

import pytest

from services.web.accounts.guessable import is_guessable
from services.web.accounts.passwords import temporary
from tests.support.accounts import PASSWORD

NAME = "anna.berg"


@pytest.mark.parametrize(
    "password",
    [
        # the long ones among the 200 most used of 2023 and 2025, as lists of leaked passwords have them
        *("administrator", "admintelecom", "theworldinyourhand", "qwerty123456", "Aa@123456789", "*************"),
        # a common one, made longer or written otherwise
        *("Password1234", "password-1234!", "P@ssw0rd2024!", "Pa$$w0rd Pa$$w0rd", "Willkommen123", "Summer2025!!!"),
        *("iloveyou 1234", "letmein!letmein", "adminadmin12", "Correct horse battery staple"),
        # rows of letters, digits and keys
        *(
            "123456789012",
            "987654321098",
            "abcdefghijkl",
            "zyxwvutsrqpo",
            "QWERTZuiop123",
            "azertyuiop12",
            "!@#$%^&*()!@",
        ),
        *("1q2w3e4r5t6y", "1qaz2wsx3edc", "q1w2e3r4t5y6", "123qweasdzxc", "147258369147", "102030405060"),
        # repetitions
        *("aaaaaaaaaaaa", "121212121212", "abx7abx7abx7", "aaaabbbbcccc", "111222333444"),
        # the person and the service
        *("AnnaBergAnna", "anna.berg.1990", "Berg-2024-Berg", "EmotionAtTheEdge", "Emotion-Edge-1"),
    ],
)
def test_what_everybody_takes_is_guessable(password: str) -> None:
    assert is_guessable(password, NAME)


@pytest.mark.parametrize(
    "password",
    [
        *(PASSWORD, "six quiet harbours", "twelve chars", "東京駅の東口で待ち合わせ", "!?;:'\"<>{}[]|", "k7#vQ2!mZ9$x"),
        # of common parts, and of something else too
        *("the summer we read hello", "password of the grey heron", "alert desert student", "emotion and a kettle"),
    ],
)
def test_what_few_take_is_not(password: str) -> None:
    assert not is_guessable(password, NAME)
    assert not is_guessable(password, "al")


def test_no_temporary_password_is_guessable_and_a_long_one_is_looked_through() -> None:
    assert not any(is_guessable(temporary(), NAME) for _ in range(200))
    assert is_guessable("qwerty" + "1234567890" * 25, NAME)
    assert not is_guessable("xqzjvkwb" * 31 + "a fox", NAME)
