"""Waiting after too many tries."""

from services.web.accounts import throttle
from services.web.accounts.throttle import Throttle


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_try_beyond_the_free_ones_waits_twice_as_long_up_to_a_bound() -> None:
    clock = Clock()
    tries = Throttle(free=3, longest_s=10, clock=clock)
    waits = []
    for _ in range(9):
        clock.now += tries.wait_s("anna")
        tries.tried("anna")
        waits.append(tries.wait_s("anna"))
    assert waits == [0, 0, 1, 2, 4, 8, 10, 10, 10]
    assert tries.wait_s("berta") == 0


def test_a_success_does_not_count_and_long_ago_is_forgotten() -> None:
    clock = Clock()
    tries = Throttle(free=1, longest_s=10, clock=clock)
    tries.tried("here")
    tries.taken_back("here")
    assert tries.wait_s("here") == 0
    tries.tried("here")
    assert tries.wait_s("here") == 1
    tries.forget("here")
    assert tries.wait_s("here") == 0
    for _ in range(5):
        tries.tried("here")
    clock.now += 101
    tries.tried("here")
    assert tries.wait_s("here") == 1


def test_the_keys_that_are_kept_have_a_bound() -> None:
    tries = Throttle(free=1, longest_s=10)
    for number in range(throttle._BOUND + 10):
        tries.tried(str(number))
    assert len(tries._tries) == throttle._BOUND
