"""Look at a data set before training on it: ``python -m training.inspect --data fer2013.csv.xz --sheet faces.png``."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS
from training.data import NUM_CLASSES, SIDE, USAGES, DataError, Faces, pixel_hashes, read_fer2013


def summary(faces: Faces) -> str:
    """Rows per usage and class, exact copies, and what could not be used, for reading."""
    lines = ["usage" + " " * 8 + "".join(f"{name:>10}" for name in EMOTIONS) + f"{'all':>10}"]
    for usage in USAGES:
        counts = np.bincount(faces.labels[faces.usage == usage], minlength=NUM_CLASSES)
        if counts.sum():
            lines.append(f"{usage:<13}" + "".join(f"{count:>10}" for count in [*counts, counts.sum()]))
    hashes = pixel_hashes(faces)
    _, group = np.unique(hashes, return_inverse=True)
    sizes = np.bincount(group)
    across = sum(len(set(faces.usage[group == g].tolist())) > 1 for g in np.flatnonzero(sizes > 1))
    conflicting = sum(len(set(faces.labels[group == g].tolist())) > 1 for g in np.flatnonzero(sizes > 1))
    lines.append(
        f"exact copies: {(sizes > 1).sum()} groups of {sizes[sizes > 1].sum()} rows; "
        f"{across} of them across usages, {conflicting} with different labels"
    )
    lines.append(f"rows that cannot be used: {len(faces.bad_rows)}")
    reasons = Counter(bad.reason for bad in faces.bad_rows)
    first = {bad.reason: bad.line for bad in reversed(faces.bad_rows)}
    lines += [f"  {count} x {reason}, first in line {first[reason]}" for reason, count in reasons.most_common(20)]
    return "\n".join(lines)


def contact_sheet(faces: Faces, columns: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """``(7 * 48, columns * 48)`` grey picture: a row of random faces of each class, in FER2013's order."""
    sheet = np.zeros((NUM_CLASSES * SIDE, columns * SIDE), np.uint8)
    for label in range(NUM_CLASSES):
        rows = random.permutation(np.flatnonzero(faces.labels == label))[:columns]
        for column, row in enumerate(rows):
            sheet[label * SIDE : (label + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = faces.pixels[row]
    return sheet


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.inspect", description="Look at a data set.")
    parser.add_argument("--data", type=Path, required=True, help="FER2013's CSV, plain, .gz or .xz")
    parser.add_argument("--sheet", type=Path, help="PNG to write: random faces, a row per class")
    parser.add_argument("--columns", type=int, default=24, help="faces per class on the sheet (default 24)")
    parser.add_argument("--seed", type=int, default=0, help="of their choice")
    arguments = parser.parse_args(argv)
    try:
        faces = read_fer2013(arguments.data)
        print(summary(faces))
        if arguments.sheet is not None:
            from PIL import Image

            sheet = contact_sheet(faces, arguments.columns, np.random.default_rng(arguments.seed))
            Image.fromarray(sheet).save(arguments.sheet)
            print(arguments.sheet)
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
