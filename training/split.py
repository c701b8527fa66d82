"""Splitting so that no picture, not even a copy of it, stands on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data import NUM_CLASSES, DataError, Faces, pixel_hashes


@dataclass(frozen=True)
class Split:
    """Row numbers into the faces that were split; ``leaked`` are Training rows left out because a test set has them."""

    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    leaked: npt.NDArray[np.int64]
    duplicate_groups: int
    duplicate_rows: int
    conflicting_groups: int


def split_training(faces: Faces, fraction: float, seed: int) -> Split:
    """Divide the Training rows into a part to learn from and a held-out part for monitoring and temperature.

    Exact duplicates always stay together, each class gives about the same fraction, and Training rows whose pixels
    also occur in PublicTest or PrivateTest are used on neither side.

    Args:
        faces: all rows of the file.
        fraction: share of each class to hold out, above 0 and at most 0.5.
        seed: of the shuffle; the same seed gives the same split.

    Raises:
        DataError: if the fraction is out of range or there are no Training rows.
    """
    if not 0.0 < fraction <= 0.5:
        raise DataError(f"the held-out fraction is {fraction}; it has to be above 0 and at most 0.5.")
    hashes = pixel_hashes(faces)
    in_training = faces.usage == "Training"
    if not in_training.any():
        raise DataError("the data has no Training rows, so there is nothing to learn from.")
    leaked_mask = in_training & np.isin(hashes, hashes[~in_training])
    rows = np.flatnonzero(in_training & ~leaked_mask)
    _, first, group = np.unique(hashes[rows], return_index=True, return_inverse=True)
    sizes = np.bincount(group)
    group_label = faces.labels[rows][first]
    conflicting = np.zeros(len(sizes), dtype=bool)
    np.logical_or.at(conflicting, group, faces.labels[rows] != group_label[group])

    random = np.random.default_rng(seed)
    held_groups = np.zeros(len(sizes), dtype=bool)
    for label in range(NUM_CLASSES):
        members = random.permutation(np.flatnonzero(group_label == label))
        wanted = round(fraction * sizes[members].sum())
        held_groups[members[np.cumsum(sizes[members]) <= wanted]] = True
    held = held_groups[group]
    return Split(
        train=rows[~held],
        held_out=rows[held],
        leaked=np.flatnonzero(leaked_mask),
        duplicate_groups=int((sizes > 1).sum()),
        duplicate_rows=int(sizes[sizes > 1].sum()),
        conflicting_groups=int(conflicting.sum()),
    )
