"""Splitting so that no picture, not even a copy of it, and no person stands on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data import BOUND_BY, NUM_CLASSES, DataError, Faces, linked_rows, pixel_hashes


@dataclass(frozen=True)
class Split:
    """Row numbers into the faces that were split.

    ``leaked`` are Training rows left out because a test row is a copy of them, or of the same person or session.
    """

    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    leaked: npt.NDArray[np.int64]
    duplicate_groups: int
    duplicate_rows: int
    conflicting_groups: int


def split_training(faces: Faces, fraction: float, seed: int) -> Split:
    """Divide the Training rows into a part to learn from and a held-out part for monitoring and temperature.

    Exact duplicates always stay together, and so do the faces of a person or session where the data name them. Each
    class gives about the same fraction. Training rows of which PublicTest or PrivateTest has a copy, or the person or
    session, are used on neither side.

    Args:
        faces: all rows of the file.
        fraction: share of each class to hold out, above 0 and at most 0.5.
        seed: of the shuffle; the same seed gives the same split.

    Raises:
        DataError: if the fraction is out of range, there are no Training rows, or they cannot be divided without
            dividing a person or session.
    """
    if not 0.0 < fraction <= 0.5:
        raise DataError(f"the held-out fraction is {fraction}; it has to be above 0 and at most 0.5.")
    hashes = pixel_hashes(faces)
    in_training = faces.usage == "Training"
    if not in_training.any():
        raise DataError("the data has no Training rows, so there is nothing to learn from.")
    linked = linked_rows(faces, hashes)
    leaked_mask = in_training & np.isin(linked, linked[~in_training])
    rows = np.flatnonzero(in_training & ~leaked_mask)
    _, first, group = np.unique(hashes[rows], return_index=True, return_inverse=True)
    sizes = np.bincount(group)
    conflicting = np.zeros(len(sizes), dtype=bool)
    np.logical_or.at(conflicting, group, faces.labels[rows] != faces.labels[rows][first][group])

    random = np.random.default_rng(seed)
    named = np.zeros(len(faces), dtype=bool)
    for name in BOUND_BY:
        if name in faces.groups:
            named |= faces.groups[name] != ""
    bound = np.isin(linked, linked[named])[rows]
    held = np.zeros(len(rows), dtype=bool)
    held[~bound] = _hold_out_copies(faces.labels[rows[~bound]], hashes[rows[~bound]], fraction, random)
    held[bound] = _hold_out_people(faces.labels[rows[bound]], linked[rows[bound]], fraction, random)
    if bound.any() and (held.all() or not held.any()):
        raise DataError(
            f"the {len(rows)} Training faces that no test row excludes are of one {' or '.join(BOUND_BY)}; "
            "expected at least two, so that one can be held out. Add faces of others."
        )
    return Split(
        train=rows[~held],
        held_out=rows[held],
        leaked=np.flatnonzero(leaked_mask),
        duplicate_groups=int((sizes > 1).sum()),
        duplicate_rows=int(sizes[sizes > 1].sum()),
        conflicting_groups=int(conflicting.sum()),
    )


def _hold_out_copies(
    labels: npt.NDArray[np.int64], hashes: npt.NDArray[np.str_], fraction: float, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """``(N,)`` which rows to hold out: of each class as much as fits, copies together."""
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    sizes = np.bincount(group, minlength=len(first))
    held = np.zeros(len(first), dtype=bool)
    for label in range(NUM_CLASSES):
        members = random.permutation(np.flatnonzero(labels[first] == label))
        wanted = round(fraction * sizes[members].sum())
        held[members[np.cumsum(sizes[members]) <= wanted]] = True
    chosen: npt.NDArray[np.bool_] = held[group]
    return chosen


def _hold_out_people(
    labels: npt.NDArray[np.int64], people: npt.NDArray[np.int64], fraction: float, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """``(N,)`` which rows to hold out, whole people only; at least one of several.

    In random order, each joins who brings the faces per class nearer to the fraction. If none does, the one does who
    is nearest to it.
    """
    names, person = np.unique(people, return_inverse=True)
    counts = np.zeros((len(names), NUM_CLASSES))
    np.add.at(counts, (person, labels), 1)
    missing = fraction * counts.sum(axis=0)
    held = np.zeros(len(names), dtype=bool)
    for number in random.permutation(len(names)):
        if np.linalg.norm(missing - counts[number]) < np.linalg.norm(missing):
            held[number] = True
            missing = missing - counts[number]
    if not held.any() and len(names) > 1:
        held[np.linalg.norm(missing - counts, axis=1).argmin()] = True
    chosen: npt.NDArray[np.bool_] = held[person]
    return chosen
