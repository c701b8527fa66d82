"""From votes to a label, as FER+ takes its majority (Barsoum et al. 2016, arXiv:1608.01041). Pure.

The label is what most labellers said. Where two have the most, or where most said "unknown" or "not a face", the face
is left out; all votes count towards the agreement. FER+'s removal of single votes is not made: it needs ten taggers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from shared.emotions import EMOTIONS

LeftOut = Literal[
    "no_picture", "few_votes", "tie", "unknown", "not_a_face", "low_agreement", "other_label", "unreadable"
]
REASONS: Final[dict[LeftOut, str]] = {
    "no_picture": "its picture was not kept",
    "few_votes": "too few labellers",
    "tie": "two labels have the most votes",
    "unknown": "most labellers said unknown",
    "not_a_face": "most labellers said not a face",
    "low_agreement": "too little agreement",
    "other_label": "a label that is not taken",
    "unreadable": "its picture cannot be read any more",
}


@dataclass(frozen=True, slots=True)
class Label:
    """What a face is called. `agreement` is 0 where the model alone said so."""

    name: str
    agreement: float


@dataclass(frozen=True, slots=True)
class Terms:
    """What a label needs."""

    labels: frozenset[str]
    min_votes: int
    min_agreement: float


def judge(votes: Mapping[str, int], guess: str, terms: Terms) -> Label | LeftOut:
    """The label of a face, or why it has none.

    Args:
        votes: how many labellers said what; empty where nobody did, and then the model's `guess` counts.
        guess: the model's dominant emotion.
        terms: what a label needs.
    """
    if not votes:
        return Label(guess, 0.0) if guess in terms.labels else "other_label"
    total = sum(votes.values())
    if total < terms.min_votes:
        return "few_votes"
    most = max(votes.values())
    winners = [name for name, count in votes.items() if count == most]
    if len(winners) > 1:
        return "tie"
    (winner,) = winners
    if winner not in EMOTIONS:
        return "unknown" if winner == "unknown" else "not_a_face"
    agreement = most / total
    if agreement < terms.min_agreement:
        return "low_agreement"
    return Label(winner, agreement) if winner in terms.labels else "other_label"
