"""Writing a dataset as one file, a few faces at a time, so that neither its size nor a kill matters.

The file grows under its name with `.part` behind it, and beside it a note (`.part.json`) says up to where it is whole.
Whoever exports the same dataset in the same format to the same name goes on there. When all is written it gets its own
name.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.web.datasets import queries
from services.web.datasets.archive import Archive, ArchiveDamaged, Mark
from services.web.datasets.formats import FORMATS, FormatName, Item, Pass
from services.web.datasets.schemas import BuiltSummary, SplitPlan
from services.web.datasets.work import Cancelled, OnThread
from shared import logs
from shared.emotions import EMOTIONS
from shared.errors import EmotionEdgeError
from shared.messages import rfc3339

LAYOUT: Final = 1
"""Version of how exports are laid out; one that was begun with another is begun again."""
PART: Final = ".part"
NOTE: Final = ".part.json"
MANIFEST: Final = "manifest.json"
_MARK_EVERY: Final = 500
_PIECE: Final = 1024 * 1024

log = logs.get(__name__)


class ExportError(EmotionEdgeError):
    """The export cannot be made; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Written:
    """A finished export."""

    length: int
    sha256: bytes


@dataclass(slots=True)
class _Place:
    """How far an export is: which pass, the last face's number in it, how many faces of it are done."""

    number_of_pass: int = 0
    last: int = 0
    done: int = 0


class _Writer:
    """One export's file and its note. Blocks: for a thread."""

    def __init__(self, path: Path, key: dict[str, Any], passes: list[Pass], totals: list[int]) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART)
        self._note = path.with_name(path.name + NOTE)
        self._key = key
        self._passes = passes
        self._totals = totals
        self._since_mark = 0
        self.place = _Place()
        self.archive = self._opened()

    def _opened(self) -> Archive:
        try:
            note = json.loads(self._note.read_bytes())
            if note["key"] == self._key:
                archive = Archive(self._part, Mark(**note["mark"]))
                self.place = _Place(**note["place"])
                return archive
        except (OSError, ValueError, KeyError, TypeError, ArchiveDamaged) as error:
            if not isinstance(error, FileNotFoundError):
                log.warning("an export that was begun cannot be gone on with; it is begun again", error=str(error))
        return Archive(self._part)

    def add(self, items: list[Item]) -> None:
        """Some more faces of the pass at hand."""
        place = self.place
        one = self._passes[place.number_of_pass]
        for name, data in one.render(items, place.done, self._totals[place.number_of_pass]):
            self.archive.append(name, data)
        place.done += len(items)
        place.last = items[-1].number
        self._since_mark += len(items)
        if self._since_mark >= _MARK_EVERY:
            self._write_note()

    def next_pass(self) -> None:
        """The pass at hand is over."""
        self.place = _Place(self.place.number_of_pass + 1)

    def _write_note(self) -> None:
        self._since_mark = 0
        mark = self.archive.mark()
        fresh = self._note.with_name(self._note.name + ".new")
        fresh.write_text(json.dumps({"key": self._key, "mark": asdict(mark), "place": asdict(self.place)}))
        fresh.replace(self._note)

    def finish(self, head: dict[str, Any]) -> Written:
        """Write the manifest, close, and give the file its name."""
        self.archive.append(MANIFEST, b"")  # closes the member before, so that its hash is known
        listed = self.archive.members
        self.archive.append(MANIFEST, json.dumps(head, indent=2, ensure_ascii=False).encode()[:-2] + b',\n  "files": {')
        separator = b"\n"
        for member in listed:
            if not member.name.endswith("/"):
                known = {"bytes": member.size, "sha256": member.sha256.hex()}
                self.archive.append(
                    MANIFEST, separator + f"    {json.dumps(member.name)}: {json.dumps(known)}".encode()
                )
                separator = b",\n"
        self.archive.append(MANIFEST, b"\n  }\n}\n")
        self.archive.finish()
        size = self.archive.length
        self.archive.close()
        digest = hashlib.sha256()
        with self._part.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        self._part.replace(self._path)
        self._note.unlink(missing_ok=True)
        return Written(size, digest.digest())

    def close(self) -> None:
        """Let go of the file; what is written of it stays, to be gone on with."""
        self.archive.close()


async def write_export(
    engine: AsyncEngine,
    on_thread: OnThread,
    dataset_id: UUID,
    form: FormatName,
    path: Path,
    progress: Callable[[int, int], None],
    export_id: UUID | None = None,
) -> Written:
    """Write a dataset to `path`, or go on with what was begun there. The bytes depend on dataset and format alone.

    Args:
        engine: where the dataset is.
        on_thread: runs what blocks.
        dataset_id: a dataset that is ready.
        form: the format.
        path: the file; its folder is made where there is none.
        progress: told after each batch how many visits of a face are done, of how many.
        export_id: the export that wants it, as long as it is running; None where nobody but the caller does.

    Raises:
        ExportError: if the dataset has no faces (any more), or the file cannot be written.
        Cancelled: if the dataset or the export was deleted, or some of its faces were erased meanwhile.
    """
    async with engine.connect() as connection:
        row = await queries.dataset(connection, dataset_id)
        if row is None or row.state != "ready":
            raise Cancelled
        counts = await queries.counts_by_split(connection, dataset_id)
    if not counts:
        raise ExportError("The dataset has no faces any more: all were erased. Build another.")
    passes = FORMATS[form].passes(list(counts))
    totals = [sum(counts.values()) if one.split is None else counts[one.split] for one in passes]
    key = {
        "layout": LAYOUT,
        "format": form,
        "dataset": str(dataset_id),
        "manifest_sha256": row.manifest_sha256.hex(),
        "erased_items": row.erased_items,
    }
    try:
        await on_thread(partial(path.parent.mkdir, parents=True, exist_ok=True, mode=0o750))
        writer = await on_thread(_Writer, path, key, passes, totals)
        try:
            while (at := writer.place.number_of_pass) < len(passes):
                one = passes[at]
                while True:
                    progress(sum(totals[:at]) + writer.place.done, sum(totals))
                    async with engine.connect() as connection:
                        await _check_wanted(connection, export_id)
                        items = await queries.items_after(
                            connection, dataset_id, one.split, writer.place.last, one.batch, images=one.images
                        )
                    if not items:
                        break
                    await on_thread(writer.add, items)
                if writer.place.done != totals[at]:
                    raise Cancelled
                writer.next_pass()
            async with engine.connect() as connection:
                await _check_wanted(connection, export_id)
                now = await queries.dataset(connection, dataset_id)
            if now is None or now.erased_items != row.erased_items:
                raise Cancelled
            return await on_thread(writer.finish, _manifest(row, form, counts))
        finally:
            await on_thread(writer.close)
    except OSError as error:
        raise ExportError(
            f"{path.name} cannot be written ({error.strerror or error}). Make room on the disk and see that its folder "
            "may be written, then export again."
        ) from error


async def _check_wanted(connection: AsyncConnection, export_id: UUID | None) -> None:
    if export_id is not None and (await queries.export_states(connection, [export_id])).get(export_id) != "running":
        raise Cancelled


def _manifest(row: Row[Any], form: FormatName, counts: dict[str, int]) -> dict[str, Any]:
    """All of a manifest but the files: what decides the bytes, and no time at which they were written."""
    return {
        "layout": LAYOUT,
        "format": form,
        "made_by": {"emotion-edge": _version()},
        "dataset": {
            "id": str(row.id),
            "name": row.name,
            "created_at": rfc3339(row.created_at),
            "manifest_sha256": row.manifest_sha256.hex(),
            "erased_items": row.erased_items,
        },
        "licence_and_consent": row.note,
        "labels": list(EMOTIONS),
        "items": sum(counts.values()),
        "items_by_split": counts,
        "filter": row.filter,
        "split": SplitPlan.in_order(row.split),
        "summary_when_built": BuiltSummary.model_validate(row.summary).model_dump(mode="json"),
    }


def _version() -> str:
    try:
        return version("emotion-edge")
    except PackageNotFoundError:  # in an image that holds the sources alone
        return "unknown"


def remains(path: Path) -> list[Path]:
    """All files that an export at `path` may have left."""
    return [path, *(path.with_name(path.name + ending) for ending in (PART, NOTE, NOTE + ".new"))]


def file_name(dataset: str, form: str) -> str:
    """What an export is called when it is downloaded."""
    return f"{dataset}-{form}.zip"
