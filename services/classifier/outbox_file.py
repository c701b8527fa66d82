"""The outbox's SQLite file: one table of messages, a quota, and what goes when it is used up.

Synchronous; every method runs on the one thread that opened the file.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from shared.errors import SettingsError

_APPLICATION_ID: Final = 0x454D4F45
_VERSION: Final = 1
_PAGE_BYTES: Final = 4096
_LOG_PAGES: Final = 512
"""After so many pages in the write-ahead log they go to the file."""
_SPARE_BYTES: Final = 4 * 1024 * 1024
"""More than the log ever holds: as much as the file may still have to grow when the disk is full."""
_LOOK_FOR_SPACE_EVERY_S: Final = 5.0
_RESERVE_PAGES: Final = 32
"""Kept free below the quota, so that deleting always works."""
_ITEM_PAGES: Final = 6
"""What an item may need beside its payload: b-tree pages of the table and its two indexes that split."""
_MAX_SEQ: Final = 2**53
"""Near the largest integer SQLite would give out no more; no device gets there."""
_SCHEMA: Final = """
CREATE TABLE item (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX item_kind_seq ON item (kind, seq);
"""
_EVICTED: Final = """
CREATE TABLE IF NOT EXISTS evicted (
    kind INTEGER PRIMARY KEY,
    items INTEGER NOT NULL
);
"""
"""What was committed and then gave way is counted in the transaction that took it out: no crash hides it."""


class Kind(IntEnum):
    """What an item is."""

    DETECTION = 0
    FRAME = 1


@dataclass(frozen=True, slots=True)
class Item:
    """One message that waits for the cloud. `seq` grows in the order of commit and is never used twice."""

    seq: int
    id: UUID
    kind: Kind
    payload: bytes


@dataclass(slots=True)
class Change:
    """What one transaction does to the counts; it takes effect with the commit."""

    items: list[int]
    bytes: list[int]
    dropped: list[int]
    evicted_frames: int = 0

    @staticmethod
    def none() -> "Change":
        return Change([0, 0], [0, 0], [0, 0])


class OutboxFile:
    """The SQLite file. Every method runs on the outbox's thread."""

    def __init__(self, path: Path, max_mb: int) -> None:
        self._quota_pages = max_mb * 1024 * 1024 // _PAGE_BYTES
        self._limit_pages = self._quota_pages
        self._spare = path.with_name(path.name + ".spare")
        self._looked_for_space_at = float("-inf")
        self.disk_is_full = False
        self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            self._prepare()
            counted = self._counted()
        except BaseException:
            self._db.close()
            raise
        self.items = [0, 0]
        self.bytes = [0, 0]
        for kind, count, total in counted:
            self.items[kind] = count
            self.bytes[kind] = total
        row = self._db.execute("SELECT items FROM evicted WHERE kind = ?", (Kind.FRAME,)).fetchone()
        self.evicted_frames: int = row[0] if row else 0
        """Frames that gave way after they had been committed, since the file was begun."""
        with contextlib.suppress(sqlite3.Error):  # a full disk is met again, and told, by the first put
            self.look_for_space()

    def _prepare(self) -> None:
        db = self._db
        db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        # One program only: two that send from one file would delete what the other believes to hold.
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise sqlite3.OperationalError(f"no write-ahead log on this file system (journal_mode is {mode})")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA journal_size_limit={_SPARE_BYTES}")
        db.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        db.execute(f"PRAGMA max_page_count={self._quota_pages}")
        db.execute(
            "BEGIN IMMEDIATE"
        )  # a damaged header may let only readers in; better known now than at the first put
        db.execute("ROLLBACK")
        # Not the quick one: only this compares the columns with the indexes, and finds a kind or an id that changed.
        found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={_VERSION}; COMMIT;"
            )
        elif version != _VERSION:
            raise SettingsError(
                f"the outbox was written by another version of this program (format {version}, this one reads "
                f"{_VERSION}); run that version until the outbox is empty, or move the file away"
            )
        db.execute(_EVICTED)

    def _counted(self) -> list[tuple[int, int, int]]:
        """Kind, items and bytes; raises DatabaseError where there are values that no outbox writes."""
        # A damaged header may let only readers in: better known now than at the first put. This changes nothing.
        self._db.execute("DELETE FROM item WHERE seq = -1")
        unfit: int = self._db.execute(
            "SELECT count(*) FROM item WHERE kind NOT IN (0, 1) OR typeof(id) <> 'blob' OR length(id) <> 16 "
            "OR typeof(payload) <> 'blob' OR seq NOT BETWEEN 0 AND ?",
            (_MAX_SEQ,),
        ).fetchone()[0]
        unfit += self._db.execute(
            "SELECT count(*) FROM sqlite_sequence WHERE typeof(seq) <> 'integer' OR seq NOT BETWEEN 0 AND ?",
            (_MAX_SEQ,),
        ).fetchone()[0]
        unfit += self._db.execute(
            "SELECT count(*) FROM evicted WHERE typeof(items) <> 'integer' OR items NOT BETWEEN 0 AND ?", (_MAX_SEQ,)
        ).fetchone()[0]
        if unfit:
            raise sqlite3.DatabaseError(f"{unfit} rows hold values that no outbox writes")
        return self._db.execute("SELECT kind, count(*), sum(length(payload)) FROM item GROUP BY kind").fetchall()

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # closing tidies; whatever it cannot do, the next start does
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def transact(self, actions: list[Callable[["OutboxFile", Change], Any]]) -> tuple[list[Any], Change]:
        """Run all actions in one transaction, durably committed when this returns.

        Raises:
            sqlite3.Error: nothing was changed.
        """
        change = Change.none()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            results = [action(self, change) for action in actions]
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        for kind in Kind:
            self.items[kind] += change.items[kind]
            self.bytes[kind] += change.bytes[kind]
        self.evicted_frames += change.evicted_frames
        return results, change

    def do_without_space(self) -> None:
        """The disk is full: from now on only the space is used that the file and its log have.

        The file may still have to grow by what is in the log; for that the spare file is given up.

        Raises:
            sqlite3.Error: if that is not enough.
        """
        self.disk_is_full = True
        self._looked_for_space_at = time.monotonic()
        with contextlib.suppress(OSError):
            self._spare.unlink(missing_ok=True)
        self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        self._limit_pages = min(self._quota_pages, pages)

    def look_for_space(self) -> None:
        """Set the spare file aside if the disk has room for it, now and then; while it has, the file may grow."""
        now = time.monotonic()
        if self._has_spare() or now - self._looked_for_space_at < _LOOK_FOR_SPACE_EVERY_S:
            return
        self._looked_for_space_at = now
        try:
            self._spare.write_bytes(bytes(_SPARE_BYTES))
        except OSError:
            self.do_without_space()
        else:
            self.disk_is_full = False
            self._limit_pages = self._quota_pages

    def _has_spare(self) -> bool:
        try:
            return self._spare.stat().st_size == _SPARE_BYTES
        except OSError:
            return False

    def put(self, change: Change, kind: Kind, item_id: UUID, payload: bytes) -> bool:
        if self._db.execute("SELECT 1 FROM item WHERE id = ?", (item_id.bytes,)).fetchone():
            return True
        if not self._make_room(change, len(payload)):
            change.dropped[kind] += 1
            return False
        self._db.execute("INSERT INTO item (id, kind, payload) VALUES (?, ?, ?)", (item_id.bytes, kind, payload))
        change.items[kind] += 1
        change.bytes[kind] += len(payload)
        return True

    def _free_pages(self) -> int:
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        unused: int = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return self._limit_pages - (pages - unused)

    def _make_room(self, change: Change, size: int) -> bool:
        """Whether `size` bytes fit now, after the oldest frames went if they had to. Nothing goes in vain."""
        needed = size // (_PAGE_BYTES - 4) + 1 + _ITEM_PAGES + _RESERVE_PAGES
        missing = needed - self._free_pages()
        if missing <= 0:
            return True
        frame_bytes = self.bytes[Kind.FRAME] + change.bytes[Kind.FRAME]
        if missing * _PAGE_BYTES > frame_bytes:
            return False
        self._evict_frames(change, needed)
        return self._free_pages() >= needed

    def _evict_frames(self, change: Change, needed: int) -> None:
        """Take out the oldest frames until so many pages are free or no frame is left."""
        before = change.evicted_frames
        while self._free_pages() < needed:
            oldest = self._db.execute(
                "SELECT seq, length(payload) FROM item WHERE kind = ? ORDER BY seq LIMIT 1", (Kind.FRAME,)
            ).fetchone()
            if oldest is None:
                break
            seq, length = oldest
            self._db.execute("DELETE FROM item WHERE seq = ?", (seq,))
            change.items[Kind.FRAME] -= 1
            change.bytes[Kind.FRAME] -= length
            change.dropped[Kind.FRAME] += 1
            change.evicted_frames += 1
        self._db.execute(
            "INSERT INTO evicted VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET items = items + excluded.items",
            (Kind.FRAME, change.evicted_frames - before),
        )

    def delete(self, change: Change, ids: Iterable[UUID]) -> int:
        deleted = 0
        for item_id in ids:
            row = self._db.execute(
                "DELETE FROM item WHERE id = ? RETURNING kind, length(payload)", (item_id.bytes,)
            ).fetchone()
            if row is not None:
                kind, length = row
                change.items[kind] -= 1
                change.bytes[kind] -= length
                deleted += 1
        return deleted

    def after(self, kind: Kind, seq: int, limit: int, max_bytes: int) -> list[Item]:
        found: list[Item] = []
        total = 0
        rows = self._db.execute(
            "SELECT seq, id, payload FROM item WHERE kind = ? AND seq > ? ORDER BY seq LIMIT ?", (kind, seq, limit)
        )
        for item_seq, item_id, payload in rows:
            total += len(payload)
            if found and total > max_bytes:
                break
            found.append(Item(item_seq, UUID(bytes=item_id), kind, payload))
        rows.close()
        return found


def set_aside(path: Path) -> Path:
    """Rename a damaged file and its log, so that they can still be looked at; return the new name."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    number = 0
    while True:
        aside = path.with_name(f"{path.name}.damaged-{stamp}" + (f"-{number}" if number else ""))
        if not aside.exists():
            break
        number += 1
    for suffix in ("-wal", "-shm"):
        log_file = path.with_name(path.name + suffix)
        if log_file.exists():
            log_file.rename(aside.with_name(aside.name + suffix))
    path.rename(aside)
    return aside
