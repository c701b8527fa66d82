"""FER2013 as one file, in its Kaggle forms: ``emotion,pixels,Usage`` (Goodfellow et al. 2013, arXiv:1307.0414).

Kaggle also has the columns in another order and with blanks before their names; further columns are group labels.
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.paths import unusable
from training.data.faces import LONGEST_GROUP_LABEL, NUM_CLASSES, SIDE, USAGES, BadRow, DataError, Faces
from training.data.names import printable

SUFFIXES: Final = (".csv", ".gz", ".xz")
_COLUMNS: Final = ("emotion", "pixels", "Usage")
_PIXELS: Final = re.compile(r"[0-9 ]+")
# A line has at most 9,237 characters, group labels aside.
_LONGEST_LINE: Final = 100_000
# FER2013 has 35,887 rows. A small compressed file can hold more bad ones than memory can.
_MOST_BAD_ROWS: Final = 100_000


def _open_text(path: Path) -> io.TextIOBase:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n")
    return path.open("rt", encoding="utf-8-sig", errors="replace", newline="\n")


def _lines(text: io.TextIOBase) -> Iterator[str | None]:
    """The lines of a file; None for one that is too long, which is never held in memory as a whole."""
    while line := text.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith("\n"):
            yield line
            continue
        while (rest := text.readline(_LONGEST_LINE)) and not rest.endswith("\n"):
            pass
        yield None


def _fields(line: str) -> list[str]:
    """The fields of one line, which stands alone: a stray quotation mark takes no other line with it.

    Raises:
        csv.Error: if it is not CSV.
    """
    return next(csv.reader([line.rstrip("\r\n")], strict=True), [])


def _parse(emotion: str, pixels: str, usage: str) -> tuple[int, npt.NDArray[np.uint8], str] | str:
    """Label, pixels and usage of one row, or the reason why it cannot be used."""
    if emotion not in "0123456" or len(emotion) != 1:
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


def _columns(path: Path, line: str | None) -> list[str]:
    try:
        columns = [name.strip() for name in _fields(line or "")]
    except csv.Error:
        columns = []
    if not set(_COLUMNS) <= set(columns) or len(set(columns)) != len(columns):
        raise DataError(
            f"{path} begins with {(line or '').strip()[:60]!r}, not with {','.join(_COLUMNS)!r}; "
            "give FER2013 in its Kaggle form."
        )
    return columns


def read_csv(path: Path) -> Faces:
    """Read FER2013 from a ``.csv``, ``.csv.gz`` or ``.csv.xz`` file.

    Returns:
        All usable rows in the order of the file; rows that are not usable are listed in ``bad_rows``.

    Raises:
        DataError: if the file is not of this form, is damaged, or has no usable row.
    """
    pixels: list[npt.NDArray[np.uint8]] = []
    labels: list[int] = []
    usages: list[str] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    try:
        with _open_text(path) as text:
            rows = _lines(text)
            columns = _columns(path, next(rows, None))
            core = [columns.index(name) for name in _COLUMNS]
            others = [number for number in range(len(columns)) if number not in core]
            groups: dict[int, list[str]] = {number: [] for number in others}
            for number, line in enumerate(rows, start=2):
                if len(bad) > _MOST_BAD_ROWS:
                    raise DataError(f"{path} has more than {_MOST_BAD_ROWS} bad rows; the first: {bad[0]}.")
                if line is None:
                    bad.append(BadRow(number, f"more than {_LONGEST_LINE} characters"))
                    continue
                try:
                    fields = _fields(line)
                except csv.Error as error:
                    bad.append(BadRow(number, str(error)))
                    continue
                if len(fields) != len(columns):
                    bad.append(BadRow(number, f"{len(fields)} fields instead of {len(columns)}"))
                    continue
                if any(len(fields[at]) > LONGEST_GROUP_LABEL for at in others):
                    bad.append(BadRow(number, f"a group label of more than {LONGEST_GROUP_LABEL} characters"))
                    continue
                parsed = _parse(*(fields[at] for at in core))
                if isinstance(parsed, str):
                    bad.append(BadRow(number, parsed))
                    continue
                labels.append(parsed[0])
                pixels.append(parsed[1])
                usages.append(parsed[2])
                lines.append(number)
                for at in others:
                    groups[at].append(printable(fields[at].strip()))
    except (OSError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(unusable(path, error, "it is damaged: fetch or compress it again.")) from error
    if not labels:
        raise DataError(f"{path} has no usable row ({len(bad)} bad ones); the first: {bad[0] if bad else 'none'}.")
    return Faces(
        np.stack(pixels),
        np.array(labels),
        np.array(usages),
        np.array(lines),
        tuple(bad),
        {printable(columns[at]): np.array(values) for at, values in groups.items()},
    )
