"""What became of everything that was promised. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from services.classifier.outbox_file import Kind
from tests.chaos.ledger import Promises


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one run. `evicted` committed pictures gave way to newer items on a full disk, counted by the outbox itself."""

    committed: int
    lost: int
    twice: int
    dead: int
    evicted: int
    strangers: int
    """Ids in the database that no producer ever made."""


def judge(promises: Promises, stored: Iterable[UUID], dead: Iterable[UUID], evicted: int) -> Verdict:
    """Compare what was promised with what is in the database.

    Args:
        promises: what the ledger says.
        stored: the id of every row of detections and frames, as often as it is there.
        dead: the ids of dead letters.
        evicted: how many committed pictures the outbox says it gave up for want of space. So many pictures, and no
            detection, may be missing.
    """
    times = Counter(stored)
    buried = set(dead)
    arrived = times.keys() | buried
    missing = {kind: len(promises.kept[kind] - arrived) for kind in Kind}
    late = sum(len(promises.open[kind] & arrived) for kind in Kind)
    return Verdict(
        committed=sum(map(len, promises.kept.values())) + late,
        lost=missing[Kind.DETECTION] + max(0, missing[Kind.FRAME] - evicted),
        twice=sum(1 for count in times.values() if count > 1),
        dead=len(buried & promises.made),
        evicted=min(evicted, missing[Kind.FRAME]),
        strangers=len(times.keys() - promises.made),
    )
