"""How hot the device is, as Linux tells it."""

import contextlib
from pathlib import Path
from typing import Final

ZONES: Final = Path("/sys/class/thermal")
_FIXED: Final = ("PMIC-Die",)
"""Zones whose reading never changes: a Jetson Nano's power chip says 100 °C for ever."""
_BELIEVABLE_C: Final = (-40.0, 150.0)
"""A part that is switched off says -256 °C, or nothing."""


def hottest_c(zones: Path) -> float | None:
    """The temperature of the hottest part, in °C; None where the system tells of none.

    Each zone's file `temp` holds thousandths of a degree (Linux kernel documentation, Generic Thermal Sysfs driver).
    Blocks for as long as the sensors take to answer.
    """
    lowest, highest = _BELIEVABLE_C
    found = []
    for zone in zones.glob("thermal_zone*"):
        with contextlib.suppress(OSError, ValueError):  # a part that is switched off has no temperature
            if (zone / "type").read_text().strip() in _FIXED:
                continue
            celsius = int((zone / "temp").read_text()) / 1000
            if lowest < celsius < highest:
                found.append(celsius)
    return max(found, default=None)
