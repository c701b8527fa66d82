"""The order of the labelling queue."""

from datetime import date
from uuid import UUID

import pytest

from services.web.label_queue import RANDOM_EVERY, Candidate, disagreement, ordered, uncertainty, usefulness

DAY = date(2026, 3, 1)
SURE = [0.94, *[0.01] * 6]
TORN = [0.48, 0.47, *[0.01] * 5]
FLAT = [1 / 7] * 7


def candidate(
    number: int, probabilities: list[float] | None = None, votes: list[int] | None = None, person: object = None
) -> Candidate:
    mine = (number,) if person is None else (person,)
    return Candidate(UUID(int=number), 0, probabilities or SURE, votes or [0] * 9, mine)


def ids(found: list[Candidate]) -> list[int]:
    return [one.event_id.int for one in found]


def test_uncertainty_grows_from_sure_over_torn_to_flat() -> None:
    assert uncertainty([1.0, *[0.0] * 6]) == 0.0
    assert 0 < uncertainty(SURE) < uncertainty(TORN) < uncertainty(FLAT)
    assert uncertainty(FLAT) == pytest.approx(1.0)


def test_disagreement_is_none_below_two_votes_and_whole_where_all_differ() -> None:
    assert disagreement([0] * 9) == 0.0
    assert disagreement([1, *[0] * 8]) == 0.0
    assert disagreement([3, *[0] * 8]) == 0.0
    assert disagreement([1, 1, *[0] * 7]) == pytest.approx(1.0)
    assert 0 < disagreement([2, 1, *[0] * 7]) < 1
    assert disagreement([5] * 9) == pytest.approx(1.0, abs=1e-9)


def test_what_people_dispute_comes_before_what_the_model_is_unsure_of() -> None:
    assert usefulness(candidate(1, SURE, [2, 1, *[0] * 7])) > usefulness(candidate(2, FLAT))
    found = ordered([candidate(1), candidate(2, FLAT), candidate(3, SURE, [1, 1, *[0] * 7])], "ada", DAY, 0, 3)
    assert ids(found) == [3, 2, 1]


def test_neighbours_of_one_person_are_spread() -> None:
    faces = [candidate(n, TORN, person="one") for n in range(5)] + [candidate(9, SURE, person="other")]
    assert ids(ordered(faces, "ada", DAY, 0, 2))[1] == 9


def test_every_tenth_is_drawn_at_random_whatever_was_voted_before() -> None:
    # The sure ones come last, but by lot.
    faces = [candidate(n, TORN) for n in range(60)] + [candidate(n) for n in range(100, 1000)]
    found = ids(ordered(faces, "ada", DAY, 0, 50))
    by_lot = [place for place, number in enumerate(found) if number >= 100]
    assert set(by_lot) <= set(range(RANDOM_EVERY - 1, 50, RANDOM_EVERY))
    assert len(by_lot) >= 4  # of five drawn from 960, most are sure ones
    after_seven = ids(ordered(faces, "ada", DAY, 7, 50))
    assert after_seven[2] == found[9]  # the tenth of the day is the third from here


def test_the_order_holds_for_a_labeller_and_day_and_differs_between_them() -> None:
    faces = [candidate(n) for n in range(200)]
    one = ids(ordered(faces, "ada", DAY, 0, 50))
    assert ids(ordered(reversed(faces), "ada", DAY, 0, 50)) == one
    assert ids(ordered(faces, "bob", DAY, 0, 50)) != one
    assert ids(ordered(faces, "ada", date(2026, 3, 2), 0, 50)) != one


def test_all_are_given_once_where_fewer_wait_than_are_wanted() -> None:
    assert sorted(ids(ordered([candidate(n) for n in range(13)], "ada", DAY, 0, 50))) == list(range(13))
    assert ordered([], "ada", DAY, 0, 10) == []
