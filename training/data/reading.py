"""One way in for every form of data set."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shared.paths import in_words
from training.data.faces import DataError, Faces
from training.data.fer2013 import SUFFIXES, read_csv
from training.data.folders import read_folder, walk


def read_faces(path: Path) -> Faces:
    """Read a data set: FER2013's CSV (plain, ``.gz``, ``.xz``), or a folder of class folders.

    Returns:
        All usable faces; what is not usable is listed in ``bad_rows``.

    Raises:
        DataError: if there is nothing there, it is of no known form, or nothing in it can be used.
    """
    if path.is_dir():
        return read_folder(path)
    if not path.is_file():
        raise DataError(
            f"{path} does not exist; give FER2013's CSV (plain, .gz or .xz) or a folder of class folders with --data."
        )
    if path.suffix not in SUFFIXES:
        raise DataError(
            f"{path} is not a .csv, .csv.gz or .csv.xz file, nor a folder; give FER2013's CSV or a folder of class "
            "folders with --data."
        )
    return read_csv(path)


def fingerprint(path: Path) -> str:
    """SHA-256 in hexadecimal of a file, or of the names and contents of all files of a class-folder data set.

    Raises:
        DataError: if something cannot be read.
    """
    try:
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        total = hashlib.sha256()
        for folders, name in walk(path):
            part = path.joinpath(*folders, name)
            if part.is_file():
                with part.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").digest()
                total.update("/".join((*folders, name)).encode("utf-8", "surrogateescape") + b"\0" + content)
        return total.hexdigest()
    except OSError as error:
        raise DataError(in_words(error)) from error
