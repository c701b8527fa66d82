"""Pictures that a browser's camera sent to the web service, which publishes them on this device's own broker."""

import queue
import threading
from collections.abc import Callable
from typing import Final

from services.capture.frames import Reading
from shared.messages import Source

SOURCE: Final = Source(kind="camera", name="browser")
STALL_S: Final = 3600.0
"""Nobody sending is how such a source spends most of its time, and nothing to be mended."""
_WAITING: Final = 2


class Inbox:
    """The newest pictures on their way from the loop to the reading thread. One that waits too long is dropped."""

    def __init__(self, on_dropped: Callable[[], object]) -> None:
        """`on_dropped` is told of each that is, from any thread."""
        self._queue: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._on_dropped = on_dropped

    def put(self, picture: bytes | None) -> None:
        """Add a picture in place of the oldest where there are enough; None wakes who waits. Never blocks."""
        with self._lock:
            if self._queue.full():
                self._queue.get_nowait()
                self._on_dropped()
            self._queue.put_nowait(picture)

    def on_picture(self, _topic: str, payload: bytes) -> None:
        """A picture came by MQTT."""
        self.put(payload)

    def clear(self) -> None:
        """Forget what waits."""
        with self._lock:
            while not self._queue.empty():
                if self._queue.get_nowait() is not None:
                    self._on_dropped()

    def get(self) -> bytes | None:
        """The next picture; waits for it."""
        return self._queue.get()


class BrowserSource:
    """What a person's browser sends, for as long as they let it."""

    live = True

    def __init__(self, inbox: Inbox) -> None:
        self.source = SOURCE
        self._inbox = inbox
        self._ended = threading.Event()
        inbox.clear()  # what came while capture was paused is of then

    def read(self) -> Reading | None:
        """The next picture."""
        while not self._ended.is_set():
            picture = self._inbox.get()
            if picture is not None:
                return Reading(picture)
        return None

    def abort(self) -> None:
        """Wake `read`."""
        self._ended.set()
        self._inbox.put(None)

    def close(self) -> None:
        """There is nothing to release."""
