"""What the outbox promised, written down beside it.

The producer writes a line before it hands an item to the outbox and a line when the outbox has answered; a line is in
the kernel when it is written, which is all that a killed process needs. An item without an answer was on its way when
the producer was killed: whether it was committed is read from a copy of the outbox before the producer starts again.
Where it is not in there, it was either never committed or has already been sent, stored and deleted.
"""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from services.classifier.outbox_file import Kind

_INTENDED = "intended"
_KEPT = "kept"
_REFUSED = "refused"


@dataclass(slots=True)
class Promises:
    """What a ledger says, by kind."""

    kept: dict[Kind, set[UUID]] = field(default_factory=lambda: {kind: set() for kind in Kind})
    """The outbox has them on its disk, or had."""
    refused: set[UUID] = field(default_factory=set)
    open: dict[Kind, set[UUID]] = field(default_factory=lambda: {kind: set() for kind in Kind})
    """No answer came: perhaps kept, perhaps not."""

    @property
    def made(self) -> set[UUID]:
        """Everything that was ever handed to the outbox."""
        return self.refused.union(*self.kept.values(), *self.open.values())


class Ledger:
    """The file. One process writes at a time."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def intend(self, kind: Kind, item_id: UUID) -> None:
        """`item_id` is about to be handed to the outbox."""
        self._write(_INTENDED, kind, item_id)

    def answered(self, kind: Kind, item_id: UUID, *, kept: bool) -> None:
        """The outbox has answered."""
        self._write(_KEPT if kept else _REFUSED, kind, item_id)

    def _write(self, what: str, kind: Kind, item_id: UUID) -> None:
        os.write(self._file, f"{what} {int(kind)} {item_id}\n".encode())

    def close(self) -> None:
        os.close(self._file)


def read_ledger(path: Path) -> Promises:
    """What the ledger says; a line that was cut off says nothing."""
    promises = Promises()
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        if not line.endswith("\n"):
            break
        what, number, text = line.split()
        kind, item_id = Kind(int(number)), UUID(text)
        if what == _INTENDED:
            promises.open[kind].add(item_id)
            continue
        promises.open[kind].discard(item_id)
        if what == _KEPT:
            promises.kept[kind].add(item_id)
        else:
            promises.refused.add(item_id)
    return promises


def settle(ledger: Path, outbox: Path) -> None:
    """Note as kept what was unanswered and is in the outbox. To be called while no producer runs."""
    promises = read_ledger(ledger)
    if not any(promises.open.values()):
        return
    held, _ = look_into(outbox)
    book = Ledger(ledger)
    for kind in Kind:
        for item_id in promises.open[kind] & held:
            book.answered(kind, item_id, kept=True)
    book.close()


def look_into(outbox: Path) -> tuple[set[UUID], int]:
    """The ids that an outbox holds, and how many committed pictures it ever gave up for want of space.

    Reads a copy, so that the outbox's own recovery is left to the outbox.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        for part in outbox.parent.glob(outbox.name + "*"):
            if not part.name.endswith(".spare"):
                shutil.copy(part, name)
        with closing(sqlite3.connect(Path(name) / outbox.name)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'evicted'").fetchone():
                return set(), 0
            ids = {UUID(bytes=row[0]) for row in database.execute("SELECT id FROM item")}
            (evicted,) = database.execute("SELECT sum(items) FROM evicted").fetchone()
            return ids, evicted or 0
