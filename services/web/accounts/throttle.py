"""Who tries too often has to wait, twice as long each time. In memory, pure apart from the clock it is given."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_BOUND: Final = 10_000


@dataclass(slots=True)
class _Tries:
    count: int
    last: float


class Throttle:
    """Counts tries by key (a name, an address); those that succeed do not count."""

    def __init__(self, *, free: int, longest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """After `free` tries each next one waits 1, 2, 4 … seconds, at most `longest_s`."""
        self._free = free
        self._longest_s = longest_s
        self._clock = clock
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Seconds until the next try is allowed; 0 now."""
        tries = self._tries.get(key)
        if tries is None or tries.count < self._free:
            return 0.0
        return max(0.0, tries.last + self._delay_s(tries.count) - self._clock())

    def tried(self, key: str) -> None:
        """Count a try; before it is known how it ends, so that many at once count too."""
        now = self._clock()
        tries = self._tries.pop(key, None)
        if tries is None or now - tries.last > 10 * self._longest_s:  # long ago
            tries = _Tries(0, now)
        tries.count += 1
        tries.last = now
        self._tries[key] = tries
        if len(self._tries) > _BOUND:
            self._tries.popitem(last=False)

    def taken_back(self, key: str) -> None:
        """The last try succeeded, so it does not count."""
        tries = self._tries.get(key)
        if tries is not None:
            tries.count -= 1

    def forget(self, key: str) -> None:
        """None of the tries count any more."""
        self._tries.pop(key, None)

    def _delay_s(self, count: int) -> float:
        return min(self._longest_s, 2.0 ** min(count - self._free, 30))
