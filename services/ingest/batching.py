"""Gathers messages into batches. Pure: time is handed in."""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Batcher(Generic[T]):
    """A bounded queue that is taken from in batches, oldest first.

    A batch is due when it is full by count or bytes, or when its oldest item has waited `max_age_s`. Nothing that was
    accepted is lost or overtaken.
    """

    def __init__(self, *, max_items: int, max_bytes: int, max_age_s: float, queue_items: int, queue_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._queue_items = queue_items
        self._queue_bytes = queue_bytes
        self._waiting: deque[tuple[T, int, float]] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, item: T, size: int, now: float) -> bool:
        """Accept an item of `size` bytes, or not, if the queue is full. An empty queue accepts any size."""
        if self._waiting and (len(self._waiting) >= self._queue_items or self.bytes + size > self._queue_bytes):
            return False
        self._waiting.append((item, size, now))
        self.bytes += size
        return True

    def due_in(self, now: float) -> float | None:
        """Seconds until a batch is due, 0 if one is; None while nothing waits."""
        if not self._waiting:
            return None
        if len(self._waiting) >= self._max_items or self.bytes >= self._max_bytes:
            return 0.0
        return max(0.0, self._waiting[0][2] + self._max_age_s - now)

    def take(self) -> list[T]:
        """The oldest items, as many as a batch holds; at least one if anything waits."""
        batch: list[T] = []
        size = 0
        while self._waiting and len(batch) < self._max_items:
            item, item_size, _ = self._waiting[0]
            if batch and size + item_size > self._max_bytes:
                break
            self._waiting.popleft()
            batch.append(item)
            size += item_size
        self.bytes -= size
        return batch
