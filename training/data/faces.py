"""Faces with their labels, as every form of data set gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS

SIDE: Final = 48
NUM_CLASSES: Final = len(EMOTIONS)
USAGES: Final = ("Training", "PublicTest", "PrivateTest")
"""FER2013's names; in other data sets they stand for train, validation and test."""

BOUND_BY: Final = ("person", "session")
"""Group labels whose faces resemble each other too much to stand on two sides of a split."""

LONGEST_GROUP_LABEL: Final = 100
"""Characters of a group label; each column takes this much memory for every face."""


class DataError(ValueError):
    """The data cannot be used; the message says what was wrong, what was expected and how to mend it."""


@dataclass(frozen=True)
class BadRow:
    """A row or picture that was not used, and why; ``line`` is None where a whole file is meant."""

    line: int | None
    reason: str
    file: str = ""
    """Relative to the data set's folder; empty where the data set is a single file."""

    @property
    def where(self) -> str:
        """The place, for reading."""
        return " ".join(part for part in (self.file, "" if self.line is None else f"line {self.line}") if part)

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True)
class Faces:
    """Faces with their labels, one entry per row in each array.

    ``pixels`` is ``(N, 48, 48)`` uint8 grey, ``labels`` ``(N,)`` int64 in FER2013's order, ``usage`` ``(N,)`` strings.
    ``lines`` ``(N,)`` rises and tells rows apart: the line of the file each came from (the header is line 1), or the
    number of the picture in its folder. ``files`` ``(N,)`` names the pictures of a folder; a single file has none.
    ``groups`` are further labels such as person or session, ``(N,)`` strings each, empty where unknown.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    usage: npt.NDArray[np.str_]
    lines: npt.NDArray[np.int64]
    bad_rows: tuple[BadRow, ...] = field(default=())
    groups: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    files: npt.NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, row: int) -> str:
        """Where the row came from, for reading."""
        return f"line {self.lines[row]}" if self.files is None else str(self.files[row])

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Faces:
        """The given rows, by index or mask; the list of bad rows belongs to the file and is not carried along."""
        return Faces(
            self.pixels[rows],
            self.labels[rows],
            self.usage[rows],
            self.lines[rows],
            groups={name: values[rows] for name, values in self.groups.items()},
            files=None if self.files is None else self.files[rows],
        )

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


def pixel_hashes(faces: Faces) -> npt.NDArray[np.str_]:
    """One hexadecimal hash per face; exact duplicates, and only they, share one."""
    return np.array([hashlib.blake2b(face.tobytes(), digest_size=16).hexdigest() for face in faces.pixels])


def linked_rows(faces: Faces, hashes: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
    """``(N,)`` number of the set that each row belongs to.

    Rows with the same pixels, person or session are in one set, and so are rows that others link in this way.
    """
    names = [hashes, *(faces.groups[name] for name in BOUND_BY if name in faces.groups)]
    parent = list(range(len(faces)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for column in names:
        first: dict[str, int] = {}
        for row, name in enumerate(column.tolist()):
            if name:
                parent[root(row)] = root(first.setdefault(name, row))
    return np.array([root(row) for row in range(len(faces))], dtype=np.int64)
