"""The last minutes of one device's live states, thinned out, for who begins to look later. In memory only; pure."""

import json
from collections import deque
from datetime import datetime
from typing import Final

from shared.messages import Live

KEPT_S: Final = 180.0
"""As long as the page's timeline is."""
FACES_EVERY_S: Final = 0.2
"""As close as the points of that timeline lie."""
EMPTY_EVERY_S: Final = 1.0
"""Without a face. Well below the two seconds of silence after which a timeline says that nothing was read."""
MAX_BYTES: Final = 256 * 1024
"""Text of one device; beyond it the oldest goes. Three minutes of five faces fit; with more there is less time."""


class Recent:
    """Readings of one device in the order in which they came. `now` is a clock that is never set, in seconds."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, str]] = deque()
        self._bytes = 0

    def add(self, now: float, received_at: datetime, live: Live) -> None:
        """Take a live state, unless the one before is too near."""
        every_s = FACES_EVERY_S if live.faces else EMPTY_EVERY_S
        if self._readings and now - self._readings[-1][0] < every_s:
            return
        faces = [[face.track_id, *(round(value, 3) for value in face.emotion.as_tuple())] for face in live.faces]
        text = json.dumps([round(received_at.timestamp(), 3), faces], separators=(",", ":"))
        self._readings.append((now, text))
        self._bytes += len(text)
        self.drop_old(now)

    def forget(self) -> None:
        """Let go of all."""
        self._readings.clear()
        self._bytes = 0

    def text(self, now: float) -> str | None:
        """A JSON list of `[seconds since 1970, [[track_id, the seven probabilities], ...]]`; None where there is
        nothing."""
        self.drop_old(now)
        return f"[{','.join(text for _, text in self._readings)}]" if self._readings else None

    def drop_old(self, now: float) -> None:
        """Let go of what is older than a timeline is long, or more than may be held."""
        while self._readings and (now - self._readings[0][0] > KEPT_S or self._bytes > MAX_BYTES):
            self._bytes -= len(self._readings.popleft()[1])
