"""What goes wrong in a run, and when. Pure: the same seed gives the same faults."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Target(StrEnum):
    """What a fault happens to. Faults of one target come one after the other, those of several may overlap."""

    PRODUCER = "producer"
    BROKER = "broker"
    INGEST = "ingest"
    POSTGRES = "Postgres"
    LINK = "link"
    OUTBOX_DISK = "outbox's disk"
    BROKER_DISK = "broker's disk"
    POSTGRES_DISK = "Postgres's disk"
    MESSAGES = "messages"
    PRODUCER_CLOCK = "producer's clock"
    INGEST_CLOCK = "ingest's clock"


class Fault(StrEnum):
    """Every kind of fault that the harness knows."""

    PRODUCER_KILLED = "producer killed (-9)"
    BROKER_KILLED = "broker killed (-9)"
    INGEST_KILLED = "ingest killed (-9)"
    POSTGRES_KILLED = "Postgres killed (-9)"
    PRODUCER_STOPPED = "producer stopped (SIGSTOP)"
    BROKER_STOPPED = "broker stopped (SIGSTOP)"
    INGEST_STOPPED = "ingest stopped (SIGSTOP)"
    POSTGRES_STOPPED = "Postgres stopped (SIGSTOP)"
    LINK_CUT = "link cut"
    LINK_SLOW = "link slow"
    LINK_HALF_OPEN = "link half-open"
    OUTBOX_DISK_FULL = "disk full under the outbox"
    BROKER_DISK_FULL = "disk full under the broker"
    POSTGRES_DISK_FULL = "disk full under Postgres"
    DUPLICATES = "messages sent twice"
    REORDERED = "messages sent again in another order"
    POISON = "poison messages"
    PRODUCER_CLOCK_JUMPS = "producer's clock jumps"
    INGEST_CLOCK_JUMPS = "ingest's clock jumps"
    CERTIFICATE_EXPIRES = "broker's certificate expires"


@dataclass(frozen=True, slots=True)
class Nature:
    """Whom a kind of fault strikes, and for how many seconds: at least and at most."""

    target: Target
    least_s: float
    most_s: float


NATURES: Final = {
    Fault.PRODUCER_KILLED: Nature(Target.PRODUCER, 0.0, 2.0),
    Fault.BROKER_KILLED: Nature(Target.BROKER, 0.0, 3.0),
    Fault.INGEST_KILLED: Nature(Target.INGEST, 0.0, 3.0),
    Fault.POSTGRES_KILLED: Nature(Target.POSTGRES, 0.0, 3.0),
    Fault.PRODUCER_STOPPED: Nature(Target.PRODUCER, 0.5, 4.0),
    Fault.BROKER_STOPPED: Nature(Target.BROKER, 0.5, 4.0),
    Fault.INGEST_STOPPED: Nature(Target.INGEST, 0.5, 4.0),
    Fault.POSTGRES_STOPPED: Nature(Target.POSTGRES, 0.5, 4.0),
    Fault.LINK_CUT: Nature(Target.LINK, 0.5, 4.0),
    Fault.LINK_SLOW: Nature(Target.LINK, 1.0, 4.0),
    Fault.LINK_HALF_OPEN: Nature(Target.LINK, 0.5, 3.0),
    Fault.OUTBOX_DISK_FULL: Nature(Target.OUTBOX_DISK, 3.0, 8.0),
    Fault.BROKER_DISK_FULL: Nature(Target.BROKER_DISK, 3.0, 8.0),
    Fault.POSTGRES_DISK_FULL: Nature(Target.POSTGRES_DISK, 3.0, 8.0),
    Fault.DUPLICATES: Nature(Target.MESSAGES, 0.5, 1.5),
    Fault.REORDERED: Nature(Target.MESSAGES, 0.5, 1.5),
    Fault.POISON: Nature(Target.MESSAGES, 0.5, 1.5),
    Fault.PRODUCER_CLOCK_JUMPS: Nature(Target.PRODUCER_CLOCK, 2.0, 5.0),
    Fault.INGEST_CLOCK_JUMPS: Nature(Target.INGEST_CLOCK, 2.0, 5.0),
    Fault.CERTIFICATE_EXPIRES: Nature(Target.BROKER, 3.0, 8.0),
}
NEED_A_SMALL_DISK: Final = frozenset({Fault.OUTBOX_DISK_FULL, Fault.BROKER_DISK_FULL, Fault.POSTGRES_DISK_FULL})
SIGNS: Final = {
    Fault.OUTBOX_DISK_FULL: ("producer", "the outbox cannot grow"),
    Fault.BROKER_DISK_FULL: ("broker", "No space left on device"),
    Fault.POSTGRES_DISK_FULL: ("Postgres", "No space left on device"),
    Fault.POISON: ("ingest", "messages refused"),
    Fault.CERTIFICATE_EXPIRES: ("producer", "certificate has expired"),
}
"""What a program says when such a fault reached it: a disk may be full and nobody wants to write just then."""
_MOST_HOURS: Final = 12.0


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: it begins `at_s` seconds into the run and lasts `for_s`. `hours` is by how much a clock jumps."""

    fault: Fault
    at_s: float
    for_s: float
    hours: float

    @property
    def target(self) -> Target:
        return NATURES[self.fault].target


def plan(seed: int, span_s: float, kinds: Iterable[Fault] = tuple(Fault)) -> list[Planned]:
    """Each of `kinds` once, at random moments within `span_s` seconds, in the order in which they begin."""
    dice = random.Random(seed)
    planned = []
    for fault in kinds:
        nature = NATURES[fault]
        hours = dice.uniform(1.0, _MOST_HOURS) * dice.choice((-1, 1))
        planned.append(Planned(fault, dice.uniform(0, span_s), dice.uniform(nature.least_s, nature.most_s), hours))
    return sorted(planned, key=lambda one: one.at_s)
