"""Builds datasets and writes exports, one after the other, beside the pages; removes files that nobody may have.

The tables are the truth: what waits is found there, also after a crash, and what was deleted or erased there stops. One
web service at a time does it, under a lock in Postgres; the others' requests wait in the tables.
"""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.datasets import queries
from services.web.datasets.building import build
from services.web.datasets.exporting import remains, write_export
from services.web.datasets.work import Cancelled, OnThread
from shared import logs
from shared.db.faults import Fault, describe, fault_of
from shared.db.study_tables import datasets, exports
from shared.errors import EmotionEdgeError
from shared.metrics import Metrics
from shared.owned_thread import owned_thread
from shared.slots import wait_at_most

LOOK_EVERY_S: Final = 60.0
_AGAIN_S: Final = 5.0
_ZIP: Final = ".zip"
_DEFECT: Final = "It failed by a defect; the service's log says where. Delete it and try again."

log = logs.get(__name__)


class Jobs:
    """Works until cancelled."""

    def __init__(
        self, engine: AsyncEngine, folder: Path, metrics: Metrics, *, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        """`engine` is without a limit on the time that a statement takes; `folder` is made when it is needed."""
        self._engine = engine
        self._folder = folder
        self._look_every_s = look_every_s
        self._wake = asyncio.Event()
        self._progress: dict[UUID, tuple[int, int]] = {}
        self._done = metrics.counter(
            "dataset_jobs", "Datasets built and exports written, by outcome.", ["kind", "outcome"]
        )
        self._removed = metrics.counter("export_files_removed", "Files of exports that were erased or deleted.")

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def progress(self, of: UUID) -> tuple[int, int] | None:
        """Done and total of a dataset or export that is at work here."""
        return self._progress.get(of)

    def file(self, export_id: UUID) -> Path:
        """Where a finished export lies."""
        return self._folder / f"{export_id}{_ZIP}"

    async def run(self) -> None:
        """Look what is to do, at once and then again and again."""
        async with owned_thread("datasets") as thread:
            while True:
                self._wake.clear()
                pause = self._look_every_s
                try:
                    await self._work(thread.submit)
                except (SQLAlchemyError, OSError, TimeoutError) as error:
                    log.warning("datasets cannot be worked on now; tried again", error=describe(error))
                    pause = _AGAIN_S
                await wait_at_most(self._wake, pause)

    async def _work(self, on_thread: OnThread) -> None:
        async with self._engine.connect() as lock:
            # Held by the connection, not by a transaction: it would otherwise keep the tables' old rows for hours.
            await lock.execution_options(isolation_level="AUTOCOMMIT")
            locked = await lock.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": queries.BUILDING_LOCK})
            if not locked:
                return
            try:
                while True:
                    # Before each, so that what was deleted takes no room beside what is written next.
                    await self.sweep(on_thread)
                    if (dataset := await self._next_dataset()) is not None:
                        await self._attempt("dataset", dataset, self._build(on_thread, dataset))
                    elif (export := await self._next_export()) is not None:
                        await self._attempt("export", export.id, self._export(on_thread, export))
                    else:
                        break
            finally:
                with suppress(SQLAlchemyError, OSError):  # a connection that broke holds no lock any more
                    await lock.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": queries.BUILDING_LOCK})

    async def _next_dataset(self) -> UUID | None:
        statement = select(datasets.c.id).where(datasets.c.state == "building").order_by(datasets.c.created_at).limit(1)
        async with self._engine.connect() as connection:
            found: UUID | None = await connection.scalar(statement)
            return found

    async def _next_export(self) -> Any:
        statement = (
            select(exports.c.id, exports.c.dataset_id, exports.c.format)
            .where(exports.c.state.in_(("waiting", "running")))
            .order_by(exports.c.created_at)
            .limit(1)
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).first()

    async def _attempt(self, kind: str, which: UUID, work: Any) -> None:
        """Do it; what fails for good is marked so, with the reason that people read."""
        outcome, reason = "done", None
        try:
            await work
        except Cancelled:
            outcome = "cancelled"
        except EmotionEdgeError as error:
            outcome, reason = "failed", str(error)
        except Exception as error:
            if isinstance(error, SQLAlchemyError | OSError | TimeoutError) and fault_of(error) is Fault.RETRY:
                raise
            log.exception("a dataset job failed by a defect", kind=kind, id=str(which))
            outcome, reason = "failed", _DEFECT
        finally:
            self._progress.pop(which, None)
        self._done.labels(kind, outcome).inc()
        log.info("dataset job ended", kind=kind, id=str(which), outcome=outcome, reason=reason)
        async with self._engine.begin() as connection:
            if kind == "dataset" and outcome == "failed":
                statement = update(datasets).where(datasets.c.id == which, datasets.c.state == "building")
                await connection.execute(statement.values(state="failed", error=reason))
            elif kind == "export" and outcome != "done":
                # Cancelled: its dataset lost faces, which marks it erased already, or it was deleted.
                told = reason or "Its dataset changed while it was written. Export it again."
                await queries.set_export(connection, which, ("waiting", "running"), state="failed", error=told)

    async def _build(self, on_thread: OnThread, dataset: UUID) -> None:
        await build(self._engine, on_thread, dataset, lambda done, total: self._tell(dataset, done, total))

    async def _export(self, on_thread: OnThread, export: Any) -> None:
        async with self._engine.begin() as connection:
            if not await queries.set_export(connection, export.id, ("waiting", "running"), state="running"):
                raise Cancelled
        path = self.file(export.id)
        written = await write_export(
            self._engine,
            on_thread,
            export.dataset_id,
            export.format,
            path,
            lambda done, total: self._tell(export.id, done, total),
            export.id,
        )
        async with self._engine.begin() as connection:
            kept = await queries.finish_export(connection, export.id, written.length, written.sha256)
        if not kept:
            raise Cancelled  # erased or deleted in the last moment; the next look removes the file

    def _tell(self, which: UUID, done: int, total: int) -> None:
        self._progress[which] = (done, total)

    async def sweep(self, on_thread: OnThread) -> None:
        """Remove files of exports that were erased, deleted or failed; mark those exports whose file is gone."""
        found: list[Path] = await on_thread(_files, self._folder)
        ids = {export_id for path in found if (export_id := _id_of(path)) is not None}
        async with self._engine.connect() as connection:
            states = await queries.export_states(connection, list(ids))
            ready = list(await connection.scalars(select(exports.c.id).where(exports.c.state == "ready")))
        for path in found:
            export_id = _id_of(path)
            state = None if export_id is None else states.get(export_id)
            wanted = (state == "ready" and path.suffix == _ZIP) or state in ("waiting", "running")
            if export_id is not None and not wanted:
                await on_thread(partial(path.unlink, missing_ok=True))
                self._removed.inc()
        there = set(found)
        lost = [export_id for export_id in ready if self.file(export_id) not in there]
        for export_id in lost:
            log.warning("the file of an export is gone", id=str(export_id), folder=str(self._folder))
            async with self._engine.begin() as connection:
                gone = "Its file is gone from the web service's disk. Delete it and export again."
                await queries.set_export(connection, export_id, ("ready",), state="failed", error=gone)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _id_of(path: Path) -> UUID | None:
    """The export that a file is of; None where it is none of ours."""
    name = path.name.partition(_ZIP)[0]
    with suppress(ValueError):
        if any(path == one for one in remains(path.with_name(name + _ZIP))):
            return UUID(name)
    return None
