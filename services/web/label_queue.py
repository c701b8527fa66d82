"""In which order faces are shown to a labeller. Pure.

First those from which most is learnt: the model is unsure (uncertainty sampling, Lewis and Gale 1994, doi
10.1007/978-1-4471-2099-5_1) or people voted differently. Every tenth place goes to a face that was drawn at random,
so that what is labelled also says something of the rest. The order is the same whenever a labeller asks on a day, so
that what was fetched ahead stays right; another labeller has another random share.
"""

import hashlib
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

RANDOM_EVERY: Final = 10
"""One face in ten is drawn at random."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face that can be asked about."""

    event_id: UUID
    face_index: int
    probabilities: Sequence[float]
    votes: Sequence[int]
    """What others said: how many votes each label has."""
    person: Hashable
    """The track that it belongs to: faces of one look alike."""


def _entropy(shares: Iterable[float]) -> float:
    return -math.fsum(share * math.log(share) for share in shares if share > 0)


def uncertainty(probabilities: Sequence[float]) -> float:
    """From 0, sure, to 1: the mean of the normalised entropy and of how near the second word is to the first."""
    total = math.fsum(probabilities)
    if total <= 0:
        return 1.0
    shares = sorted((p / total for p in probabilities), reverse=True)
    margin = shares[0] - shares[1]
    return (_entropy(shares) / math.log(len(shares)) + 1.0 - margin) / 2


def disagreement(votes: Sequence[int]) -> float:
    """From 0, all agree or nobody voted, to 1: the entropy of the votes against that of as many different ones."""
    total = sum(votes)
    if total < 2:
        return 0.0
    return _entropy(n / total for n in votes) / math.log(min(total, len(votes)))


def usefulness(candidate: Candidate) -> float:
    """From 0 to 1; what people dispute comes before what only the model is unsure of."""
    disputed = disagreement(candidate.votes)
    return 0.5 + disputed / 2 if disputed > 0 else uncertainty(candidate.probabilities) / 2


def _drawn(candidate: Candidate, labeller: str, day: date) -> bytes:
    text = f"{labeller}\0{day.isoformat()}\0{candidate.event_id}\0{candidate.face_index}"
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _spread(candidates: list[Candidate]) -> list[Candidate]:
    """The best of each person first, then the second best, and so on: neighbouring frames say the same."""
    seen: dict[Hashable, int] = {}
    rounds: list[tuple[int, int, Candidate]] = []
    for place, candidate in enumerate(candidates):
        turn = seen[candidate.person] = seen.get(candidate.person, -1) + 1
        rounds.append((turn, place, candidate))
    return [candidate for _, _, candidate in sorted(rounds, key=lambda entry: entry[:2])]


def ordered(candidates: Iterable[Candidate], labeller: str, day: date, voted: int, limit: int) -> list[Candidate]:
    """The next faces for a labeller, best first.

    Args:
        candidates: faces that they have not voted on.
        labeller: whose queue it is.
        day: of the order; each day draws another random share.
        voted: how many votes they gave on that day, so that every tenth of all that they see is a random one.
        limit: how many are wanted.
    """
    drawn = sorted(candidates, key=lambda candidate: _drawn(candidate, labeller, day))
    useful = _spread(sorted(drawn, key=usefulness, reverse=True))
    taken: set[tuple[UUID, int]] = set()
    chosen: list[Candidate] = []
    by_use, by_lot = iter(useful), iter(drawn)
    while len(chosen) < min(limit, len(drawn)):
        at_random = (voted + len(chosen)) % RANDOM_EVERY == RANDOM_EVERY - 1
        for candidate in by_lot if at_random else by_use:
            key = (candidate.event_id, candidate.face_index)
            if key not in taken:
                taken.add(key)
                chosen.append(candidate)
                break
    return chosen
