"""Waiting longer after each failure: capped, jittered, pure."""

import random
from collections.abc import Callable


class Backoff:
    """Delays that double from `first_s` to `cap_s`, each drawn between half and all of its step.

    Jitter keeps a room full of devices from returning in the same second (M. Brooker, "Exponential Backoff And
    Jitter", 2015: "equal jitter").
    """

    def __init__(
        self, first_s: float = 0.5, cap_s: float = 30.0, *, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        if not 0 < first_s <= cap_s:
            raise ValueError(f"expected 0 < first_s <= cap_s, got {first_s} and {cap_s}")
        self._first = first_s
        self._cap = cap_s
        self._uniform = uniform
        self.failures = 0

    def next_delay(self) -> float:
        """Seconds to wait after one more failure."""
        step = min(self._cap, self._first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self._uniform(step / 2, step)

    def succeeded(self) -> None:
        """Begin again from the first delay."""
        self.failures = 0
