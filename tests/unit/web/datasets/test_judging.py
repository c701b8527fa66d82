import pytest

from services.web.datasets.judging import Label, LeftOut, Terms, judge
from shared.emotions import EMOTIONS

TERMS = Terms(frozenset(EMOTIONS), min_votes=2, min_agreement=0.5)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ({"happy": 2}, Label("happy", 1.0)),
        ({"happy": 3, "sad": 1}, Label("happy", 0.75)),
        ({"happy": 2, "sad": 1, "unknown": 1}, Label("happy", 0.5)),
        ({"happy": 1}, "few_votes"),
        ({"happy": 2, "sad": 2}, "tie"),
        # A tie with "unknown" is a tie: neither side has it.
        ({"happy": 1, "unknown": 1}, "tie"),
        ({"unknown": 2, "happy": 1}, "unknown"),
        ({"not_a_face": 3, "happy": 1}, "not_a_face"),
        ({"happy": 2, "sad": 1, "fear": 1, "angry": 1}, "low_agreement"),
    ],
)
def test_a_label_is_what_most_said_of_all_votes(votes: dict[str, int], expected: Label | LeftOut) -> None:
    assert judge(votes, "neutral", TERMS) == expected


def test_the_models_guess_counts_only_where_nobody_voted_and_shows_no_agreement() -> None:
    assert judge({}, "sad", TERMS) == Label("sad", 0.0)
    assert judge({}, "sad", Terms(frozenset({"happy"}), 1, 0)) == "other_label"
    assert judge({"sad": 2}, "happy", Terms(frozenset({"happy"}), 1, 0)) == "other_label"
