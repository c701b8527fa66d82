"""When a recording's frames are sent. Pure: every function is told the time."""

from collections import deque
from typing import Final

RESYNC_S: Final = 1.0
"""A recording that is later than this goes on from where it is, instead of catching up."""
MAX_GAP_S: Final = 5.0
"""A longer gap between two frames of a recording is a damaged timestamp."""
AHEAD: Final = 1
"""Frames that may be on their way to the classifier. It keeps the newest only, so a second could replace the first."""
CONFIRM_S: Final = 5.0
"""Seconds after which a frame that nobody confirmed is given up."""


class Timeline:
    """Places of a recording's frames, in seconds from its first; they only grow, also over loops and bad timestamps."""

    def __init__(self, fps: float) -> None:
        self._step = min(1.0 / fps, MAX_GAP_S) if fps > 0 else 1.0 / 25.0
        self._at: float | None = None
        self._position: float | None = None

    def next(self, position_s: float | None) -> float:
        """The place of the next frame, whose own timestamp is `position_s` (None where it has none)."""
        if self._at is None:
            self._at = 0.0
        else:
            gap = self._step
            if position_s is not None and self._position is not None and 0 < position_s - self._position <= MAX_GAP_S:
                gap = position_s - self._position
            self._at += gap
        self._position = position_s
        return self._at

    def begin_again(self) -> None:
        """The recording starts over; its first frame follows one frame's time after its last."""
        self._position = None


class Pacer:
    """Real-time pace: the first frame now, each other at its place after it."""

    def __init__(self) -> None:
        self._start: float | None = None
        self.resyncs = 0

    def wait_s(self, at_s: float, now: float) -> float:
        """Seconds to wait at `now` before the frame at `at_s` is due."""
        if self._start is None:
            self._start = now - at_s
        late = now - self._start - at_s
        if late > RESYNC_S:
            self._start = now - at_s
            self.resyncs += 1
            return 0.0
        return max(0.0, -late)

    def resync(self) -> None:
        """Begin anew with the next frame, as after a pause."""
        self._start = None


class Window:
    """As fast as the consumer takes it: at most `AHEAD` frame that it has not confirmed."""

    def __init__(self) -> None:
        self._sent: deque[int] = deque()
        self._since = 0.0
        self.unconfirmed = 0

    def sent(self, number: int, now: float) -> None:
        """Frame `number` was sent at `now`."""
        if not self._sent:
            self._since = now
        self._sent.append(number)

    def confirmed(self, number: int, now: float) -> None:
        """The consumer is done with frame `number` and thus with all before it."""
        while self._sent and self._sent[0] <= number:
            self._sent.popleft()
            self._since = now

    def wait_s(self, now: float) -> float:
        """Seconds to wait at `now` before another frame may be sent, unless a confirmation comes first; 0: send.

        Frames that nobody confirmed in time are given up and counted.
        """
        if len(self._sent) < AHEAD:
            return 0.0
        remaining = self._since + CONFIRM_S - now
        if remaining > 0:
            return remaining
        self.unconfirmed += len(self._sent)
        self._sent.clear()
        return 0.0
