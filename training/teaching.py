"""The file by which teachers hand on what they see in each face; a run only reads it, and needs no teacher."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from shared.paths import unusable
from training.augment import FloatArray
from training.data import DataError, Faces


def write_teaching(path: Path, faces: Faces, probabilities: FloatArray) -> None:
    """Keep ``(N, 7)`` probabilities of the faces; an earlier file is replaced at once.

    Raises:
        OSError: if the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            lines=faces.lines,
            pixel_sums=faces.pixels.sum(axis=(1, 2), dtype=np.int64),
            probabilities=probabilities,
        )
    partial.replace(path)


def read_teaching(path: Path, faces: Faces) -> FloatArray:
    """``(N, 7)`` probabilities that ``python -m training.teach`` wrote, for the given faces.

    Raises:
        DataError: if the file is missing or damaged, or was made for other faces.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file; make it with: python -m training.teach --out {path}")
    try:
        with np.load(path, allow_pickle=False) as file:
            lines, sums, probabilities = file["lines"], file["pixel_sums"], file["probabilities"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(unusable(path, error, "make it anew with python -m training.teach.")) from error
    at = np.searchsorted(lines, faces.lines)
    found = at < len(lines)
    at = np.minimum(at, len(lines) - 1)
    same = found & (lines[at] == faces.lines) & (sums[at] == faces.pixels.sum(axis=(1, 2), dtype=np.int64))
    if not same.all():
        raise DataError(
            f"{path} was made for other data: the face of line {faces.lines[~same][0]} is not in it. "
            "Make it anew from the file that is trained on."
        )
    taught: FloatArray = probabilities[at]
    return taught
