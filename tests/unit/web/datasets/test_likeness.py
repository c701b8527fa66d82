import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.web.datasets.likeness import NEAR_BITS, Seen, find_copies, fingerprint


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), max_size=8))
def test_near_is_a_few_bits_and_no_more_wherever_they_lie(value: int, flipped: set[int]) -> None:
    other = value
    for bit in flipped:
        other ^= 1 << bit
    found = find_copies([Seen("a", b"1", signed(value)), Seen("a", b"2", signed(other))])
    assert found.near == [0, 0 if len(flipped) <= NEAR_BITS else 1]
    assert found.exact == [0, 1]


def test_exact_copies_are_found_between_people_and_near_ones_only_within() -> None:
    seen = [Seen("a", b"x", 5), Seen("b", b"x", 5), Seen("a", b"y", 5), Seen("b", b"z", -1)]
    found = find_copies(seen)
    assert found.exact == [0, 0, 2, 3]
    assert found.near == [0, 1, 0, 3]


def test_a_face_moved_by_light_is_near_and_another_is_not() -> None:
    random = np.random.default_rng(1)
    small = random.integers(40, 200, (9, 9))
    face = np.kron(small, np.ones((12, 12))).astype(np.uint8)
    brighter = (face + 20).astype(np.uint8)
    other = np.kron(random.integers(40, 200, (9, 9)), np.ones((12, 12))).astype(np.uint8)

    def differing(one: np.ndarray, two: np.ndarray) -> int:
        return ((fingerprint(one) ^ fingerprint(two)) & (2**64 - 1)).bit_count()

    assert differing(face, brighter) == 0
    assert differing(face, other) > NEAR_BITS
    assert -(2**63) <= fingerprint(face) < 2**63
