"""Pure: running figures over the last seconds and frames, and keeping to a rate."""

from collections import deque
from typing import Final

FPS_WINDOW_S: Final = 5.0
_LATENCIES: Final = 300
_EARLY: Final = 0.4


class Rate:
    """Events per second over the last `window_s` seconds. Times never go back."""

    def __init__(self, window_s: float = FPS_WINDOW_S) -> None:
        self._window = window_s
        self._times: deque[float] = deque()

    def add(self, now: float) -> None:
        self._times.append(now)

    def per_second(self, now: float) -> float:
        while self._times and now - self._times[0] > self._window:
            self._times.popleft()
        if len(self._times) < 2:
            return 0.0
        # Within the first seconds the window is not yet full; the time since its first event stands for it.
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], now - self._times[-1], 1e-3)


class Latencies:
    """Percentiles of the last few hundred values."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_LATENCIES)

    def add(self, value: float) -> None:
        self._values.append(value)

    def percentile(self, share: float) -> float | None:
        """The nearest-rank percentile (`share` 0-1), or None where nothing was measured."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Pace:
    """Lets through at most `per_second` on average; frames that come at just that rate, not quite evenly, all pass."""

    def __init__(self, per_second: float) -> None:
        self._most = per_second
        self._period = 1 / per_second
        self._last = self._next = float("-inf")

    def due(self, now: float, at_most: float | None = None) -> bool:
        """Whether one may pass at `now`; with `at_most`, fewer a second than usual are enough."""
        period = 1 / (self._most if at_most is None else min(self._most, at_most))
        if period != self._period:  # what was waited for at another pace is waited for no more
            self._period, self._next = period, self._last + period
        if now < self._next - _EARLY * period:
            return False
        self._last = now
        self._next = max(self._next + period, now)
        return True
