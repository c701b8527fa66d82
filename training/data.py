"""Reading FER2013 strictly: every row is either understood or counted and named by its line.

The Kaggle form is ``emotion,pixels,Usage`` (Goodfellow et al. 2013, arXiv:1307.0414), plain or compressed as ``.gz``
or ``.xz``. The FER+ votes (Barsoum et al. 2016, arXiv:1608.01041) lie row for row beside it in ``fer2013new.csv``.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import lzma
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS

SIDE: Final = 48
NUM_CLASSES: Final = len(EMOTIONS)
USAGES: Final = ("Training", "PublicTest", "PrivateTest")
_HEADER: Final = ["emotion", "pixels", "Usage"]
_PIXELS: Final = re.compile(r"[0-9 ]+")

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


class DataError(ValueError):
    """The data cannot be used; the message says what was wrong, what was expected and how to mend it."""


@dataclass(frozen=True)
class BadRow:
    """A row that was not used, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Faces:
    """Faces with their labels, one entry per row in each array.

    ``pixels`` is ``(N, 48, 48)`` uint8 grey, ``labels`` ``(N,)`` int64 in FER2013's order, ``usage`` ``(N,)`` strings,
    ``lines`` ``(N,)`` the line of the file each row came from (the header is line 1).
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    usage: npt.NDArray[np.str_]
    lines: npt.NDArray[np.int64]
    bad_rows: tuple[BadRow, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Faces:
        """The given rows, by index or mask; the list of bad rows belongs to the file and is not carried along."""
        return Faces(self.pixels[rows], self.labels[rows], self.usage[rows], self.lines[rows])

    def with_usage(self, usage: str) -> Faces:
        """The rows of one usage.

        Raises:
            DataError: if there are none.
        """
        chosen = self.usage == usage
        if not chosen.any():
            found = ", ".join(sorted(set(self.usage.tolist()))) or "no rows at all"
            raise DataError(
                f"the data has no rows of usage {usage!r}; it has {found}. Choose one of those with --usage."
            )
        return self.take(chosen)


def _open_text(path: Path) -> io.TextIOBase:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="ascii", errors="replace", newline="")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="ascii", errors="replace", newline="")
    return path.open("rt", encoding="ascii", errors="replace", newline="")


def _parse_row(row: list[str]) -> tuple[int, npt.NDArray[np.uint8], str] | str:
    """Label, pixels and usage of one row, or the reason why it cannot be used."""
    if len(row) != len(_HEADER):
        return f"{len(row)} fields instead of {len(_HEADER)}"
    emotion, pixels, usage = row
    if not (emotion.isdecimal() and int(emotion) < NUM_CLASSES):
        return f"label {emotion[:20]!r} is not one of 0 to {NUM_CLASSES - 1}"
    if usage not in USAGES:
        return f"usage {usage[:20]!r} is not one of {', '.join(USAGES)}"
    if not _PIXELS.fullmatch(pixels):
        return "pixels are not whole numbers separated by spaces"
    values = np.fromstring(pixels, dtype=np.int64, sep=" ")
    if values.size != SIDE * SIDE:
        return f"{values.size} pixels instead of {SIDE * SIDE}"
    if values.max() > 255:
        return f"a pixel of {values.max()}, above 255"
    return int(emotion), values.astype(np.uint8).reshape(SIDE, SIDE), usage


def read_fer2013(path: Path) -> Faces:
    """Read FER2013 in its Kaggle form.

    Args:
        path: a ``.csv``, ``.csv.gz`` or ``.csv.xz`` file.

    Returns:
        All usable rows in the order of the file; rows that are not usable are listed in ``bad_rows``.

    Raises:
        DataError: if the file is missing, is not of this form, is damaged, or has no usable row.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file; give FER2013's CSV (plain, .gz or .xz) with --data.")
    pixels: list[npt.NDArray[np.uint8]] = []
    labels: list[int] = []
    usages: list[str] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    try:
        with _open_text(path) as text:
            reader = csv.reader(text)
            header = next(reader, [])
            if header != _HEADER:
                raise DataError(
                    f"{path} begins with {','.join(header)[:60]!r}, not with {','.join(_HEADER)!r}; "
                    "give FER2013 in its Kaggle form."
                )
            while True:
                try:
                    row = next(reader)
                except StopIteration:
                    break
                except csv.Error as error:
                    bad.append(BadRow(reader.line_num, str(error)))
                    continue
                parsed = _parse_row(row)
                if isinstance(parsed, str):
                    bad.append(BadRow(reader.line_num, parsed))
                    continue
                labels.append(parsed[0])
                pixels.append(parsed[1])
                usages.append(parsed[2])
                lines.append(reader.line_num)
    except (lzma.LZMAError, gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}); fetch or compress it again.") from error
    if not labels:
        raise DataError(f"{path} has no usable row ({len(bad)} bad ones); the first: {bad[0] if bad else 'none'}.")
    return Faces(np.stack(pixels), np.array(labels), np.array(usages), np.array(lines), tuple(bad))


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
    with path.open(newline="") as text:
        rows = list(csv.reader(text))
    header, body = rows[0], rows[1:]
    if tuple(header[2:]) != FERPLUS_COLUMNS:
        raise DataError(
            f"{path} has the columns {header[2:]}, not {list(FERPLUS_COLUMNS)}; give FER+'s fer2013new.csv."
        )
    if int(faces.lines.max()) - 2 >= len(body):
        raise DataError(
            f"{path} has {len(body)} rows but the faces go up to row {int(faces.lines.max()) - 1}; "
            "the two files do not belong together."
        )
    for position, line in enumerate(faces.lines):
        if body[int(line) - 2][0] != str(faces.usage[position]):
            raise DataError(
                f"{path} and the faces differ in usage at line {line}; the two files do not belong together."
            )
    return np.array([[float(vote) for vote in body[int(line) - 2][2:]] for line in faces.lines], dtype=np.float32)


def pixel_hashes(faces: Faces) -> npt.NDArray[np.str_]:
    """One hexadecimal hash per face; exact duplicates, and only they, share one."""
    return np.array([hashlib.blake2b(face.tobytes(), digest_size=16).hexdigest() for face in faces.pixels])
