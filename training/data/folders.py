"""Class folders: ``[split/]class/picture``, with or without a ``metadata.jsonl``.

Covers FER2013's folder copy on Kaggle, other data sets of this shape, and the exports of this project, which follow
Hugging Face's ``imagefolder``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS
from shared.errors import BadPicture
from shared.paths import in_words
from training.data.faces import BOUND_BY, LONGEST_GROUP_LABEL, BadRow, DataError, Faces
from training.data.names import label_of, printable, usage_of
from training.data.pictures import SUFFIXES, read_picture

METADATA: Final = "metadata.jsonl"
_DEPTH: Final = 2  # split/class
_MOST_COLUMNS: Final = 50
_FER2013_NAME: Final = re.compile(r"(Training|PublicTest|PrivateTest)_")
_CLASSES: Final = ", ".join(EMOTIONS)


@dataclass(frozen=True)
class _Entry:
    """A picture that may be used; what folders and file name say of it."""

    path: Path
    file: str
    label: int | None
    usage: str | None


@dataclass(frozen=True)
class _Record:
    """A line of a metadata file."""

    file: str
    line: int
    values: dict[str, Any]


def walk(root: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Folders (relative, in parts) and name of each file, sorted; of a folder that lies too deep, name it with a "/".

    The depth also ends links that lead in a circle.
    """

    def refuse(error: OSError) -> None:
        raise DataError(in_words(error)) from error

    for folder, folders, names in os.walk(root, followlinks=True, onerror=refuse):
        parts = Path(folder).relative_to(root).parts
        folders.sort()
        if len(parts) == _DEPTH:
            for name in folders:
                yield parts, name + "/"
            folders.clear()
        for name in sorted(names):
            yield parts, name


def _usage(split: str | None, name: str) -> str | None:
    """The usage that split folder and file name give together.

    Kaggle's copy has PublicTest and PrivateTest in one ``test``; only the names tell them apart.

    Raises:
        BadPicture: if the folder is for training and the name is that of a test picture.
    """
    match = _FER2013_NAME.match(name)
    if match is None or match[1] == "Training":
        return split
    if split == "Training":
        raise BadPicture(f"lies in the folder for training, but is named as one of {match[1]}")
    return match[1]


def _entry(root: Path, folders: tuple[str, ...], name: str) -> _Entry | BadRow | None:
    """What a file is; None for a file that is no picture and lies in no class folder, such as a README."""
    file = "/".join((*folders, name))
    split = usage_of(folders[0]) if folders else None
    classes = folders if split is None else folders[1:]
    is_picture = Path(name).suffix.lower() in SUFFIXES
    label = label_of(classes[0]) if classes else None

    def bad(reason: str) -> BadRow:
        return BadRow(None, reason, printable(file))

    if name.endswith("/") or len(classes) > 1:
        if name.endswith("/") or is_picture:
            return bad("lies deeper than a class folder; give --data the folder that holds class or split folders")
        return None
    if not is_picture:
        if label is None or name == METADATA:
            return None
        return bad(f"is not a {', '.join(SUFFIXES)} file")
    if classes and label is None:
        return bad(f"class {printable(classes[0])[:40]!r} is not one of {_CLASSES}")
    try:
        return _Entry(root.joinpath(*folders, name), file, label, _usage(split, name))
    except BadPicture as error:
        return bad(str(error))


def _read_metadata(path: Path, prefix: str, bad: list[BadRow]) -> dict[str, _Record]:
    """The lines of a metadata file by the picture they are about; names are never used as paths."""
    where = prefix + METADATA
    records: dict[str, _Record] = {}
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as text:
            for number, line in enumerate(text, start=1):
                if not line.strip():
                    continue
                try:
                    values = json.loads(line)
                except (ValueError, RecursionError):
                    bad.append(BadRow(number, "is not JSON", where))
                    continue
                if not isinstance(values, dict) or not isinstance(values.get("file_name"), str):
                    bad.append(BadRow(number, "is not an object with a file_name", where))
                elif prefix + values["file_name"] in records:
                    bad.append(BadRow(number, "is about a picture of an earlier line", where))
                else:
                    records[prefix + values["file_name"]] = _Record(where, number, values)
    except OSError as error:
        raise DataError(in_words(error)) from error
    return records


def _label_and_usage(entry: _Entry, record: _Record | None, needs_line: bool) -> tuple[int, str]:
    """What folders and metadata say together; without a split, faces are for training.

    Raises:
        BadPicture: if they say nothing, nothing known, or not the same.
    """
    if record is None and needs_line:
        raise BadPicture(f"has no line in {METADATA}")
    label, usage = entry.label, entry.usage
    values = {} if record is None else record.values
    if (named := values.get("label")) is not None:
        told = label_of(named) if isinstance(named, str) else None
        if told is None:
            raise BadPicture(f"label {str(named)[:40]!r} is not one of {_CLASSES}")
        if label not in (None, told):
            raise BadPicture(f"its folder says {EMOTIONS[label or 0]}, its metadata {EMOTIONS[told]}")
        label = told
    if label is None:
        raise BadPicture("lies in no class folder and has no label in metadata")
    if (named := values.get("split")) is not None:
        told_usage = usage_of(named) if isinstance(named, str) else None
        if told_usage is None:
            raise BadPicture(f"split {str(named)[:40]!r} is not one of train, validation, test")
        if usage not in (None, told_usage):
            raise BadPicture(f"its folder or name says {usage}, its metadata {told_usage}")
        usage = told_usage
    return label, usage or "Training"


def _groups(record: _Record | None) -> dict[str, str]:
    """All further fields of a line that hold one short text or number.

    Raises:
        BadPicture: if person or session is something else, since a split could not heed it.
    """
    groups: dict[str, str] = {}
    for name, value in ({} if record is None else record.values).items():
        if name in ("file_name", "label", "split") or value is None:
            continue
        if isinstance(value, str | int | float) and len(str(value)) <= LONGEST_GROUP_LABEL:
            groups[printable(name)] = printable(str(value).strip())
        elif name in BOUND_BY:
            raise BadPicture(f"its {name} is not a number or a text of at most {LONGEST_GROUP_LABEL} characters")
    return groups


def _columns(rows: list[dict[str, str]]) -> dict[str, npt.NDArray[np.str_]]:
    """The rows' group labels as columns; empty where a row has none of that name."""
    names = sorted({name for row in rows for name in row})
    if len(names) > _MOST_COLUMNS:
        raise DataError(
            f"{METADATA} has {len(names)} different fields; expected the same few in each line, "
            f"{_MOST_COLUMNS} at most."
        )
    return {name: np.array([row.get(name, "") for row in rows]) for name in names}


def read_folder(root: Path) -> Faces:
    """Read class folders.

    Args:
        root: holds ``class/picture`` or ``split/class/picture``; PNG and JPEG of any size and colour. Where ``root`` or
            a split folder has a ``metadata.jsonl``, every picture below needs a line there.

    Returns:
        All usable faces in the order of their names; everything else in the class folders is listed in ``bad_rows``.

    Raises:
        DataError: if nothing in the folder can be used, or it cannot be read.
    """
    bad: list[BadRow] = []
    entries: list[_Entry] = []
    records: dict[str, _Record] = {}
    described: list[str] = []
    for folders, name in walk(root):
        if name == METADATA and (not folders or (len(folders) == 1 and usage_of(folders[0]))):
            prefix = "".join(f"{folder}/" for folder in folders)
            described.append(prefix)
            records.update(_read_metadata(root.joinpath(*folders, name), prefix, bad))
            continue
        found = _entry(root, folders, name)
        if isinstance(found, BadRow):
            bad.append(found)
        elif found is not None:
            entries.append(found)
    known = {printable(entry.file) for entry in entries} | {row.file for row in bad}
    bad += [
        BadRow(record.line, "is about a picture that is not there", record.file)
        for file, record in records.items()
        if printable(file) not in known
    ]

    pixels: list[npt.NDArray[np.uint8]] = []
    labels: list[int] = []
    usages: list[str] = []
    lines: list[int] = []
    files: list[str] = []
    groups: list[dict[str, str]] = []
    for number, entry in enumerate(entries, start=1):
        record = records.get(entry.file)
        try:
            needs_line = any(entry.file.startswith(prefix) for prefix in described)
            label, usage = _label_and_usage(entry, record, needs_line)
            group = _groups(record)
            pixels.append(read_picture(entry.path))
        except BadPicture as error:
            bad.append(BadRow(None, str(error), printable(entry.file)))
            continue
        labels.append(label)
        usages.append(usage)
        lines.append(number)
        files.append(printable(entry.file))
        groups.append(group)
    if not labels:
        raise DataError(
            f"{root} has no usable picture ({len(bad)} bad ones); the first: {bad[0] if bad else 'none'}. "
            f"Give a folder of class folders ({_CLASSES}) or of train, validation and test with those in them."
        )
    return Faces(
        np.stack(pixels),
        np.array(labels),
        np.array(usages),
        np.array(lines),
        tuple(bad),
        _columns(groups),
        np.array(files),
    )
