"""Kappas against published examples, worked by hand, and what must hold of any."""

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web.agreement import Tally, cohens_kappa, fleiss_kappa, observed_agreement

LABELS = ("angry", "happy", "sad")
TABLES = st.dictionaries(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), st.integers(1, 50), min_size=1)
FACES = st.lists(st.tuples(st.lists(st.integers(0, 5), min_size=3, max_size=3), st.integers(1, 9)), max_size=12)

# Fleiss 1971 is quoted in this form everywhere: 14 raters, 10 subjects, 5 categories; kappa = 0.210.
FLEISS_TABLE = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_cohens_kappa_worked_by_hand() -> None:
    # 50 proposals, two readers: both yes 20, both no 15, they differ 5 and 10. p_o = 0.7; the first says yes to 25, the
    # second to 30, so p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5 and kappa = 0.4.
    pairs = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    assert observed_agreement(pairs) == 0.7
    assert cohens_kappa(pairs) == pytest.approx(0.4)


def test_cohens_kappa_is_lower_than_chance_where_they_contradict() -> None:
    assert cohens_kappa({("yes", "no"): 5, ("no", "yes"): 5}) == pytest.approx(-1.0)


def test_fleiss_kappa_of_the_published_example() -> None:
    assert fleiss_kappa([(row, 1) for row in FLEISS_TABLE]) == pytest.approx(0.210, abs=0.0005)


def test_fleiss_kappa_where_faces_have_different_numbers_of_votes() -> None:
    # Two of two agree, one of three pairs agrees: P_o = (1 + 1/3) / 2 = 2/3. Of 5 votes 4 are the first: P_e = 17/25.
    expected = (Fraction(2, 3) - Fraction(17, 25)) / (1 - Fraction(17, 25))
    assert fleiss_kappa([([2, 0], 1), ([2, 1], 1)]) == pytest.approx(float(expected))


def test_what_is_not_defined_is_none() -> None:
    assert cohens_kappa({}) is None
    assert cohens_kappa({("happy", "happy"): 9}) is None  # one label throughout: chance would agree as well
    assert fleiss_kappa([]) is None
    assert fleiss_kappa([([1, 0], 5)]) is None  # nobody else voted
    assert fleiss_kappa([([3, 0], 5)]) is None


@given(TABLES)
def test_cohens_kappa_does_not_depend_on_who_is_first_nor_on_scale(pairs: dict[tuple[str, str], int]) -> None:
    kappa = cohens_kappa(pairs)
    turned = cohens_kappa({(other, one): n for (one, other), n in pairs.items()})
    threefold = cohens_kappa({key: 3 * n for key, n in pairs.items()})
    if kappa is None:
        assert turned is None
        assert threefold is None
        return
    assert turned is not None
    assert threefold is not None
    assert math.isclose(kappa, turned, abs_tol=1e-9)
    assert math.isclose(kappa, threefold, abs_tol=1e-9)
    assert -1.0 - 1e-9 <= kappa <= 1.0
    if kappa == 1.0:
        assert observed_agreement(pairs) == 1.0


@given(FACES, st.permutations([0, 1, 2]))
def test_fleiss_kappa_does_not_depend_on_order(faces: list[tuple[list[int], int]], order: list[int]) -> None:
    kappa = fleiss_kappa(faces)
    turned = fleiss_kappa([([votes[i] for i in order], times) for votes, times in reversed(faces)])
    assert (kappa is None) == (turned is None)
    if kappa is not None and turned is not None:
        assert math.isclose(kappa, turned, abs_tol=1e-9)
        assert kappa <= 1.0


@given(FACES)
def test_faces_with_one_vote_change_nothing(faces: list[tuple[list[int], int]]) -> None:
    assert fleiss_kappa([*faces, ([1, 0, 0], 7), ([0, 0, 0], 2)]) == fleiss_kappa(faces)


VOTED = st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from(LABELS), min_size=1), max_size=12)


@given(VOTED, st.integers(1, 3))
def test_a_tally_of_faces_that_are_alike_is_that_of_each_vote(faces: list[dict[str, str]], times: int) -> None:
    """Counted as the kappas are defined: for each two labellers, and for each face by itself."""
    tally = Tally(LABELS)
    for said in faces:
        tally.add(sorted(said.items()), times)
    each = faces * times
    assert tally.labellers == Counter(labeller for said in each for labeller in said)
    for first, second in combinations("abcd", 2):
        both = Counter((said[first], said[second]) for said in each if first in said and second in said)
        assert tally.tables.get((first, second), {}) == both
    one_by_one = [([list(said.values()).count(label) for label in LABELS], 1) for said in each]
    assert fleiss_kappa(tally.judged) == pytest.approx(fleiss_kappa(one_by_one))
    assert sum(many for _, many in tally.judged) == sum(len(said) > 1 for said in each)
