"""Memory and processor: what this container, or machine, gives and how near its end that is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.doctor.findings import Finding, ok, skipped, warning

_MB: Final = 1024 * 1024
_NEARLY_ALL: Final = 0.9
_LEAST_FREE: Final = 100 * _MB
_LEAST_CPUS: Final = 0.5
_OFTEN: Final = 0.25
_UNLIMITED: Final = 2**60
"""What version 1 of cgroups says where there is no limit is a number above this."""
_MORE_MEMORY: Final = "docker compose up -d   # after raising mem_limit of this service in the Compose file"
_MORE_CPU: Final = "docker compose up -d   # after raising cpus of this service in the Compose file"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel says; None where it does not.

    Attributes:
        memory: bytes that this group of processes may use.
        used: bytes that it uses, without what could be given back at once.
        killed: times that the kernel killed one of it for want of memory.
        available: bytes free on the whole machine.
        cpus: processors' worth of time that it may use.
        throttled: share of periods in which it was made to wait for that.
    """

    memory: int | None
    used: int | None
    killed: int
    available: int | None
    cpus: float | None
    throttled: float


def verdict(limits: Limits) -> Iterator[Finding]:
    """What that means."""
    if limits.killed:
        cause = f"The kernel ended a process of this container {limits.killed} times since it was started."
        yield warning("it ran out of memory", cause, _MORE_MEMORY)
    if limits.memory is not None and limits.used is not None:
        told = f"{limits.used // _MB} of {limits.memory // _MB} MB of memory used"
        if limits.used > _NEARLY_ALL * limits.memory:
            yield warning(told, "At the limit the kernel ends the service; it is started again.", _MORE_MEMORY)
        else:
            yield ok(told)
    if limits.available is not None:
        told = f"{limits.available // _MB} MB of memory free on the machine"
        if limits.available < _LEAST_FREE:
            yield warning(told, "Other programs use nearly all of it.", "ps aux --sort=-rss | head")
        else:
            yield ok(told)
    elif limits.memory is None:
        yield skipped("this system does not tell of its memory")
    if limits.cpus is not None and limits.cpus < _LEAST_CPUS:
        yield warning(f"{limits.cpus:g} of a processor allowed", "Faces are read late or not at all.", _MORE_CPU)
    elif limits.throttled > _OFTEN:
        cause = f"It had to wait in {limits.throttled:.0%} of the time slices."
        yield warning("the processor's limit slows it", cause, _MORE_CPU)
    elif limits.cpus is not None:
        yield ok(f"{limits.cpus:g} processors allowed")


def facts(groups: Path = Path("/sys/fs/cgroup"), memory: Path = Path("/proc/meminfo")) -> Limits:
    """Read them, from cgroups of version 2, or of version 1 (JetPack 4)."""
    second = (groups / "cgroup.controllers").exists()
    if second:
        limit, used = _number(groups / "memory.max"), _number(groups / "memory.current")
        idle = _fields(groups / "memory.stat").get("inactive_file", 0)
        killed = _fields(groups / "memory.events").get("oom_kill", 0)
        cpus = _quota((_text(groups / "cpu.max") or "").split())
        stat = _fields(groups / "cpu.stat")
    else:
        limit = _number(groups / "memory/memory.limit_in_bytes")
        used = _number(groups / "memory/memory.usage_in_bytes")
        idle = _fields(groups / "memory/memory.stat").get("total_inactive_file", 0)
        killed = _fields(groups / "memory/memory.oom_control").get("oom_kill", 0)
        cpus = _quota([_text(groups / f"cpu/cpu.cfs_{which}_us") or "" for which in ("quota", "period")])
        stat = _fields(groups / "cpu/cpu.stat")
    limited = limit is not None and limit < _UNLIMITED
    available = _fields(memory).get("MemAvailable:")
    periods = stat.get("nr_periods", 0)
    return Limits(
        memory=limit if limited else None,
        used=max(0, used - idle) if limited and used is not None else None,
        killed=killed,
        available=available * 1024 if available is not None else None,
        cpus=cpus,
        throttled=stat.get("nr_throttled", 0) / periods if periods else 0.0,
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:  # no such controller here
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    parts = [line.split() for line in (_text(path) or "").splitlines()]
    return {part[0]: int(part[1]) for part in parts if len(part) > 1 and part[1].isdecimal()}


def _quota(parts: list[str]) -> float | None:
    if len(parts) == 2 and all(part.isdecimal() for part in parts) and int(parts[1]) > 0:
        return int(parts[0]) / int(parts[1])
    return None


def look() -> Iterator[Finding]:
    """Look at the limits."""
    yield from verdict(facts())
