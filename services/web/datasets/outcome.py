"""What a choice of faces comes to: copies, splits, counts. Pure; a preview and a build run the same."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.web.datasets import queries
from services.web.datasets.faults import warnings_of
from services.web.datasets.judging import REASONS, Label, judge
from services.web.datasets.likeness import Seen, find_copies
from services.web.datasets.queries import Kind
from services.web.datasets.schemas import SPLITS, DatasetFilter, SplitCounts, SplitPlan, Summary
from services.web.datasets.splitting import Group, deal, linked
from shared.emotions import EMOTIONS

_AGREEMENT_DIGITS: Final = 6
"""As many as the table keeps: 7 of 10 votes are 0.7 before and after they were stored there."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face with a label whose picture was looked at."""

    person: str
    session_id: UUID | None
    label: str
    agreement: float
    voted: bool
    pixels: bytes
    """The same only for the same pixels."""
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a dataset of some faces is. `stay` are the rows of those that are in it, `splits` the split of each."""

    stay: list[int]
    splits: list[str]
    copies: int
    near_copies: int
    summary: Summary
    """Without warnings."""


def reckon(faces: Sequence[Face], plan: SplitPlan, left_out: Mapping[str, int]) -> Outcome:
    """Find copies, leave them out if that was asked for, deal out, and count.

    Args:
        faces: in the order of their keys: of copies the first stays.
        plan: the splits.
        left_out: how many faces were left out before, by reason.
    """
    copies = find_copies(Seen(face.person, face.pixels, face.fingerprint) for face in faces)
    exact = [row != like for row, like in enumerate(copies.exact)]
    near = [not copy and row != like for row, (like, copy) in enumerate(zip(copies.near, exact, strict=True))]
    stay = [row for row in range(len(faces)) if plan.copies == "keep" or not (exact[row] or near[row])]
    rows = [
        _Row(
            faces[row].person,
            faces[row].session_id,
            faces[row].label,
            round(faces[row].agreement, _AGREEMENT_DIGITS),
            faces[row].voted,
            copy_of=copies.exact[row],
        )
        for row in stay
    ]
    splits = _dealt(rows, plan)
    return Outcome(stay, splits, sum(exact), sum(near), _summed(rows, splits, left_out))


def bound(kinds: Sequence[Kind], chosen: DatasetFilter, plan: SplitPlan) -> Summary:
    """The most that a choice gives: counts, splits and warnings as if no face were a copy. Looks at no picture."""
    terms = queries.terms_of(chosen)
    rows: list[_Row] = []
    left_out: Counter[str] = Counter()
    for kind in kinds:
        verdict = judge(kind.votes, kind.guess, terms) if kind.has_picture else "no_picture"
        if isinstance(verdict, Label):
            rows.append(
                _Row(kind.person, kind.session_id, verdict.name, verdict.agreement, bool(kind.votes), kind.count)
            )
        else:
            left_out[verdict] += kind.count
    summary = _summed(rows, _dealt(rows, plan), left_out)
    summary.warnings = warnings_of(summary, plan.shares(), chosen.labels, None)
    return summary


@dataclass(frozen=True, slots=True)
class _Row:
    """A face, or several that are the same in all this, as far as counts and splits need it."""

    person: str
    session_id: UUID | None
    label: str
    agreement: float
    voted: bool
    count: int = 1
    copy_of: int | None = None


def _dealt(rows: Sequence[_Row], plan: SplitPlan) -> list[str]:
    """The split of each row."""
    roots = linked((row.person, row.session_id, row.copy_of) for row in rows)
    groups: dict[int, Group] = {}
    for row, root in zip(rows, roots, strict=True):
        group = groups.setdefault(root, Group(row.person))
        group.key = min(group.key, row.person)
        group.labels[row.label] += row.count
    dealt = deal(groups.values(), plan.shares(), plan.seed)
    return [dealt[groups[root].key] for root in roots]


def _summed(rows: Sequence[_Row], splits: Sequence[str], left_out: Mapping[str, int]) -> Summary:
    labels: Counter[str] = Counter()
    of_split: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    persons: dict[str, set[str]] = {split: set() for split in SPLITS}
    agreement, voted = 0.0, 0
    for row, split in zip(rows, splits, strict=True):
        labels[row.label] += row.count
        of_split[split][row.label] += row.count
        persons[split].add(row.person)
        if row.voted:
            agreement += row.agreement * row.count
            voted += row.count
    total = labels.total()
    return Summary(
        items=total,
        labels={label: labels[label] for label in EMOTIONS},
        persons=sum(len(of_one) for of_one in persons.values()),
        sessions=len({row.session_id for row in rows if row.session_id is not None}),
        pseudo_labels=total - voted,
        agreement=agreement / voted if voted else None,
        left_out={reason: left_out[reason] for reason in REASONS if left_out.get(reason)},
        splits={
            split: SplitCounts(items=of_one.total(), persons=len(persons[split]), labels=dict(of_one))
            for split, of_one in of_split.items()
        },
        warnings=[],
    )
