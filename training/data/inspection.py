"""What is in a data set, to be seen before training on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from shared.emotions import EMOTIONS
from training.data.faces import BOUND_BY, NUM_CLASSES, SIDE, USAGES, DataError, Faces, pixel_hashes
from training.data.ferplus import ferplus_majority

_MARGIN: Final = 72
_REASONS: Final = 20


def class_counts(faces: Faces) -> dict[str, dict[str, int]]:
    """Faces per usage and class."""
    return {
        usage: {
            name: int(np.count_nonzero((faces.usage == usage) & (faces.labels == label)))
            for label, name in enumerate(EMOTIONS)
        }
        for usage in USAGES
        if (faces.usage == usage).any()
    }


def class_balance(labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Share of each class, and how often the largest holds the smallest that has any face."""
    counts = np.bincount(labels, minlength=NUM_CLASSES)
    return {
        "share": {name: round(float(count / counts.sum()), 4) for name, count in zip(EMOTIONS, counts, strict=True)},
        "largest_to_smallest": round(float(counts.max() / counts[counts > 0].min()), 1),
        "missing": [name for name, count in zip(EMOTIONS, counts, strict=True) if not count],
    }


def exact_copies(faces: Faces) -> dict[str, Any]:
    """Groups of faces with the same pixels; those with different labels one by one."""
    _, group, sizes = np.unique(pixel_hashes(faces), return_inverse=True, return_counts=True)
    rows_of = np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])
    repeated = [rows for rows in rows_of if len(rows) > 1]
    across = sum(len(np.unique(faces.usage[rows])) > 1 for rows in repeated)
    conflicting = [rows for rows in repeated if len(np.unique(faces.labels[rows])) > 1]
    return {
        "groups": len(repeated),
        "rows": sum(map(len, repeated)),
        "groups_across_usages": across,
        "groups_with_different_labels": len(conflicting),
        "different_labels": [
            [
                {"at": faces.where(row), "label": EMOTIONS[faces.labels[row]], "usage": str(faces.usage[row])}
                for row in rows.tolist()
            ]
            for rows in sorted(conflicting, key=lambda rows: int(rows[0]))
        ],
    }


def group_labels(faces: Faces) -> dict[str, dict[str, int]]:
    """Of each group label: how many values, how many faces without one, how many values in more than one usage."""
    found = {}
    for name, values in faces.groups.items():
        pairs = {(value, usage) for value, usage in zip(values.tolist(), faces.usage.tolist(), strict=True) if value}
        usages = Counter(value for value, _ in pairs)
        found[name] = {
            "values": len(usages),
            "faces_without": int(np.count_nonzero(values == "")),
            "values_across_usages": sum(count > 1 for count in usages.values()),
        }
    return found


def ferplus_agreement(faces: Faces, votes: npt.NDArray[np.float32]) -> dict[str, Any]:
    """How often the majority of the ``(N, 10)`` FER+ votes is the label, in all and by label."""
    majority = ferplus_majority(votes)
    has_one = majority >= 0
    agree = majority == faces.labels

    def share(rows: npt.NDArray[np.bool_]) -> float | None:
        return round(float(agree[rows].mean()), 4) if rows.any() else None

    return {
        "faces_with_majority": int(has_one.sum()),
        "faces_without": int((~has_one).sum()),
        "agreement": share(has_one),
        "by_label": {name: share(has_one & (faces.labels == label)) for label, name in enumerate(EMOTIONS)},
    }


def inspect(faces: Faces, votes: npt.NDArray[np.float32] | None) -> dict[str, Any]:
    """Everything that is told of a data set, ready for JSON."""
    report: dict[str, Any] = {
        "faces": len(faces),
        "usages": class_counts(faces),
        "balance": class_balance(faces.labels),
        "exact_copies": exact_copies(faces),
        "group_labels": group_labels(faces),
        "bad_rows": {
            "count": len(faces.bad_rows),
            "reasons": dict(Counter(bad.reason for bad in faces.bad_rows).most_common()),
            "rows": [{"at": bad.where, "reason": bad.reason} for bad in faces.bad_rows],
        },
    }
    if votes is not None:
        report["ferplus"] = ferplus_agreement(faces, votes)
    return report


def as_text(report: dict[str, Any]) -> str:
    """The report for reading."""
    lines = ["usage" + " " * 8 + "".join(f"{name:>10}" for name in EMOTIONS) + f"{'all':>10}"]
    for usage, counts in report["usages"].items():
        lines.append(f"{usage:<13}" + "".join(f"{count:>10}" for count in [*counts.values(), sum(counts.values())]))
    balance, copies, bad = report["balance"], report["exact_copies"], report["bad_rows"]
    lines.append(f"{'share':<13}" + "".join(f"{100 * share:>9.1f}%" for share in balance["share"].values()))
    lines.append(
        f"class balance: the largest class has {balance['largest_to_smallest']} times the faces of the smallest"
    )
    if balance["missing"]:
        lines.append(f"classes without any face: {', '.join(balance['missing'])}")
    lines.append(
        f"exact copies: {copies['groups']} groups of {copies['rows']} rows; {copies['groups_across_usages']} of them "
        f"across usages, {copies['groups_with_different_labels']} with different labels"
    )
    for name, found in report["group_labels"].items():
        warning = ""
        if name in BOUND_BY and found["values_across_usages"]:
            warning = "; Training rows of these are not trained on"
        lines.append(
            f"{name}: {found['values']} different, {found['values_across_usages']} of them in more than one usage"
            f"{warning}; {found['faces_without']} faces without"
        )
    if "ferplus" in report:
        votes = report["ferplus"]
        shares = ", ".join(
            f"{name} {100 * share:.0f}%" for name, share in votes["by_label"].items() if share is not None
        )
        overall = "-" if votes["agreement"] is None else f"{100 * votes['agreement']:.1f}%"
        lines.append(
            f"FER+: its majority is the label for {overall} of the {votes['faces_with_majority']} faces that have a "
            f"majority ({shares}); {votes['faces_without']} have none"
        )
    lines.append(f"rows that cannot be used: {bad['count']}")
    first = {row["reason"]: row["at"] for row in reversed(bad["rows"])}
    reasons = list(bad["reasons"].items())
    lines += [f"  {count} x {reason}, first in {first[reason]}" for reason, count in reasons[:_REASONS]]
    if len(reasons) > _REASONS:
        lines.append(f"  and {len(reasons) - _REASONS} more reasons, all in --json")
    return "\n".join(lines)


def contact_sheet(faces: Faces, columns: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """``(7 * 48, columns * 48)`` grey picture: a row of random faces of each class, in FER2013's order."""
    sheet = np.zeros((NUM_CLASSES * SIDE, columns * SIDE), np.uint8)
    for label in range(NUM_CLASSES):
        rows = random.permutation(np.flatnonzero(faces.labels == label))[:columns]
        for column, row in enumerate(rows):
            sheet[label * SIDE : (label + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = faces.pixels[row]
    return sheet


def write_sheet(sheet: npt.NDArray[np.uint8], path: Path) -> None:
    """Write a contact sheet with the names of the classes beside its rows; the ending of ``path`` says the format.

    Raises:
        DataError: if it says none.
    """
    if path.suffix.lower() not in Image.registered_extensions():
        raise DataError(f"{path} has the ending of no picture format; name it with .png.")
    picture = Image.new("L", (sheet.shape[1] + _MARGIN, sheet.shape[0]), 255)
    picture.paste(Image.fromarray(sheet), (_MARGIN, 0))
    pen = ImageDraw.Draw(picture)
    for label, name in enumerate(EMOTIONS):
        pen.text((6, label * SIDE + SIDE // 2), name, fill=0, anchor="lm", font_size=14)
    picture.save(path)
