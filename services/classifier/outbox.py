"""The durable queue between this device and the cloud: SQLite on the device's disk.

What `put_…` has answered with True survives a power cut (WAL, synchronous=FULL) and stays until `delete`, with one
exception that is counted: when the quota is reached the oldest frames make room.

All of SQLite happens on one thread that the outbox owns. Requests that queue up while a commit runs share the next
one (group commit), so the cost of a disk's flush is divided among them.
"""

import asyncio
import contextlib
import contextvars
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from services.classifier import outbox_recovery
from services.classifier.delivery_settings import OutboxSettings
from services.classifier.outbox_file import Change, Item, Kind, OutboxFile
from shared import logs
from shared.errors import EmotionEdgeError, SettingsError
from shared.metrics import Metrics

_BATCH_REQUESTS: Final = 256
_BATCH_BYTES: Final = 1024 * 1024
log = logs.get(__name__)


class OutboxError(EmotionEdgeError):
    """The outbox's file could not be read or changed; what it holds is as it was."""


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """How much waits; `bytes` are those of the payloads."""

    detections: int = 0
    frames: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Request:
    """One action on its way to the thread. `drops`: what is dropped when it fails, if it is a put."""

    action: Callable[[OutboxFile, Change], Any]
    done: asyncio.Future[Any]
    size: int = 0
    drops: Kind | None = None


class Outbox:
    """The queue. Made by `open_outbox`."""

    def __init__(self, path: Path, settings: OutboxSettings, metrics: Metrics) -> None:
        self.path = path
        self.dropped_detections = 0
        self.dropped_frames = 0
        self.evicted_frames = 0
        """Pictures that gave way after they had been committed, ever; it survives a restart."""
        self.problem: str | None = None
        """What keeps the outbox from growing up to its quota, in words; None while nothing does."""
        self.filled = asyncio.Event()
        """Set by each commit that added something; the one who reads clears it."""
        self._settings = settings
        self._depth = OutboxDepth()
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._closing = False
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._work,), name="outbox", daemon=True
        )
        self._items_gauge = metrics.gauge("outbox_items", "Messages that wait for the cloud.", ["kind"])
        self._bytes_gauge = metrics.gauge("outbox_bytes", "Bytes of the messages that wait for the cloud.")
        self._dropped_counter = metrics.counter("outbox_dropped", "Messages dropped for want of space.", ["kind"])
        self._commit_seconds = metrics.seconds("outbox_commit", "One durable commit.")
        self._damaged_counter = metrics.counter(
            "outbox_damaged", "Damaged outbox files of which the readable part was kept."
        )
        for kind in Kind:
            self._items_gauge.labels(kind.name.lower())
            self._dropped_counter.labels(kind.name.lower())

    async def put_detection(self, event_id: UUID, payload: bytes) -> bool:
        """Keep a detection; True once it is on the disk. False: dropped and counted, there is no room."""
        return await self._put(Kind.DETECTION, event_id, payload)

    async def put_frame(self, frame_id: UUID, payload: bytes) -> bool:
        """Keep a picture; True once it is on the disk. False: dropped and counted, there is no room."""
        return await self._put(Kind.FRAME, frame_id, payload)

    async def after(self, kind: Kind, seq: int, limit: int, max_bytes: int) -> list[Item]:
        """Items of `kind` put after `seq`, oldest first: at most `limit`, and at least one however large it is.

        Raises:
            OutboxError: if the file cannot be read.
        """
        found: list[Item] = await self._ask(lambda file, _: file.after(kind, seq, limit, max_bytes))
        return found

    async def delete(self, ids: Iterable[UUID]) -> int:
        """Remove what the cloud has stored; return how many were there. Unknown ids are ignored.

        Raises:
            OutboxError: if the file cannot be changed; the items are still there.
        """
        wanted = tuple(ids)
        deleted: int = await self._ask(lambda file, change: file.delete(change, wanted))
        return deleted

    def depth(self) -> OutboxDepth:
        """How much waits, as of the last commit; costs nothing."""
        return self._depth

    async def _put(self, kind: Kind, item_id: UUID, payload: bytes) -> bool:
        try:
            kept: bool = await self._ask(
                lambda file, change: file.put(change, kind, item_id, payload), size=len(payload), drops=kind
            )
        except OutboxError:
            return False
        return kept

    async def _ask(
        self, action: Callable[[OutboxFile, Change], Any], *, size: int = 0, drops: Kind | None = None
    ) -> Any:
        if self._closing:
            raise OutboxError(f"the outbox {self.path} is closed")
        request = _Request(action, self._loop.create_future(), size, drops)
        self._requests.put(request)
        return await request.done

    async def _open(self) -> None:
        self._thread.start()
        await self._opened

    async def _close(self) -> None:
        self._closing = True
        self._requests.put(None)
        await self._closed

    # ---- on the outbox's thread from here on

    def _work(self) -> None:
        try:
            file = self._open_file()
        except BaseException as error:
            self._post(_finish, self._opened, None, error)
            self._post(_finish, self._closed, None, None)
            return
        self._publish_counts(file, Change.none())
        self._post(_finish, self._opened, None, None)
        running = True
        while running:
            batch, running = self._next_batch()
            if batch:
                self._commit(file, batch)
        file.close()
        self._post(_finish, self._closed, None, None)

    def _open_file(self) -> OutboxFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            outbox_recovery.finish(self.path)
            return OutboxFile(self.path, self._settings.max_mb)
        except OSError as error:
            raise SettingsError(
                f"the outbox {self.path} cannot be used ({error.strerror}); expected a folder that can be written to"
            ) from None
        except sqlite3.Error as error:
            if not outbox_recovery.is_damage(self.path, error):
                raise self._unusable(error) from None
            damage = str(error)
        try:
            recovered = outbox_recovery.recover(self.path, self._settings.max_mb)
            file = OutboxFile(self.path, self._settings.max_mb)
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        self._damaged_counter.inc()
        log.error(
            "the outbox is damaged; what could be read of it goes on in a new one. The old file was set aside: what "
            "else it holds, `sqlite3 FILE .recover` may still read",
            file=str(recovered.aside),
            error=damage,
            detections=recovered.detections,
            frames=recovered.frames,
            unreadable=recovered.unreadable,
        )
        return file

    def _unusable(self, error: sqlite3.Error) -> SettingsError:
        if "locked" in str(error):
            return SettingsError(
                f"the outbox {self.path} is in use by another program; stop it or give this one another path"
            )
        return SettingsError(
            f"the outbox {self.path} cannot be used ({error}); "
            "expected a file that can be written to, on a local disk with free space"
        )

    def _next_batch(self) -> tuple[list[_Request], bool]:
        """All that waits, up to a batch's bounds; waits for the first."""
        batch: list[_Request] = []
        size = 0
        request = self._requests.get()
        while request is not None:
            batch.append(request)
            size += request.size
            if len(batch) >= _BATCH_REQUESTS or size >= _BATCH_BYTES:
                return batch, True
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, file: OutboxFile, batch: list[_Request]) -> None:
        began = time.perf_counter()
        try:
            if file.disk_is_full:
                file.look_for_space()
            results, change = file.transact([request.action for request in batch])
        except Exception:
            # One request may be to blame: each is tried alone, where its error is told.
            for request in batch:
                self._commit_alone(file, request)
            return
        self._commit_seconds.observe(time.perf_counter() - began)
        self._succeeded(file, batch, results, change)

    def _commit_alone(self, file: OutboxFile, request: _Request) -> None:
        try:
            try:
                results, change = file.transact([request.action])
            except sqlite3.OperationalError:
                file.do_without_space()
                results, change = file.transact([request.action])
        except sqlite3.Error as error:
            self._failed(file, request, error)
        except Exception as error:
            self._post(_finish, request.done, None, error)
        else:
            self._succeeded(file, [request], results, change)

    def _succeeded(self, file: OutboxFile, batch: list[_Request], results: list[Any], change: Change) -> None:
        puts = any(request.drops is not None for request in batch)
        if puts:
            self._tell("the disk is full" if file.disk_is_full else None)
        self._publish_counts(file, change)
        self._post(self._answer, batch, results, puts)

    def _failed(self, file: OutboxFile, request: _Request, error: sqlite3.Error) -> None:
        told = OutboxError(f"the outbox {self.path} cannot be changed: {error}")
        if request.drops is not None:
            self._tell(str(error))
            change = Change.none()
            change.dropped[request.drops] = 1
            self._publish_counts(file, change)
        self._post(_finish, request.done, None, told)

    def _tell(self, problem: str | None) -> None:
        if problem is None and self.problem is not None:
            log.info("the outbox has space again", file=str(self.path))
        if problem is not None and self.problem is None:
            log.error(
                "the outbox cannot grow: the oldest frames make room, what finds none is dropped",
                file=str(self.path),
                error=problem,
            )
        self.problem = problem

    def _publish_counts(self, file: OutboxFile, change: Change) -> None:
        self._depth = OutboxDepth(file.items[Kind.DETECTION], file.items[Kind.FRAME], sum(file.bytes))
        self.dropped_detections += change.dropped[Kind.DETECTION]
        self.dropped_frames += change.dropped[Kind.FRAME]
        self.evicted_frames = file.evicted_frames
        self._bytes_gauge.set(sum(file.bytes))
        for kind in Kind:
            self._items_gauge.labels(kind.name.lower()).set(file.items[kind])
            if change.dropped[kind]:
                self._dropped_counter.labels(kind.name.lower()).inc(change.dropped[kind])

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits for an answer any more
            self._loop.call_soon_threadsafe(function, *arguments)

    # ---- on the event loop again

    def _answer(self, batch: list[_Request], results: list[Any], filled: bool) -> None:
        for request, result in zip(batch, results, strict=True):
            _finish(request.done, result, None)
        if filled:
            self.filled.set()


def _finish(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # cancelled by the one who waited
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


@contextlib.asynccontextmanager
async def open_outbox(path: Path, settings: OutboxSettings, metrics: Metrics) -> AsyncIterator[Outbox]:
    """Open the outbox at `path`, or begin one; a damaged file is set aside, told, and a new one begun.

    Raises:
        SettingsError: if the file cannot be used or another program has it open.
    """
    outbox = Outbox(path, settings, metrics)
    try:
        await outbox._open()
        yield outbox
    finally:
        await outbox._close()
