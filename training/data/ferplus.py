"""The FER+ votes (Barsoum et al. 2016, arXiv:1608.01041), which lie row for row beside FER2013's CSV."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS
from shared.paths import unusable
from training.data.faces import DataError, Faces

FERPLUS_COLUMNS: Final = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)

# The first seven columns, as numbers of FER2013's classes.
_AS_FER2013: Final = np.array(
    [EMOTIONS.index(name) for name in ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")]
)


def read_ferplus(path: Path, faces: Faces) -> npt.NDArray[np.float32]:
    """FER+ votes for the given faces, matched by line.

    Args:
        path: ``fer2013new.csv``.
        faces: faces read from the file that the votes were given for.

    Returns:
        ``(N, 10)`` votes in the order of ``FERPLUS_COLUMNS``.

    Raises:
        DataError: if the file is missing, has other columns, or does not lie row for row beside the faces.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file; give FER+'s fer2013new.csv with --ferplus, or leave it out.")
    if faces.files is not None:
        raise DataError(
            "FER+ votes are matched to the lines of FER2013's CSV, and the data is a folder of pictures; "
            "give the CSV with --data, or leave --ferplus out."
        )
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as text:
            rows = list(csv.reader(text))
    except (OSError, csv.Error) as error:
        raise DataError(unusable(path, error, "give FER+'s fer2013new.csv.")) from error
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    if tuple(header[2:]) != FERPLUS_COLUMNS:
        raise DataError(
            f"{path} has the columns {header[2:]}, not {list(FERPLUS_COLUMNS)}; give FER+'s fer2013new.csv."
        )
    if int(faces.lines.max()) - 2 >= len(body):
        raise DataError(
            f"{path} has {len(body)} rows but the faces go up to row {int(faces.lines.max()) - 1}; "
            "the two files do not belong together."
        )
    votes = np.empty((len(faces), len(FERPLUS_COLUMNS)), np.float32)
    for position, line in enumerate(faces.lines):
        row = body[int(line) - 2]
        if not row or row[0] != str(faces.usage[position]):
            raise DataError(
                f"{path} and the faces differ in usage at line {line}; the two files do not belong together."
            )
        try:
            votes[position] = [float(vote) for vote in row[2:]]
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}; give FER+'s fer2013new.csv as it was published.") from error
    return votes


def ferplus_majority(votes: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """``(N,)`` FER2013's class that most of the ``(N, 10)`` votes gave.

    -1 where the most frequent vote is shared by two, or is contempt, "unknown" or "not a face".
    """
    ordered = np.sort(votes, axis=1)
    winner = votes.argmax(axis=1)
    usable = (ordered[:, -1] > ordered[:, -2]) & (winner < len(_AS_FER2013))
    return np.where(usable, _AS_FER2013[np.minimum(winner, len(_AS_FER2013) - 1)], -1)
