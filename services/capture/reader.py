"""A source on a thread of its own, whose frames come out on the event loop."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from prometheus_client import Histogram

from services.capture.encode import Prepared, Preparer
from services.capture.frames import Frame, FrameSource, OpenSource, SourceTrouble
from shared import logs
from shared.errors import BadPicture
from shared.slots import Newest

READ_AHEAD: Final = 3
"""Frames of a recording that are read before they are due; of a live source, before the loop has seen them."""
STOP_S: Final = 1.5
"""Seconds that a thread gets to end before it is abandoned."""
_POLL_S: Final = 0.2

log = logs.get(__name__)


class Reader:
    """Opens, reads and closes one source on one daemon thread.

    Of a live source the newest frame is held and older ones are dropped and counted, and it is read no faster than the
    loop sees its frames, or a busy loop would never be done with them; a recording waits until its frames are taken.
    A read that never returns cannot be ended from outside, so its thread is abandoned: it ends by itself if the read
    returns, and nothing that it still reads is used.

    `on_read` is called on the loop for each picture that was read, good or bad, and returns its number.
    """

    def __init__(
        self,
        open_source: OpenSource,
        prepare: Preparer,
        *,
        on_read: Callable[[], int],
        on_rejected: Callable[[str], None],
        read_seconds: Histogram,
        prepare_seconds: Histogram,
    ) -> None:
        self._open_source = open_source
        self._prepare = prepare
        self._on_read = on_read
        self._on_rejected = on_rejected
        self._read_seconds = read_seconds
        self._prepare_seconds = prepare_seconds
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[FrameSource | SourceTrouble] = self._loop.create_future()
        self._closed = asyncio.Event()
        self._stopping = threading.Event()
        self._room = threading.Semaphore(READ_AHEAD)
        self._newest: Newest[Frame | SourceTrouble | None] = Newest()
        self._source: FrameSource | None = None
        self._active_at = time.monotonic()
        self.thread = threading.Thread(target=self._work, name="capture-source", daemon=True)

    @property
    def _is_live(self) -> bool:
        return self._source is not None and self._source.live

    @property
    def dropped(self) -> int:
        """Frames of a live source that were replaced by newer ones before they were taken."""
        return self._newest.dropped

    async def open(self, timeout_s: float) -> FrameSource:
        """Start the thread and wait until the source is open. Only `source` and `live` of it may be used.

        Raises:
            SourceTrouble: if it cannot be opened or takes longer than `timeout_s`.
        """
        self.thread.start()
        try:
            async with asyncio.timeout(timeout_s):
                outcome = await asyncio.shield(self._opened)
        except TimeoutError:
            raise SourceTrouble(
                "The source does not open",
                f"it took longer than {timeout_s:g} s",
                "Check the camera and its connection; it is tried again by itself",
            ) from None
        if isinstance(outcome, SourceTrouble):
            raise outcome
        return outcome

    async def next(self, stall_s: float) -> Frame | None:
        """The next frame; None when the recording is over.

        Raises:
            SourceTrouble: if the source failed, or gave nothing for `stall_s`.
        """
        while True:
            remaining = self._active_at + stall_s - time.monotonic()
            try:
                async with asyncio.timeout(max(remaining, 0.0)):
                    item = await self._newest.get()
                break
            except TimeoutError:
                if time.monotonic() - self._active_at >= stall_s:
                    raise SourceTrouble(
                        "The source stopped giving frames",
                        f"nothing that can be used came for {stall_s:g} s",
                        "Check the camera's cable, power and network; it is opened again by itself",
                    ) from None
        if isinstance(item, SourceTrouble):
            raise item
        self._active_at = time.monotonic()
        if not self._is_live:
            self._room.release()
        return item

    async def stop(self) -> bool:
        """End the thread; False if it does not end in time and is abandoned."""
        self._stopping.set()
        self._room.release()
        if not self.thread.is_alive():
            return True
        if self._source is not None:
            self._source.abort()
        try:
            async with asyncio.timeout(STOP_S):
                await self._closed.wait()
        except TimeoutError:
            return False
        return True

    def _work(self) -> None:
        source: FrameSource | None = None
        end: SourceTrouble | None = None
        try:
            source = self._source = self._open_source()
            self._post(self._on_opened, source)
            self._read_all(source)
        except SourceTrouble as error:
            end = error
        except Exception as error:
            log.exception("source failed unexpectedly")
            end = SourceTrouble("The source failed unexpectedly", f"{type(error).__name__}: {error}")
        try:
            if source is not None:
                source.close()
        finally:
            self._post(self._on_end, end)

    def _read_all(self, source: FrameSource) -> None:
        while not self._stopping.is_set():
            if not self._room.acquire(timeout=_POLL_S):
                continue
            began = time.monotonic()
            try:
                reading = source.read()
                captured_at = datetime.now(UTC)
                if reading is None:
                    return
                read = time.monotonic()
                picture = self._prepare(reading.data)
            except BadPicture as error:
                self._post(self._on_bad, str(error))
                continue
            self._read_seconds.observe(read - began)
            self._prepare_seconds.observe(time.monotonic() - read)
            self._post(self._on_frame, picture, captured_at, reading.at_s)

    def _post(self, function: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended; this thread outlived it
            self._loop.call_soon_threadsafe(function, *args)

    def _on_opened(self, source: FrameSource) -> None:
        # One more than is read ahead, for the end.
        self._newest = Newest(1 if source.live else READ_AHEAD + 1)
        self._active_at = time.monotonic()
        self._opened.set_result(source)

    def _on_frame(self, picture: Prepared, captured_at: datetime, at_s: float | None) -> None:
        if self._stopping.is_set():
            return
        self._active_at = time.monotonic()
        if self._is_live:
            self._room.release()
        number = self._on_read()
        self._newest.put(
            Frame(number, picture.jpeg, picture.width, picture.height, captured_at, at_s, picture.passthrough)
        )

    def _on_bad(self, reason: str) -> None:
        if self._stopping.is_set():
            return
        self._room.release()
        if not self._is_live:
            # A live source that gives nothing but bad pictures is as good as silent.
            self._active_at = time.monotonic()
        self._on_read()
        self._on_rejected(reason)

    def _on_end(self, end: SourceTrouble | None) -> None:
        self._closed.set()
        if not self._opened.done():
            self._opened.set_result(end or SourceTrouble("The source closed while it was opened"))
        self._newest.put(end)
