"""Which browser is a device's camera: one at a time, or two people's faces became one recording. Pure."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HOLD_S: Final = 5.0
"""Who has sent nothing for so long holds the device no more."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Who sends a device its pictures, by a name for people too, and until when nobody else may."""

    holder: str
    name: str
    until: float


class CameraHolds:
    """Remembers one hold for each device; the devices' number is bounded by who asks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._holds: dict[str, Hold] = {}

    def take(self, device: str, holder: str, name: str) -> Hold:
        """Hold `device` for another while, unless somebody else does; returns the hold that there is then."""
        now = self._clock()
        hold = self._holds.get(device)
        if hold is None or hold.holder == holder or now >= hold.until:
            hold = self._holds[device] = Hold(holder, name, now + HOLD_S)
        return hold
