"""Is this machine's clock right? Compared with whoever tells the time, and with what the kernel knows."""

import ctypes
import http.client
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from services.doctor.findings import Finding, ok, problem, skipped, warning

_TIMEOUT_S: Final = 3.0
_NOTICED: Final = timedelta(seconds=5)
"""More than what an HTTP date (whole seconds) and a slow link explain."""
_HARMFUL: Final = timedelta(seconds=60)
_SET: Final = "sudo timedatectl set-ntp true && timedatectl   # on the machine itself, not in a container"
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 1024
"""More than struct timex has on any machine."""


def compared(here: datetime, there: datetime, who: str) -> Finding:
    """What it means that `who` has another time."""
    off = here - there
    if abs(off) <= _NOTICED:
        return ok(f"agrees with {who}")
    text = f"{_duration(abs(off))} {'ahead of' if off > timedelta(0) else 'behind'} {who}"
    cause = f"Here it is {here:%Y-%m-%d %H:%M:%S} UTC, there {there:%Y-%m-%d %H:%M:%S} UTC. "
    if abs(off) > _HARMFUL:
        return problem(text, cause + "Certificates are refused and records get the wrong time.", _SET)
    return warning(text, cause + "Records are off by so much.", _SET)


def _duration(off: timedelta) -> str:
    seconds = round(off.total_seconds())
    for size, word in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word}"
    return f"{seconds} s"


def http_time(host: str, port: int = 80) -> datetime | None:
    """The time of the web server at `host`; None where none answers with a date."""
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("HEAD", "/")
        told = connection.getresponse().getheader("Date")
        return parsedate_to_datetime(told).astimezone(UTC) if told else None
    except (OSError, http.client.HTTPException, ValueError):
        return None  # most brokers have no web server beside them: this is one way of several
    finally:
        connection.close()


def kernel_says_set() -> bool | None:
    """Whether the kernel takes its clock for set by NTP; None where it cannot be asked. Changes nothing (modes 0)."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def look(host: str | None) -> Iterator[Finding]:
    """Compare with the web server beside the cloud's broker, where there is one; else ask the kernel.

    The database is asked where it is checked.
    """
    there = http_time(host) if host is not None else None
    if host is not None and there is not None:
        yield compared(datetime.now(UTC), there, f"the web server at {host}")
        return
    is_set = kernel_says_set()
    if is_set is None:
        yield skipped("nobody to compare with")
    elif is_set:
        yield ok("set by a time server, as the kernel says")
    else:
        cause = "The kernel knows of no time server that sets it (a virtual machine's host may do so)."
        yield warning("not known to be right", cause, _SET)
