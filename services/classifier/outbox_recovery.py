"""What can still be read of a damaged outbox goes on in a new file; the old one is kept beside it.

A row counts as readable if its payload is a whole message: its kind and id are taken from there, not from columns that
may be damaged too. Rows that were deleted cannot come back, for only SQLite itself reads the file.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from services.classifier.outbox_file import Change, Kind, OutboxFile, set_aside
from shared.errors import BadMessage, BadPicture
from shared.jpeg import SOI, read_comment
from shared.messages import Detection, FrameInfo, decode

_Row = tuple[Kind, UUID, bytes]
_ROWS_AT_ONCE: Final = 32
_MOST_STEPS: Final = 20_000
"""Sequence numbers that are tried one by one behind a place that cannot be read: more than any page holds rows."""
_OF_THE_MACHINE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
    }
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where the damaged file is now, and what of it goes on."""

    aside: Path
    detections: int
    frames: int
    unreadable: int
    """Rows that SQLite gave but that hold no whole message; how many it did not give, nobody knows."""


def is_damage(path: Path, error: sqlite3.Error) -> bool:
    """Whether `error`, met while opening `path`, is the file's own fault and not the machine's."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by this program: a file that SQLite reads but no outbox wrote, or no fit file system
        return not isinstance(error, sqlite3.OperationalError)
    if code & 0xFF == sqlite3.SQLITE_READONLY:  # so it also calls a file whose header asks for a newer SQLite
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return code & 0xFF not in _OF_THE_MACHINE


def finish(path: Path) -> None:
    """Go on with a recovery that a crash cut off between its two last steps."""
    if not path.exists() and _new(path).exists():
        _new(path).rename(path)


def recover(path: Path, max_mb: int) -> Recovered:
    """Put a new outbox in the place of the damaged one at `path`.

    A crash at any point leaves the damaged file to be recovered again, or the new one to be used.
    """
    new = _new(path)
    _remove(new)
    counts = [0, 0]
    unreadable = 0
    with contextlib.suppress(sqlite3.Error):  # a full disk: what is in the new file goes on, all of it is in the old
        file = OutboxFile(new, max_mb)
        try:
            rows: list[_Row] = []
            for payload in _payloads(path):
                known = _identified(payload)
                if known is None:
                    unreadable += 1
                    continue
                rows.append((*known, payload))
                if len(rows) >= _ROWS_AT_ONCE:
                    _put(file, rows)
                    rows = []
            _put(file, rows)
        finally:
            counts = list(file.items)
            file.close()
    # Made anew at each opening, and empty: they hold nothing that belongs beside the file.
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    log_file = path.with_name(path.name + "-wal")
    if log_file.exists() and log_file.stat().st_size == 0:
        log_file.unlink()
    aside = set_aside(path)
    if not new.exists():
        return Recovered(aside, 0, 0, unreadable)
    new.rename(path)
    _remove(new)
    return Recovered(aside, counts[Kind.DETECTION], counts[Kind.FRAME], unreadable)


def _put(file: OutboxFile, rows: list[_Row]) -> None:
    file.transact([_putting(row) for row in rows])


def _putting(row: _Row) -> Callable[[OutboxFile, Change], bool]:
    return lambda file, change: file.put(change, *row)


def _payloads(path: Path) -> Iterator[Any]:
    """What stands in the payload column, oldest first, of all rows that SQLite can reach."""
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        seq = -1
        for _ in range(_MOST_STEPS):
            try:
                for found, payload in db.execute(
                    "SELECT seq, payload FROM item NOT INDEXED WHERE seq > ? ORDER BY seq", (seq,)
                ):
                    seq = max(seq, found)
                    yield payload
            except (sqlite3.Error, OverflowError):
                seq += 1
            else:
                return


def _identified(payload: Any) -> tuple[Kind, UUID] | None:
    """What a payload is by its own account; None if it is no whole message."""
    if not isinstance(payload, bytes):
        return None
    try:
        if not payload.startswith(SOI):
            return Kind.DETECTION, decode(Detection, "outbox", payload).event_id
        frame_id = decode(FrameInfo, "outbox", read_comment(payload)).frame_id
    except (BadMessage, BadPicture):
        return None
    return None if frame_id is None else (Kind.FRAME, frame_id)


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.recovered")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".spare"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
