"""What may make a model that learns from a choice of faces worse than it looks, in words. Pure."""

from collections.abc import Mapping
from typing import Final

from services.web.datasets.schemas import Caution, SplitCounts, Summary

SMALL_CLASS: Final = 50
IMBALANCE: Final = 3
LOW_AGREEMENT: Final = 0.7
SHARE_OFF: Final = 0.1


def warnings_of(
    summary: Summary, shares: Mapping[str, int], labels: tuple[str, ...], labellers: int | None
) -> list[Caution]:
    """All that is to be said of a choice.

    Args:
        summary: its counts, whose own warnings are not looked at.
        shares: per cent that each split was to have.
        labels: those that were to be taken.
        labellers: how many voted on it; None where that is not known yet.
    """
    if not summary.items:
        return [
            Caution(
                kind="nothing",
                text="No face fits this choice.",
                next_step="Label faces first, keep pictures on the device, or choose less strictly.",
            )
        ]
    return [
        *_of_classes(summary, labels),
        *_of_splits(summary, shares),
        *_of_labels(summary, labellers),
    ]


def _of_classes(summary: Summary, labels: tuple[str, ...]) -> list[Caution]:
    counts = {label: summary.labels.get(label, 0) for label in labels}
    found: list[Caution] = []
    missing = [label for label, count in counts.items() if not count]
    if missing:
        text = f"No face is labelled {_listed(missing)}."
        found.append(Caution(kind="class_missing", text=text, next_step="Label some, or do not take the label."))
    small = [f"{label} ({count})" for label, count in counts.items() if 0 < count < SMALL_CLASS]
    if small:
        text = f"Fewer than {SMALL_CLASS} faces: {_listed(small)}."
        found.append(Caution(kind="class_small", text=text, next_step="Label more of them: so few teach little."))
    present = {label: count for label, count in counts.items() if count}
    most, least = max(present, key=lambda name: present[name]), min(present, key=lambda name: present[name])
    if present[most] > IMBALANCE * present[least]:
        text = (
            f"{most} has {present[most]:,} faces and {least} {present[least]:,}: more than {IMBALANCE} times as many."
        )
        step = f"Label more faces that look {least}; a model learns to say what is frequent."
        found.append(Caution(kind="imbalance", text=text, next_step=step))
    return found


def _of_splits(summary: Summary, shares: Mapping[str, int]) -> list[Caution]:
    found: list[Caution] = []
    wanted = {split: share for split, share in shares.items() if share}
    empty = [split for split in wanted if not summary.splits[split].items]
    if empty:
        text = (
            f"{summary.persons} {'person is' if summary.persons == 1 else 'persons are'} too few to be dealt out: "
            f"{_listed(empty)} would be empty, since nobody, and no session, may stand in two splits."
        )
        step = "Record more people, name participants by sessions, or set that split to 0."
        found.append(Caution(kind="few_persons", text=text, next_step=step))
    off = [
        f"{split} {100 * _share(summary, split):.0f}% instead of {share}%"
        for split, share in wanted.items()
        if summary.splits[split].items and abs(_share(summary, split) - share / 100) > SHARE_OFF
    ]
    if off and not empty:
        text = f"The shares cannot be met with people kept whole: {_listed(off)}."
        step = "Record more people, or accept it: it is better than the same face on both sides."
        found.append(Caution(kind="shares_off", text=text, next_step=step))
    lacking = [
        f"{split} has no {_listed(_absent(summary, summary.splits[split]))}"
        for split in wanted
        if summary.splits[split].items and _absent(summary, summary.splits[split])
    ]
    if lacking:
        step = "Record and label these of more people, or try another seed."
        found.append(Caution(kind="split_lacks_class", text=f"{'; '.join(lacking)}.".capitalize(), next_step=step))
    return found


def _of_labels(summary: Summary, labellers: int | None) -> list[Caution]:
    found: list[Caution] = []
    if summary.pseudo_labels:
        labelled = "1 face is" if summary.pseudo_labels == 1 else f"{summary.pseudo_labels:,} faces are"
        text = (
            f"{labelled} labelled by the model alone. A model that learns from them learns its own mistakes, and "
            "measured on them it looks better than it is."
        )
        found.append(Caution(kind="pseudo_labels", text=text, next_step="Never test on them; have people label some."))
    if labellers == 1:
        text = "One person gave all labels."
        step = "Have others label some of the same faces, to see how far people agree."
        found.append(Caution(kind="few_labellers", text=text, next_step=step))
    if summary.agreement is not None and summary.agreement < LOW_AGREEMENT:
        text = f"Labellers agree on {100 * summary.agreement:.0f}% of their votes on average."
        found.append(Caution(kind="low_agreement", text=text, next_step="Ask for more agreement, or for more votes."))
    return found


def _share(summary: Summary, split: str) -> float:
    return summary.splits[split].items / summary.items


def _absent(summary: Summary, split: SplitCounts) -> list[str]:
    return [label for label, count in summary.labels.items() if count and not split.labels.get(label)]


def _listed(words: list[str]) -> str:
    return ", ".join(words)
